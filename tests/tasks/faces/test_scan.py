"""Laws of the scanner: one cascade look a shot, the right face in every frame, batches of any size alike."""

import numpy as np
import pytest

from tasks.faces.landmarks import LandmarkModel
from tasks.faces.measure import FrameFaces, geometry
from tasks.faces.rgb_pictures import RgbPictures
from tasks.faces.scan import NOBODY_FRAMES, FaceScanner
from tests.tasks.faces.made import Picture, empty, moved, pan, similarity, two_faces, under


def scan(model: LandmarkModel, frames: list[Picture], batch: int = 100) -> tuple[list[FrameFaces], FaceScanner]:
    scanner = FaceScanner(model=model)
    found: list[FrameFaces] = []
    for start in range(0, len(frames), batch):
        found += scanner.measure(RgbPictures(frames[start : start + batch]))
    return found, scanner


def same(a: list[FrameFaces], b: list[FrameFaces]) -> bool:
    pairs = [(x, y) for f, g in zip(a, b, strict=True) for x, y in zip(f.faces, g.faces, strict=True)]
    return [f.cut for f in a] == [f.cut for f in b] and all(
        np.array_equal(x.points, y.points)
        and (x.presence, x.sharpness, x.detected) == (y.presence, y.sharpness, y.detected)
        for x, y in pairs
    )


def test_a_moving_face_is_found_once_and_followed(model: LandmarkModel) -> None:
    frames, matrices = pan(24)
    found, scanner = scan(model, frames)
    assert [len(frame) for frame in found] == [1] * 24
    assert [frame.faces[0].detected for frame in found] == [True] + [False] * 23
    assert (scanner.looks_needed, scanner.looks_for_newcomers) == (1, 0)
    first = found[0].faces[0].points
    still = np.linalg.inv(np.vstack((matrices[0], (0, 0, 1))))[:2].astype(np.float32)
    for frame, matrix in zip(found, matrices, strict=True):
        wanted = under(matrix, under(still, first))
        apart = np.linalg.norm(frame.faces[0].points - wanted, axis=-1).mean()
        assert apart < 0.035 * float(geometry(wanted).size_pixels)


@pytest.mark.parametrize("batch", [1, 7])
def test_results_do_not_depend_on_the_batch_size(model: LandmarkModel, batch: int) -> None:
    frames = [*pan(9)[0], two_faces(), two_faces()]
    frames = [frame[:360, :360] for frame in frames]
    assert same(scan(model, frames, batch)[0], scan(model, frames)[0])


def test_a_face_measures_the_same_alone_and_beside_another(model: LandmarkModel) -> None:
    both = scan(model, [two_faces()])[0][0]
    alone = two_faces()
    alone[:, :360] = alone[:, 360:361]
    one = scan(model, [alone])[0][0]
    assert np.array_equal(both.faces[0].points, one.faces[0].points)


def test_reset_forgets_everything(model: LandmarkModel) -> None:
    frames = pan(5)[0]
    scanner = FaceScanner(model=model)
    first = scanner.measure(RgbPictures(frames))
    scanner.reset()
    assert same(scanner.measure(RgbPictures(frames)), first)


def test_two_faces_are_followed_at_once_the_larger_first(model: LandmarkModel) -> None:
    found, _ = scan(model, [two_faces()] * 3)
    assert [len(frame) for frame in found] == [2, 2, 2]
    for frame in found:
        assert frame.faces[0].points[:, 0].min() > 360 > frame.faces[1].points[:, 0].max()


def test_no_face_is_no_failure_and_cascades_look_rarely(model: LandmarkModel) -> None:
    found, scanner = scan(model, [empty(180, 320)] * 25)
    assert all(len(frame) == 0 for frame in found)
    assert scanner.looks_needed == 1
    assert scanner.looks_for_newcomers == 24 // NOBODY_FRAMES


def test_a_lost_face_costs_one_look_and_comes_back(model: LandmarkModel) -> None:
    here = pan(4)[0]
    away = here[-1].copy()
    away[20:240, 130:330] = away[20:240, 400:401]
    frames = [*here, *[away] * NOBODY_FRAMES, *here, *here, *here]
    found, scanner = scan(model, frames)
    assert [len(frame) for frame in found[:4]] == [1] * 4
    assert [len(frame) for frame in found[5:13]] == [0] * 8
    assert len(found[-1]) == 1
    assert scanner.looks_needed <= 1 + 1 + sum(frame.cut for frame in found)


def test_a_cut_is_reported_where_it_is_and_nowhere_else(model: LandmarkModel) -> None:
    first = pan(8)[0]
    second = [moved(similarity(120, 180, 1.7)) for _ in range(4)]
    third = [empty() for _ in range(4)]
    found, _ = scan(model, [*first, *second, *third])
    assert [t for t, frame in enumerate(found) if frame.cut] == [8, 12]
    assert found[8].faces[0].detected
    assert len(found[12]) == 0


def test_a_flash_and_a_fade_are_no_cuts(model: LandmarkModel) -> None:
    frames = pan(16)[0]
    fade = [np.asarray(frame * (1 - 0.04 * t), np.uint8) for t, frame in enumerate(frames)]
    fade[5] = np.asarray(np.minimum(fade[5].astype(int) + 90, 255), np.uint8)
    assert not any(frame.cut for frame in scan(model, fade)[0])
