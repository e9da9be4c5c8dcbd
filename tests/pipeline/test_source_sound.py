"""The source's own sound where its frames are shown: at its place, however late it starts, and decoded once."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.decode import decode_source_frames
from pipeline.probe import probe
from pipeline.source_sound import AROUND_SECONDS, kept_source_sound, listen, source_sound_key
from pipeline.storage import Storage
from tasks.faces.selector import parse_face_selector
from tasks.lip_sync.seen import Scan, read_units
from tasks.lip_sync.source_offset import SourceOffset, source_offset
from tasks.lip_sync.task import LipSyncTask
from tasks.mel import mel_spectrogram
from tasks.picture import frames_per_batch
from tasks.table import parse_task
from tasks.task import OutputFrames

RATE, SAMPLES = 5, 16_000


def noise(seconds: float) -> np.ndarray:
    """Samples that nowhere look the same, louder and softer."""
    rng = np.random.default_rng(0)
    n = round(seconds * SAMPLES)
    return (rng.standard_normal(n) * (0.2 + 0.15 * np.sin(np.arange(n) / 3000)) * 9000).astype(np.int16)


def film(path: Path, seconds: int, *, sound: np.ndarray | None, late: Fraction = Fraction(0)) -> None:
    """Small pictures, and sound that begins `late`."""
    with av.open(str(path), "w") as output:
        pictures = output.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "g": "10"})
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        heard = output.add_stream("pcm_s16le", rate=SAMPLES, layout="mono") if sound is not None else None
        for number in range(seconds * RATE):
            shown = np.full((64, 64, 3), number % 200, np.uint8)
            output.mux(pictures.encode(av.VideoFrame.from_ndarray(shown, "rgb24")))
            if heard is not None and sound is not None and number % RATE == 0:
                block = sound[number // RATE * SAMPLES : (number // RATE + 1) * SAMPLES]
                frame = av.AudioFrame.from_ndarray(block[None], format="s16", layout="mono")
                frame.sample_rate, frame.time_base = SAMPLES, Fraction(1, SAMPLES)
                frame.pts = number // RATE * SAMPLES + round(late * SAMPLES)
                output.mux(heard.encode(frame))
        for stream in (pictures, heard):
            if stream is not None:
                output.mux(stream.encode(None))


def at_their_place(mel: np.ndarray, sound: np.ndarray, begins: float) -> None:
    """The columns are those of the samples from `begins` on, but for the edges."""
    first = round(begins * SAMPLES)
    padded = np.concatenate([np.zeros(max(-first, 0), np.int16), sound[max(first, 0) :]])
    wanted = mel_spectrogram((padded / 32768).astype(np.float32))[:, 3 : mel.shape[1] - 3]
    np.testing.assert_allclose(mel[:, 3 : 3 + wanted.shape[1]], wanted, atol=0.02)


@pytest.mark.parametrize(("seconds", "count"), [(8, 1), (150, 4)])
def test_short_sources_are_heard_whole_and_long_ones_in_stretches(tmp_path: Path, seconds: int, count: int) -> None:
    sound = noise(seconds)
    film(tmp_path / "film.mov", seconds, sound=sound)
    index = probe(Storage(), str(tmp_path / "film.mov"))
    heard = listen(Storage(), index, np.arange(index.frames))
    assert len(heard) == count
    assert sum(len(one.seconds) for one in heard) <= 120 * RATE + 4
    assert heard[-1].start + len(heard[-1].seconds) >= index.frames - 1
    for one in heard:
        begins = one.start / RATE - float(AROUND_SECONDS)
        assert one.seconds[0] == pytest.approx(float(AROUND_SECONDS))
        at_their_place(one.mel, sound, begins)


def test_of_a_trimmed_source_only_what_is_shown_is_heard(tmp_path: Path) -> None:
    sound = noise(20)
    film(tmp_path / "film.mov", 20, sound=sound)
    index = probe(Storage(), str(tmp_path / "film.mov"))
    (heard,) = listen(Storage(), index, np.arange(60, 80)[::-1])
    assert (heard.start, len(heard.seconds)) == (60, 20)
    at_their_place(heard.mel, sound, 12 - 0.75)


def test_a_sound_that_starts_after_the_pictures_keeps_its_place(tmp_path: Path) -> None:
    sound = noise(6)
    film(tmp_path / "film.mov", 6, sound=sound, late=Fraction(1, 2))
    index = probe(Storage(), str(tmp_path / "film.mov"))
    (heard,) = listen(Storage(), index, np.arange(index.frames))
    at_their_place(heard.mel, np.concatenate([np.zeros(SAMPLES // 2, np.int16), sound]), -0.75)


def test_it_is_decoded_once_and_a_silent_film_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / "film.mov", 4, sound=noise(4))
    film(tmp_path / "silent.mov", 4, sound=None)
    storage, shown = Storage(), np.arange(20)
    index, silent = (probe(storage, str(tmp_path / name)) for name in ("film.mov", "silent.mov"))
    uri = str(tmp_path / "kept" / f"{source_sound_key(index, shown)}.npz")
    first = kept_source_sound(storage, index, shown, uri)
    monkeypatch.setattr("pipeline.source_sound.listen", lambda *_: pytest.fail("decoded again"))
    again = kept_source_sound(storage, index, shown, uri)
    np.testing.assert_array_equal(first[0].mel, again[0].mel)
    np.testing.assert_array_equal(first[0].seconds, again[0].seconds)
    assert first[0].start == again[0].start == 0
    assert kept_source_sound(storage, silent, shown, uri + "2") == ()
    assert source_sound_key(index, shown) != source_sound_key(index, shown[:10])


def test_a_sound_that_cannot_be_decoded_is_none(tmp_path: Path) -> None:
    film(tmp_path / "film.mov", 4, sound=noise(4))
    index = probe(Storage(), str(tmp_path / "film.mov"))
    gone = replace(index, uri=str(tmp_path / "gone.mov"))
    assert listen(Storage(), gone, np.arange(20)) == ()


def _scanned(path: Path) -> Scan:
    storage, task = Storage(), LipSyncTask(parse_task("lip-sync"))
    index = probe(storage, str(path))
    frames = decode_source_frames(storage, index, 0, index.frames, frames_per_batch(index.format.frame_bytes))
    return read_units([task.measure(0, frames)])


def _offset_of(scan: Scan, path: Path) -> SourceOffset:
    storage = Storage()
    index = probe(storage, str(path))
    n = np.arange(index.frames)
    times = index.frame_pts * float(index.stream.time_base)
    shown = OutputFrames(n, times, np.full(len(n), 0.04), index.format, listen(storage, index, n))
    return source_offset(scan, shown, parse_face_selector("largest"))


def _shifted(source: Path, target: Path, seconds: Fraction) -> None:
    """The same file with its sound moved on its clock; nothing is decoded."""
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        streams = {s.index: made.add_stream_from_template(s) for s in (given.streams.video[0], given.streams.audio[0])}
        for packet in given.demux(list(given.streams.video[:1]) + list(given.streams.audio[:1])):
            if packet.pts is None or packet.time_base is None:
                continue
            if packet.stream.type == "audio":
                move = round(seconds / packet.time_base)
                packet.pts, packet.dts = packet.pts + move, (packet.dts or packet.pts) + move
            packet.stream = streams[packet.stream.index]
            made.mux(packet)


def test_a_real_speaker_s_offset_moves_with_the_sound(test_data: Path, tmp_path: Path) -> None:
    """The clip's own offset is +50 ms by an independent estimate; moved by known amounts it is that and the amount."""
    clip = test_data / "data" / "faces" / "MimicTalk__data_raw_examples_German_20s.mp4"
    scan, moved = _scanned(clip), []
    for milliseconds in (0, 200, -200):
        path = tmp_path / f"{milliseconds}.mkv"
        _shifted(clip, path, Fraction(milliseconds, 1000))
        told = _offset_of(scan, path)
        assert told.found is not None
        assert told.why_not == ""
        moved.append(told.seconds)
    assert moved[0] == pytest.approx(0.05, abs=0.04)
    assert moved[1] - moved[0] == pytest.approx(0.2, abs=0.02)
    assert moved[2] - moved[0] == pytest.approx(-0.2, abs=0.02)
