"""Sound: exact lengths, samples in place, one encoding for the whole, clear words where there is none."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.audio import audio_blocks, encode_audio, open_audio
from pipeline.samples import SampleClock, sound_frame
from pipeline.storage import Storage
from tasks.errors import SourceError
from tests.pipeline.rich_sources import Rich, Sound, chirp, heard, make_source

STORAGE = Storage({})
SAMPLES = 2 * 48000 + 777
#: Ending, encoder, muxer; decoded length beyond the true one; does the file tell its priming.
KINDS = [
    ("wav", "pcm_s16le", None, 0, True),
    ("flac", "flac", None, 0, True),
    ("m4a", "aac", "mp4", 1024, True),
    ("mp3", "libmp3lame", None, 1152, True),
    ("opus", "libopus", "ogg", 0, True),
    ("mka", "aac", "matroska", 1024, True),
    ("aac", "aac", "adts", 2048, False),
]


def make_sound(path: Path, codec: str, muxer: str | None, wave: np.ndarray, rate: int = 48000) -> Path:
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[wave.shape[0]]
    with av.open(str(path), "w", format=muxer) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = layout
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        frames = resampler.resample(sound_frame(wave, layout, rate, 0)) if wave.shape[1] else []
        for frame in [*frames, *resampler.resample(None)] if frames else []:
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        output.start_encoding()
    return path


def lag(found: np.ndarray, wave: np.ndarray, reach: int = 3000, at: int = 20000) -> int:
    """By how many samples `found` is late against `wave`."""
    piece = wave[at : at + 4000]
    misfits = {k: float(np.abs(found[at + k : at + k + 4000] - piece).mean()) for k in range(-reach, reach)}
    return min(misfits, key=lambda k: misfits[k])


@pytest.mark.parametrize(("ending", "codec", "muxer", "tail", "told"), KINDS)
def test_length_is_what_decodes_and_time_zero_is_the_first_sample(
    ending: str, codec: str, muxer: str | None, tail: int, told: bool, tmp_path: Path
) -> None:
    wave = chirp(SAMPLES, 48000, 300.0, 1)
    path = make_sound(tmp_path / f"voice.{ending}", codec, muxer, wave)
    facts = open_audio(STORAGE, str(path))
    assert SAMPLES <= facts.samples <= SAMPLES + tail
    assert facts.duration_seconds == Fraction(facts.samples, 48000)
    assert (facts.sample_rate, facts.channels, facts.skipped_packets) == (48000, 1, 0)
    blocks = list(audio_blocks(STORAGE, str(path), rate=48000))
    found = np.concatenate(blocks)
    assert len(found) == facts.samples and found.dtype == np.float32
    assert abs(lag(found, wave[0])) <= (1 if told else 1200)


@pytest.mark.parametrize("rate", [16000, 44100, 48000, 7919])
def test_samples_do_not_depend_on_the_block(rate: int, tmp_path: Path) -> None:
    path = make_sound(tmp_path / "voice.m4a", "aac", "mp4", chirp(SAMPLES, 48000, 300.0, 2))
    length = round(open_audio(STORAGE, str(path)).duration_seconds * rate)
    results = []
    for seconds in (0.01, 0.37, 1.0, 100.0):
        blocks = list(audio_blocks(STORAGE, str(path), rate=rate, block_seconds=seconds))
        assert all(len(b) == round(seconds * rate) for b in blocks[:-1])
        results.append(np.concatenate(blocks))
    assert all(len(r) == length and np.array_equal(r, results[0]) for r in results)
    stereo = np.concatenate(list(audio_blocks(STORAGE, str(path), rate=rate, mono=False)))
    assert stereo.shape == (length, 2)


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv", "webm"])
@pytest.mark.parametrize(("ending", "codec", "muxer", "tail", "told"), KINDS[:5])
@pytest.mark.parametrize("seconds", [None, Fraction(3, 2), Fraction(3)])
def test_new_audio_starts_at_zero_and_lasts_as_asked(
    container: str,
    seconds: Fraction | None,
    ending: str,
    codec: str,
    muxer: str | None,
    tail: int,
    told: bool,
    tmp_path: Path,
) -> None:
    wave = chirp(SAMPLES, 48000, 300.0, 1)
    path = make_sound(tmp_path / f"voice.{ending}", codec, muxer, wave)
    facts = open_audio(STORAGE, str(path))
    made = encode_audio(STORAGE, str(path), container, tmp_path / f"out.{container}", seconds=seconds)
    found, rate, first = heard(made.path)
    wanted = round((seconds or facts.duration_seconds) * rate)
    assert first == 0 and rate == 48000
    assert wanted <= found.shape[1] <= wanted + 1152
    assert abs(lag(found[0], wave[0], 200)) <= 1
    if seconds == 3:
        assert np.abs(found[0, SAMPLES + 3000 :]).max() < 0.01
        assert not made.copied


def test_a_fitting_codec_is_copied_not_encoded_again(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "voice.m4a", "aac", "mp4", chirp(SAMPLES, 48000, 300.0, 2))
    made = encode_audio(STORAGE, str(path), "mp4", tmp_path / "out.mp4")
    assert made.copied and made.codec == "aac"
    payloads = []
    for file in (path, made.path):
        with av.open(str(file)) as container:
            payloads.append([bytes(p) for p in container.demux(audio=0) if p.size])
    assert payloads[0] == payloads[1]
    opus = make_sound(tmp_path / "voice.opus", "libopus", "ogg", chirp(SAMPLES, 48000, 300.0, 1))
    assert encode_audio(STORAGE, str(opus), "webm", tmp_path / "out.webm").copied
    assert not encode_audio(STORAGE, str(path), "webm", tmp_path / "out2.webm").copied


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (22050, 1), (48000, 6), (7350, 1)])
def test_rate_and_channels_are_kept_where_the_encoder_takes_them(rate: int, channels: int, tmp_path: Path) -> None:
    path = make_sound(tmp_path / "voice.wav", "pcm_s16le", None, chirp(rate * 2, rate, 300.0, channels), rate)
    made = encode_audio(STORAGE, str(path), "mp4", tmp_path / "out.mp4")
    found, held, _ = heard(made.path)
    assert found.shape[0] == channels
    assert held == (rate if rate != 7350 else 48000)
    assert bool(made.lines) == (rate == 7350)
    assert abs(found.shape[1] / held - 2) <= 1024 / held


def test_a_voice_inside_a_video_keeps_its_place(tmp_path: Path) -> None:
    path = make_source(
        tmp_path / "in.mp4", Rich(frames=60, sounds=(Sound(start_seconds=0.5, rate=48000, layout="mono"),))
    )
    found = np.concatenate(list(audio_blocks(STORAGE, str(path), rate=48000)))
    assert np.abs(found[:23000]).max() < 1e-3
    assert abs(lag(found[24000:], chirp(90000, 48000, 300.0, 1)[0], 100)) <= 48  # Its edit list counts milliseconds.
    made = encode_audio(STORAGE, str(path), "mp4", tmp_path / "out.mp4")
    again, rate, first = heard(made.path)
    assert first == 0 and rate == 48000 and abs(lag(again[0], found, 100, at=40000)) <= 1


def test_the_default_stream_is_taken(tmp_path: Path) -> None:
    sounds = (Sound(default=False, hertz=300.0, layout="mono"), Sound(hertz=900.0, layout="mono"))
    path = make_source(tmp_path / "in.mp4", Rich(frames=60, sounds=sounds))
    found = np.concatenate(list(audio_blocks(STORAGE, str(path), rate=44100)))
    wave = chirp(80000, 44100, 900.0, 1)[0]
    assert np.abs(found[20000:24000] - wave[20000:24000]).mean() < 0.02


def test_digital_silence_is_sound(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "voice.wav", "pcm_s16le", None, np.zeros((1, 48000), np.float32))
    assert open_audio(STORAGE, str(path)).duration_seconds == 1
    found = np.concatenate(list(audio_blocks(STORAGE, str(path))))
    assert len(found) == 16000 and not found.any()
    made = encode_audio(STORAGE, str(path), "mp4", tmp_path / "out.mp4")
    assert not heard(made.path)[0].any()


def test_files_without_sound_are_refused_in_words(tmp_path: Path) -> None:
    silent = make_source(tmp_path / "in.mp4", Rich(frames=10, sounds=(), chapters=()))
    with pytest.raises(SourceError, match=r"found no audio \(video\); expected sound"):
        open_audio(STORAGE, str(silent))
    empty = make_sound(tmp_path / "empty.wav", "pcm_s16le", None, np.zeros((1, 0), np.float32))
    with pytest.raises(SourceError, match=r"zero length|no format"):
        open_audio(STORAGE, str(empty))
    with pytest.raises(SourceError):
        list(audio_blocks(STORAGE, str(empty)))
    text = tmp_path / "voice.mp3"
    text.write_text("hello " * 200)
    with pytest.raises(SourceError):
        open_audio(STORAGE, str(text))
    with pytest.raises(SourceError, match="no such file"):
        open_audio(STORAGE, str(tmp_path / "none.wav"))


def test_damage_is_silence_counted_and_moves_nothing(tmp_path: Path) -> None:
    wave = chirp(SAMPLES, 48000, 300.0, 1)
    path = make_sound(tmp_path / "voice.flac", "flac", None, wave)
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 3000):
        data[at] ^= 0x5A
    path.write_bytes(data)
    facts = open_audio(STORAGE, str(path))
    found = np.concatenate(list(audio_blocks(STORAGE, str(path), rate=48000)))
    assert facts.samples == len(found) and abs(facts.samples - SAMPLES) <= 48000 * 0.05
    assert abs(lag(found, wave[0], 200, at=5000)) <= 1 and abs(lag(found, wave[0], 200, at=88000)) <= 1


def test_gaps_become_silence_and_overlaps_are_cut() -> None:
    clock = SampleClock(1000, "mono", Fraction(0))
    tone = np.ones((1, 100), np.float32)

    def at(start: int) -> list[np.ndarray]:
        return clock.place(sound_frame(tone, "mono", 1000, start))

    placed = [*at(50), *at(150), *at(252), *at(402), *at(405), *at(410)]
    line = np.concatenate(placed, axis=1)[0]
    assert line[:50].max() == 0 and line[50:350].min() == 1  # The first sample's place; 2 ms are jitter.
    assert line[350:402].max() == 0 and line[402:].min() == 1
    assert clock.count == len(line) == 510
    with pytest.raises(SourceError, match="audio jumps"):
        at(10**7)


def test_the_clock_cuts_both_ends_to_the_sample() -> None:
    clock = SampleClock(1000, "mono", Fraction(1, 10), Fraction(3, 10))
    ramp = np.arange(150, dtype=np.float32)[None]
    placed = [
        *clock.place(sound_frame(ramp, "mono", 1000, 0)),
        *clock.place(sound_frame(ramp, "mono", 1000, 150)),
    ]
    line = np.concatenate(placed, axis=1)[0]
    assert line.tolist() == [*range(100, 150), *range(150)] and clock.full
