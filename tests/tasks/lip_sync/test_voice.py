"""From a voice to the mouth: the shipped networks on the shipped demo voice, whose phonemes are known."""

import json
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import tasks
from tasks.errors import WeightsError
from tasks.lip_sync import voice
from tasks.lip_sync.voice import Articulation, articulate, load_voice_net, voice_share
from tasks.mel import MelStatistics, mel_spectrogram

DEMO = Path(tasks.__file__).parent / "data" / "demo"


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    with wave.open(str(DEMO / "voice.wav")) as file:
        assert (file.getframerate(), file.getnchannels()) == (16_000, 1)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


@pytest.fixture(scope="module")
def phonemes() -> list[tuple[float, float, str]]:
    return [tuple(row) for row in json.loads((DEMO / "voice.phonemes.json").read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def said(samples: np.ndarray) -> Articulation:
    return voice_of(samples)


def voice_of(sound: np.ndarray) -> Articulation:
    mel = mel_spectrogram(sound.astype(np.float32))
    return articulate(mel, MelStatistics.of(mel))


def columns(curve: np.ndarray, start: float, end: float) -> np.ndarray:
    return curve[round(start * 80) : round(end * 80) + 1]


def test_values_stay_in_their_ranges(said: Articulation, samples: np.ndarray) -> None:
    for curve, low in ((said.opening, 0), (said.closure, 0), (said.width, -1)):
        assert curve.shape == (1 + len(samples) // 200,)
        assert curve.dtype == np.float32
        assert curve.min() >= low
        assert curve.max() <= 1


def test_the_mouth_rests_in_pauses(said: Articulation, phonemes: list[tuple[float, float, str]]) -> None:
    pauses = [(a, b) for a, b, ipa in phonemes if not ipa and b - a > 0.25]
    assert len(pauses) >= 3
    for start, end in pauses:
        assert columns(said.opening, start + 0.08, end - 0.08).max() < 0.05


def test_open_vowels_open_the_mouth(said: Articulation, phonemes: list[tuple[float, float, str]]) -> None:
    vowels = [columns(said.opening, a, b).max() for a, b, ipa in phonemes if set(ipa) & set("aɑæɛ") and b - a > 0.06]
    assert len(vowels) >= 5
    assert np.mean(vowels) > 0.6
    assert min(vowels) > 0.25


def test_lips_meet_in_m_b_p(said: Articulation, phonemes: list[tuple[float, float, str]]) -> None:
    bilabials = [(a, b) for a, b, ipa in phonemes if set(ipa) & set("mbp")]
    assert len(bilabials) >= 8
    closed = [columns(said.opening, a, b).min() < 0.2 for a, b in bilabials]
    assert np.mean(closed) >= 0.8
    within = np.concatenate([columns(said.closure, a + 0.01, b - 0.01) for a, b in bilabials])
    vowels = np.concatenate([columns(said.closure, a, b) for a, b, ipa in phonemes if set(ipa) & set("aɑæɛoʌ")])
    assert within.mean() > 3 * vowels.mean()


def test_rounded_and_spread_vowels_differ(said: Articulation, phonemes: list[tuple[float, float, str]]) -> None:
    rounded = [columns(said.width, a, b).mean() for a, b, ipa in phonemes if set(ipa) & set("uw") and b > a]
    spread = [columns(said.width, a, b).mean() for a, b, ipa in phonemes if set(ipa) & set("iɪ") and b > a]
    assert np.mean(spread) > np.mean(rounded) + 0.15


@pytest.mark.parametrize("amplitude", [0.0, 1e-4, 0.1])
def test_silence_and_steady_noise_leave_the_mouth_at_rest(amplitude: float) -> None:
    noise = np.random.default_rng(1).standard_normal(80_000) * amplitude
    said = voice_of(noise)
    for curve in (said.opening, said.closure, said.width):
        assert np.all(curve == 0)


def band(rng: np.random.Generator, seconds: int = 8, *, drums: bool = True) -> np.ndarray:
    """Chords of three struck strings at 100 a minute, over drums."""
    time = np.arange(seconds * 16_000) / 16_000
    sound = np.zeros(len(time))
    for first in range(0, len(time), 9_600):
        after = time[: len(time) - first]
        for semitones in rng.choice([0, 4, 7, 9, 12], 3, replace=False):
            hertz = 147 * 2 ** (semitones / 12)
            partials = sum(np.sin(2 * np.pi * hertz * k * after) / k for k in range(1, 9))
            sound[first:] += partials * np.exp(-after / 0.5)
        if drums:
            sound[first:] += 3 * rng.standard_normal(len(after)) * np.exp(-after / 0.04)
    return 0.1 * sound / np.sqrt((sound**2).mean())


@pytest.mark.parametrize("drums", [False, True])
def test_music_leaves_the_mouth_nearly_at_rest(drums: bool) -> None:
    said = voice_of(band(np.random.default_rng(4), drums=drums))
    assert said.opening.mean() < 0.03
    assert np.quantile(said.opening, 0.95) < 0.15
    assert said.closure.mean() < 0.03


def test_a_voice_alone_is_never_taken_for_music(samples: np.ndarray) -> None:
    heard: list[np.ndarray] = []

    def noted(mel: np.ndarray, opened: np.ndarray, sounds: np.ndarray) -> np.ndarray:
        heard.append(voice_share(mel, opened, sounds))
        return heard[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voice, "voice_share", noted)
        voice_of(samples)
    assert np.concatenate(heard).min() == 1.0


def test_a_voice_over_music_still_moves_the_mouth(samples: np.ndarray, said: Articulation) -> None:
    music = np.resize(band(np.random.default_rng(5)), len(samples))
    mixed = voice_of(samples + music * (samples.std() / music.std() * 10 ** (-15 / 20)))
    assert mixed.opening.sum() > 0.85 * said.opening.sum()
    assert np.corrcoef(mixed.opening, said.opening)[0, 1] > 0.8


def test_loudness_of_the_recording_changes_little(samples: np.ndarray, said: Articulation) -> None:
    quiet = voice_of(samples * 0.05)
    assert np.corrcoef(quiet.opening, said.opening)[0, 1] > 0.95


def test_noise_behind_the_voice_changes_little(samples: np.ndarray, said: Articulation) -> None:
    noise = np.random.default_rng(2).standard_normal(len(samples)) * samples.std() * 0.1
    assert np.corrcoef(voice_of(samples + noise).opening, said.opening)[0, 1] > 0.7


def test_any_slice_has_the_bits_of_the_whole(samples: np.ndarray) -> None:
    mel = mel_spectrogram(np.tile(samples, 4))
    statistics = MelStatistics.of(mel)
    whole = articulate(mel, statistics)
    for start, stop in ((0, 1), (5, 900), (1000, 1030), (1024, 2048), (2040, mel.shape[1]), (7, 7)):
        part = articulate(mel, statistics, start=start, stop=stop)
        np.testing.assert_array_equal(part.opening, whole.opening[start:stop])
        np.testing.assert_array_equal(part.closure, whole.closure[start:stop])
        np.testing.assert_array_equal(part.width, whole.width[start:stop])


def test_what_is_far_away_changes_nothing(samples: np.ndarray) -> None:
    mel = mel_spectrogram(samples)
    statistics = MelStatistics.of(mel)
    other = mel.copy()
    other[:, 400:] = -4
    np.testing.assert_array_equal(
        articulate(mel, statistics).opening[: 400 - 104], articulate(other, statistics).opening[: 400 - 104]
    )


def test_a_memory_map_is_read_where_it_lies(samples: np.ndarray, tmp_path: Path) -> None:
    mel = mel_spectrogram(samples)
    np.save(tmp_path / "mel.npy", mel)
    mapped = np.load(tmp_path / "mel.npy", mmap_mode="r")
    found = articulate(mapped, MelStatistics.of(mapped))
    np.testing.assert_array_equal(found.opening, articulate(mel, MelStatistics.of(mel)).opening)


def test_no_sound_is_no_columns() -> None:
    said = articulate(np.zeros((80, 0), np.float32), MelStatistics())
    assert said.opening.shape == (0,)
    assert said.at(np.arange(3) / 25).opening.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "rate", [Fraction(12), Fraction(24000, 1001), Fraction(25), Fraction(60000, 1001), Fraction(240)]
)
def test_frames_average_their_own_duration(rate: Fraction) -> None:
    ramp = np.linspace(0, 1, 801, dtype=np.float32)
    frames = [i / rate for i in range(int(rate), int(9 * rate))]
    mouth = Articulation(ramp, np.zeros_like(ramp), -ramp).at(frames)
    wanted = np.array([float(t) for t in frames]) / 10
    np.testing.assert_allclose(mouth.opening, wanted, atol=1e-6)
    np.testing.assert_allclose(mouth.width, -wanted, atol=1e-6)


def test_low_frame_rates_keep_the_mean_and_every_closure() -> None:
    time = np.arange(1600) / 80
    flutter = (0.5 + 0.5 * np.sin(2 * np.pi * 10 * time)).astype(np.float32)
    closure = np.zeros(1600, np.float32)
    closure[[403, 900, 1277]] = 1
    mouth = Articulation(flutter, closure, flutter).at(np.arange(1, 199) / 10)
    assert np.abs(mouth.opening - 0.5).max() < 0.05
    assert int((mouth.closure == 1).sum()) == 3


def test_a_slice_of_uneven_frames_gives_the_values_of_the_whole(said: Articulation) -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.01, 0.1, 120))
    durations = np.append(np.diff(times), 0.04)
    whole = said.at(times, durations)
    part = said.at(times[40:77], durations[40:77])
    np.testing.assert_array_equal(part.opening, whole.opening[40:77])
    np.testing.assert_array_equal(part.closure, whole.closure[40:77])


def test_a_sync_offset_makes_the_mouth_later(said: Articulation) -> None:
    times = np.arange(200) / 25
    later = said.at(times, sync_offset_seconds=0.2)
    np.testing.assert_allclose(later.opening[5:], said.at(times).opening[:-5], atol=1e-5)


def test_the_mouth_rests_before_and_after_the_sound() -> None:
    ones = np.ones(80, np.float32)
    mouth = Articulation(ones, ones, ones).at(np.array([-1.0, 0.5, 2.0]), np.full(3, 0.04))
    assert mouth.opening.tolist() == [0, 1, 0]
    assert mouth.closure.tolist() == [0, 1, 0]


def test_time_stays_exact_after_five_hours() -> None:
    columns_ = 5 * 3600 * 80
    said = Articulation(*(np.zeros(columns_, np.float32) for _ in range(3)))
    said.opening[-400:] = 1
    first = Fraction(columns_ - 400, 80)
    frames = [first + Fraction(i * 1001, 30000) for i in range(-3, 4)]
    assert np.flatnonzero(said.at(frames).opening > 0.5).tolist() == [3, 4, 5, 6]


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "voice.safetensors"
    broken.write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=r"voice networks in .*voice\.safetensors: found .*; install reelyard"):
        load_voice_net(broken)
    with pytest.raises(WeightsError, match="found"):
        load_voice_net(tmp_path / "missing.safetensors")


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"found shape \(40, 10\), expected \(80, T\)"):
        articulate(np.zeros((40, 10), np.float32), MelStatistics())
