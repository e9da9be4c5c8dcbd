"""Laws of association and smoothing, on made measurements."""

import io
from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.faces import points as face
from tasks.faces.measure import (
    FaceMeasurement,
    FrameFaces,
    Measurements,
    geometry,
    joined,
    measurements,
    measurements_from_arrays,
    measurements_to_arrays,
)
from tasks.faces.smooth import smoothed
from tasks.faces.tracks import FaceTrack, associate, tracks_from_arrays, tracks_to_arrays

RATE = Fraction(25)


def shape(opening: float = 0.1) -> NDArray[np.float32]:
    """51 points of a plain face, eyes 1 apart at y = 0, chin at y = 1.2."""
    out = np.zeros((face.POINTS, 2), np.float32)
    out[face.EYE_CORNERS] = [(-0.5, 0), (-0.2, 0), (0.2, 0), (0.5, 0)]
    out[face.NOSE] = [(0, 0), (0, 0.45), (-0.12, 0.5), (0.12, 0.5)]
    for group, height in ((range(12), 0.08), (range(12, 32), 0.0)):
        n = len(group)
        turn = np.pi + np.arange(n) * 2 * np.pi / n
        out[list(group)] = np.stack((0.3 * np.cos(turn), 0.8 + (height + opening / 1.808) * np.sin(turn)), -1)
    jaw = np.linspace(np.pi, 0, 11)
    out[face.JAW] = np.stack((0.65 * np.cos(jaw), 0.3 + 0.9 * np.sin(jaw)), -1)
    return out


def measured(x: float, y: float, size: float = 60, opening: float = 0.1, noise: object = 0) -> FaceMeasurement:
    points = (shape(opening) * size + (x, y) + noise).astype(np.float32)
    of = geometry(points)
    numbers = {name: float(getattr(of, name)) for name in ("opening", "yaw", "pitch", "roll", "size_pixels")}
    return FaceMeasurement(points, 0.9, 0.1, sharpness=1.0, detected=False, **numbers)


def frames_of(*faces: FaceMeasurement, cut: bool = False) -> FrameFaces:
    return FrameFaces(faces, cut)


def equal(a: object, b: object) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))  # type: ignore[arg-type]


def test_the_opening_of_made_faces_is_what_was_asked_for() -> None:
    for wanted in (0.0, 0.1, 0.3):
        assert measured(0, 0, opening=wanted).opening == pytest.approx(wanted, abs=0.02)


def test_two_people_keep_their_ids_whatever_order_they_are_measured_in() -> None:
    rng = np.random.default_rng(0)
    frames = []
    for t in range(40):
        faces = [measured(100 + 2 * t, 100), measured(400 - 2 * t, 110, 80)]
        frames.append(frames_of(*(faces if rng.random() < 0.5 else faces[::-1])))
    tracks = associate(measurements(frames), RATE)
    assert len(tracks) == 2
    for track in tracks:
        assert track.valid.all()
        assert np.abs(np.diff(track.points[:, face.NOSE_TIP, 0])).max() < 4
        assert track.size_pixels.std() < 1


def test_units_joined_give_what_one_unit_gives() -> None:
    frames = [frames_of(measured(100 + t, 100), cut=t == 13) for t in range(30)]
    parts = [measurements(frames[a:b]) for a, b in ((0, 7), (7, 8), (8, 30))]
    assert equal(joined(parts), measurements(frames))


def test_measurements_survive_storage() -> None:
    run = measurements([frames_of(measured(1, 2)), frames_of(), frames_of(measured(1, 2), cut=True)])
    assert equal(measurements_from_arrays(stored(measurements_to_arrays(run))), run)
    nothing = measurements([frames_of(), frames_of()])
    assert nothing.frames == 2
    assert associate(nothing, RATE) == ()


def stored(arrays: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    file.seek(0)
    return dict(np.load(file, allow_pickle=False))


def test_short_gaps_are_filled_and_long_ones_are_not() -> None:
    def at(t: int) -> FrameFaces:
        return frames_of() if 10 <= t < 17 or 40 <= t < 60 else frames_of(measured(100 + t, 100))

    (track,) = associate(measurements([at(t) for t in range(80)]), RATE)
    assert track.valid[:40].all()
    assert not track.measured[10:17].any()
    assert not track.valid[40:60].any()
    assert np.allclose(track.points[:, face.NOSE_TIP, 0], 100 + np.arange(80), atol=0.6)
    assert np.isfinite(track.points).all()


def test_after_a_long_absence_somebody_is_new() -> None:
    frames = [frames_of(measured(100, 100)) if t < 10 or t >= 100 else frames_of() for t in range(120)]
    tracks = associate(measurements(frames), RATE)
    assert [(track.start, track.end) for track in tracks] == [(0, 10), (100, 120)]


def test_across_a_cut_an_id_is_kept_only_in_the_same_place() -> None:
    def film(x: float) -> tuple[FaceTrack, ...]:
        frames = [frames_of(measured(100 if t < 15 else x, 100), cut=t == 15) for t in range(30)]
        return associate(measurements(frames), RATE)

    assert [track.id for track in film(105)] == [0]
    assert film(105)[0].shot.tolist() == [0] * 15 + [1] * 15
    assert [(track.start, track.end) for track in film(300)] == [(0, 15), (15, 30)]


def test_nothing_is_smoothed_or_filled_across_a_cut() -> None:
    frames = [frames_of(measured(100 if t < 15 else 110, 100), cut=t == 15) for t in range(30)]
    (track,) = associate(measurements(frames), RATE)
    assert np.allclose(track.points[:15, face.NOSE_TIP, 0], 100, atol=1e-3)
    assert np.allclose(track.points[15:, face.NOSE_TIP, 0], 110, atol=1e-3)
    gap = [frame if not 13 <= t < 17 else FrameFaces((), frame.cut) for t, frame in enumerate(frames)]
    (track,) = associate(measurements(gap), RATE)
    assert not track.valid[13:17].any()


def test_false_alarms_of_a_few_frames_make_no_track() -> None:
    frames = [frames_of(measured(100, 100), *([measured(400, 300)] if t == 9 else [])) for t in range(20)]
    assert len(associate(measurements(frames), RATE)) == 1


def test_smoothing_takes_noise_and_leaves_speech_in_time() -> None:
    rng = np.random.default_rng(3)
    t = np.arange(150)
    opening = 0.12 + 0.1 * np.sin(2 * np.pi * 3 * t / 25)
    clean = np.stack([shape(o) * 60 + (100, 100) for o in opening]).astype(np.float32)
    noisy = clean + rng.normal(0, 0.2, clean.shape).astype(np.float32)
    out = smoothed(noisy, 25.0)
    rest = slice(face.JAW.start, face.POINTS)
    assert np.abs(out - clean)[:, rest].mean() < 0.75 * np.abs(noisy - clean)[:, rest].mean()
    assert np.abs(out - clean)[:, face.LIPS].mean() < 1.1 * np.abs(noisy - clean)[:, face.LIPS].mean()
    got = geometry(out).opening
    lags = [float(np.corrcoef(np.roll(got, k)[10:-10], opening[10:-10])[0, 1]) for k in (-1, 0, 1)]
    assert lags[1] == max(lags)
    assert got[10:-10].std() > 0.85 * opening[10:-10].std()


def test_smoothing_calms_a_resting_face_most() -> None:
    rng = np.random.default_rng(4)
    still = (shape() * 60 + (100, 100))[None].repeat(100, 0)
    noisy = (still + rng.normal(0, 0.2, still.shape)).astype(np.float32)
    calm = np.abs(np.diff(smoothed(noisy, 25.0), axis=0)).mean()
    assert calm < 0.5 * np.abs(np.diff(noisy, axis=0)).mean()


def test_smoothing_is_the_same_backwards() -> None:
    rng = np.random.default_rng(5)
    noisy = np.stack([shape() * 60 + (100 + 3 * t, 100) + rng.normal(0, 0.4, (51, 2)) for t in range(40)])
    forwards = smoothed(noisy.astype(np.float32), 25.0)
    backwards = smoothed(noisy[::-1].astype(np.float32), 25.0)[::-1]
    assert np.allclose(forwards, backwards, atol=0.05)


def test_a_face_in_even_movement_is_not_held_back() -> None:
    line = np.stack([shape() * 60 + (100 + 4 * t, 100) for t in range(40)]).astype(np.float32)
    assert np.abs(smoothed(line, 25.0) - line).max() < 0.05


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_shortest_runs_pass_through(frames: int) -> None:
    line = np.stack([shape() * 60 + (100 + t, 100) for t in range(frames)]).astype(np.float32)
    assert smoothed(line, 25.0).shape == line.shape
    assert np.abs(smoothed(line, 25.0) - line).max() < 0.5


def test_tracks_survive_storage_and_slicing() -> None:
    frames = [frames_of(measured(100, 100), measured(300, 90)) for _ in range(20)]
    tracks = associate(measurements(frames), RATE)
    for a, b in zip(tracks_from_arrays(stored(tracks_to_arrays(tracks))), tracks, strict=True):
        assert equal(a, b)
    part = tracks[0].between(5, 9)
    assert part is not None
    assert (part.start, part.end) == (5, 9)
    assert np.array_equal(part.points, tracks[0].points[5:9])
    assert tracks[0].between(20, 30) is None
    assert tracks_from_arrays(stored(tracks_to_arrays(()))) == ()


def test_a_quarter_of_an_hour_is_associated_at_once() -> None:
    one = measurements([frames_of(measured(100, 100))])
    count = 22_500
    columns = {f.name: np.repeat(getattr(one, f.name), count, 0) for f in fields(Measurements)}
    long = replace(Measurements(**columns), frame=np.arange(count))
    (track,) = associate(long, RATE)
    assert len(track.valid) == count
