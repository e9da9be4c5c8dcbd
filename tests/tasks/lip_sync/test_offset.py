"""The offset between sound and picture: found where it is, and not claimed where nothing can be said."""

import numpy as np
import pytest

from tasks.lip_sync.offset import estimate_offset


def syllables(seconds: float, seed: int) -> np.ndarray:
    """An opening curve at 80 Hz: band-limited noise around four syllables a second."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(int(seconds * 80)))
    hertz = np.fft.rfftfreq(int(seconds * 80), 1 / 80)
    return np.fft.irfft(spectrum * np.exp(-0.5 * ((hertz - 3) / 2) ** 2), int(seconds * 80)).astype(np.float32)


def measured_from(curve: np.ndarray, times: np.ndarray, late: float) -> np.ndarray:
    """What a camera sees of a mouth whose sound comes `late` seconds after it."""
    return np.interp((times + late) * 80, np.arange(len(curve)), curve).astype(np.float32)


@pytest.mark.parametrize("late", [-0.4, -0.1, 0.0, 0.055, 0.3, 0.4])
@pytest.mark.parametrize("rate", [24, 30, 60])
def test_a_shift_is_found_at_any_frame_rate(late: float, rate: int) -> None:
    curve = syllables(20, 1)
    times = np.arange(rate, 19 * rate) / rate
    found = estimate_offset(curve, measured_from(curve, times, late), times)
    assert found.seconds == pytest.approx(late, abs=0.0051)
    assert found.correlation > 0.98
    assert found.confidence > 0.99


def test_a_shift_is_found_under_noise() -> None:
    curve = syllables(20, 2)
    times = np.arange(30, 570) / 30
    seen = measured_from(curve, times, 0.12)
    noise = np.random.default_rng(3).standard_normal(len(seen)) * seen.std()
    found = estimate_offset(curve, (seen + noise).astype(np.float32), times)
    assert found.seconds == pytest.approx(0.12, abs=0.03)
    assert found.confidence > 0.9


def test_missing_and_uneven_pictures_do_no_harm() -> None:
    curve = syllables(20, 4)
    rng = np.random.default_rng(5)
    times = np.sort(rng.uniform(1, 19, 200))
    found = estimate_offset(curve, measured_from(curve, times, -0.2), times)
    assert found.seconds == pytest.approx(-0.2, abs=0.0051)


def test_strangers_are_not_believed() -> None:
    times = np.arange(30, 570) / 30
    confident = [
        estimate_offset(syllables(20, seed), measured_from(syllables(20, seed + 100), times, 0), times).confidence
        for seed in range(10)
    ]
    assert np.median(confident) < 0.8


def test_nothing_can_be_said_of_a_still_mouth_or_of_few_pictures() -> None:
    curve = syllables(5, 6)
    times = np.arange(100) / 25
    for seen, at in ((np.full(100, 0.3, np.float32), times), (curve[:5], times[:5])):
        found = estimate_offset(curve, seen, at)
        assert (found.seconds, found.confidence) == (0.0, 0.0)
