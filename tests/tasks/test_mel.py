"""Mel spectrograms: the reference's numbers, the same bits in blocks, exact at any length."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.mel import (
    BANDS,
    COLUMNS_PER_SECOND,
    SILENCE,
    MelStatistics,
    MelStream,
    chunk_starts,
    columns_in,
    mel_filters,
    mel_slice,
    mel_spectrogram,
)

RATES = {
    "23.976": Fraction(2997, 125),
    "23.976023976023978": Fraction(24000, 1001),
    "24": Fraction(24),
    "25": Fraction(25),
    "29.97": Fraction(2997, 100),
    "29.97002997002997": Fraction(30000, 1001),
    "30": Fraction(30),
    "50": Fraction(50),
    "59.94": Fraction(2997, 50),
    "59.94005994005994": Fraction(60000, 1001),
    "60": Fraction(60),
}


def noisy_tone(count: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    time = np.arange(count) / 16000
    return (0.3 * np.sin(2 * np.pi * 300 * time) + 0.05 * rng.standard_normal(count)).astype(np.float32)


def in_blocks(samples: np.ndarray, sizes: list[int]) -> np.ndarray:
    stream, start, columns = MelStream(), 0, []
    while start < len(samples):
        size = sizes[len(columns) % len(sizes)]
        columns.append(stream.push(samples[start : start + size]))
        start += size
    return np.concatenate([np.zeros((BANDS, 0), np.float32), *columns, stream.finish()], axis=1)


@pytest.mark.parametrize("count", [1, 199, 200, 399, 400, 51199, 51200, 51600, 102_400, 160_001])
def test_a_column_every_200_samples(count: int) -> None:
    assert mel_spectrogram(noisy_tone(count)).shape == (BANDS, 1 + count // 200) == (BANDS, columns_in(count))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 70_000), min_size=1, max_size=5), st.integers(0, 120_000))
def test_blocks_give_the_bits_of_the_whole(sizes: list[int], count: int) -> None:
    samples = noisy_tone(count)
    sizes = [max(size, count // 40 + 1) for size in sizes]
    np.testing.assert_array_equal(in_blocks(samples, sizes), mel_spectrogram(samples))


def test_single_samples_give_the_bits_of_the_whole() -> None:
    samples = noisy_tone(1203)
    np.testing.assert_array_equal(in_blocks(samples, [1]), mel_spectrogram(samples))


def test_a_stream_holds_seconds_not_the_whole() -> None:
    stream = MelStream()
    for _ in range(60):
        stream.push(noisy_tone(16_000))
        assert stream.held_samples < 5 * 16_000


def test_digital_silence_is_the_floor() -> None:
    mel = mel_spectrogram(np.zeros(40_000, np.float32))
    assert np.all(mel == SILENCE)


def test_broken_samples_give_finite_columns() -> None:
    samples = noisy_tone(20_000)
    samples[5000:5010] = [np.nan, np.inf, -np.inf, 1e30, -1e30, np.nan, 0, 0, np.nan, 1]
    assert np.all(np.isfinite(mel_spectrogram(samples)))


def test_a_tone_lights_its_own_band() -> None:
    time = np.arange(16_000) / 16_000
    for hertz in (200, 1000, 4000):
        mel = mel_spectrogram(np.sin(2 * np.pi * hertz * time).astype(np.float32) * 0.5)
        brightest = int(np.argmax(mel[:, 40]))
        bins = np.linspace(0, 8000, 401)
        assert abs(float(bins[np.argmax(mel_filters()[brightest])]) - hertz) < 0.06 * hertz


def test_filters_are_those_of_librosa() -> None:
    filters = pytest.importorskip("librosa.filters")
    theirs = filters.mel(sr=16_000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    np.testing.assert_allclose(mel_filters(), theirs, atol=1e-7)


def test_stereo_is_refused() -> None:
    with pytest.raises(ValueError, match=r"found shape \(2, 100\), expected \(S,\) mono"):
        mel_spectrogram(np.zeros((2, 100), np.float32))


def test_slices_pad_with_silence_only_beyond_the_ends() -> None:
    mel = mel_spectrogram(noisy_tone(4000))
    columns = mel.shape[1]
    np.testing.assert_array_equal(mel_slice(mel, 3, 9), mel[:, 3:12])
    before = mel_slice(mel, -2, 5)
    assert np.all(before[:, :2] == SILENCE)
    np.testing.assert_array_equal(before[:, 2:], mel[:, :3])
    after = mel_slice(mel, columns - 2, 6)
    assert np.all(after[:, 2:] == SILENCE)
    np.testing.assert_array_equal(after[:, :2], mel[:, -2:])
    for start in (-50, columns, columns + 50):
        assert np.all(mel_slice(mel, start, 7) == SILENCE)
        assert mel_slice(mel, start, 7).shape == (BANDS, 7)


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
@pytest.mark.parametrize("seconds", [1, 14 * 60 + 1, 5 * 3600])
def test_chunk_starts_are_exact_at_any_length(rate: Fraction, seconds: int) -> None:
    columns = 1 + seconds * COLUMNS_PER_SECOND
    starts = chunk_starts(columns, rate)
    expected = [int(i * 80 / rate) for i in (0, 1, len(starts) // 2, len(starts) - 2)]
    assert [int(starts[i]) for i in (0, 1, len(starts) // 2, len(starts) - 2)] == expected
    assert starts[-2] + 16 <= columns == starts[-1] + 16
    assert int((len(starts) - 1) * 80 / rate) + 16 > columns
    assert starts.dtype == np.int64


def test_a_sound_shorter_than_a_chunk_has_one_chunk() -> None:
    np.testing.assert_array_equal(chunk_starts(5, Fraction(25)), [0])


def test_five_hours_of_columns_are_sliced_where_they_lie() -> None:
    columns = 5 * 3600 * COLUMNS_PER_SECOND
    numbered = np.broadcast_to(np.arange(columns, dtype=np.float32), (BANDS, columns))
    for start in chunk_starts(columns, Fraction(30000, 1001))[[1, 200_000, -2, -1]]:
        np.testing.assert_array_equal(mel_slice(numbered, int(start), 16)[0], np.arange(start, start + 16))


def test_statistics_have_no_order() -> None:
    mel = mel_spectrogram(noisy_tone(50_000) * np.linspace(0, 1, 50_000, dtype=np.float32))
    whole = MelStatistics.of(mel)
    parts = [MelStatistics.of(mel[:, a:b]) for a, b in ((100, 251), (0, 7), (7, 100))]
    merged = parts[0] + parts[1] + parts[2]
    for name in ("counts", "sums", "squares"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))
    mean, deviation = whole.mean_and_deviation(above=-5)
    np.testing.assert_allclose(mean, mel.mean(1), atol=1e-3)
    np.testing.assert_allclose(deviation, mel.std(1), atol=1e-3)


def test_statistics_of_silence_divide_by_nothing() -> None:
    statistics = MelStatistics.of(mel_spectrogram(np.zeros(8000, np.float32)))
    mean, deviation = statistics.mean_and_deviation(above=-3.9)
    assert np.all(mean == SILENCE)
    assert np.all(deviation == 1)


@pytest.mark.parametrize(("name", "wave"), [("mel_synthetic_3s", "wav"), ("mel_speech_dhlive_audio0", "wav16k")])
def test_columns_are_those_of_the_reference(test_data: Path, name: str, wave: str) -> None:
    with np.load(test_data / "reference" / f"{name}.npz") as arrays:
        np.testing.assert_allclose(mel_spectrogram(arrays[wave]), arrays["mel"], atol=1e-4)


def test_chunk_starts_are_those_of_the_reference(test_data: Path) -> None:
    cases = json.loads((test_data / "reference" / "mel_chunks.json").read_text())
    assert len(cases) == 44
    for key, expected in cases.items():
        columns, rate = key.split()
        starts = chunk_starts(int(columns.removeprefix("T=")), RATES[rate.removeprefix("fps=")]).tolist()
        assert len(starts) == expected["n"], key
        shown = expected["start"]
        if len(shown) < len(starts):
            starts = starts[:60] + starts[-5:]
        assert starts == shown, key
