"""Which mel columns each frame hears: upstream's, exactly, at any rate and length, and silence beyond the ends."""

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tasks.lip_sync.wav2lip.plan import first_columns, silent_frames
from tasks.task import SoundWindow, TaskPlan

NTSC = [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)]
COLUMNS = 16


def starts(rate: Fraction, frames: int, offset_seconds: float = 0.0, columns: int = 10**9) -> np.ndarray:
    return first_columns(np.array([float(i / rate) for i in range(frames)]), offset_seconds, columns)


def test_starts_are_upstream_s_at_every_rate(test_data: Path) -> None:
    table = json.loads((test_data / "reference" / "mel_chunks.json").read_text())
    assert len(table) >= 44
    for name, entry in table.items():
        columns, fps = (part.partition("=")[2] for part in name.split())
        rate = Fraction(fps).limit_denominator(2000)
        found = starts(rate, entry["n"], columns=int(columns)).tolist()
        wanted = entry["start"]
        assert found[:60] == wanted[:60], name
        assert found[-5:] == wanted[-5:], name


@pytest.mark.parametrize("rate", [*NTSC, Fraction(25), Fraction(1000, 33), Fraction(12)])
def test_no_rate_drifts_in_five_hours(rate: Fraction) -> None:
    """A frame hears from the column that begins last before it: never a column early, never one late."""
    for frame in (0, 1, 5, 28_771, 28_772, int(20 * 60 * rate), int(5 * 3600 * rate)):
        exact = frame / rate * 80
        assert first_columns(np.array([float(frame / rate)]), 0.0, 10**9)[0] == exact.numerator // exact.denominator


def test_a_positive_offset_lets_the_mouth_come_later() -> None:
    assert starts(Fraction(25), 50, 0.1)[10] == starts(Fraction(25), 50)[10] - 8


def talk(columns: int) -> np.ndarray:
    """Mel columns of syllables, four a second."""
    beat = np.sin(np.arange(columns) * 2 * np.pi * 4 / 80)
    return (0.5 + 1.5 * beat + np.zeros((80, 1))).astype(np.float32)


def test_the_last_window_ends_with_the_sound_and_what_comes_after_is_silent() -> None:
    first = first_columns(np.array([0.9, 1.0, 1.19, 1.25, 5.0]), 0.0, 96)
    assert first.tolist() == [72, 80, 80, 100, 400]
    assert silent_frames(talk(96), first).tolist() == [False, False, False, True, True]
    assert first_columns(np.array([0.0, 0.05]), 0.0, 7).tolist() == [0, 0], "a sound shorter than a window"


def test_nobody_speaks_in_silence_or_steady_noise_and_somebody_does_in_a_short_word() -> None:
    mel = np.full((80, 400), -4.0, np.float32)
    assert silent_frames(mel, np.arange(0, 380, 20)).all()
    mel[:, 200:240] = talk(40)
    quiet = silent_frames(mel, np.arange(0, 380, 20))
    assert quiet[:9].all()
    assert not quiet[10:12].any()
    assert quiet[13:].all()
    noise = np.full((80, 400), -1.0, np.float32) + np.random.default_rng(0).normal(0, 0.05, (80, 400)).astype(
        np.float32
    )
    assert silent_frames(noise, np.arange(0, 380, 20)).all()


@pytest.mark.parametrize("cuts", [[0, 50], [0, 7, 8, 33, 50], list(range(51))])
def test_each_frame_hears_the_same_however_the_output_is_cut(cuts: list[int]) -> None:
    mel = np.random.default_rng(0).random((80, 120), np.float32)
    first = first_columns(np.arange(50) / 25, 0.05, 120)
    whole = np.pad(mel, ((0, 0), (8, 200)), constant_values=-4.0)
    plan = TaskPlan(sounds=(SoundWindow(mel, first, COLUMNS),))
    for a, b in pairwise(cuts):
        inputs = plan.slice(a, b)
        for frame in range(a, b):
            at = int(inputs.narrow(frame, frame + 1).per_frame["mel_first"][0])
            heard = inputs.constant["mel"][:, at : at + COLUMNS]
            np.testing.assert_array_equal(heard, whole[:, first[frame] + 8 : first[frame] + 8 + COLUMNS])


def test_a_segment_carries_its_own_sound_alone() -> None:
    """Of an hour of voice ten seconds take 260 kB, not the hour."""
    mel = np.zeros((80, 3600 * 80), np.float32)
    plan = TaskPlan(sounds=(SoundWindow(mel, first_columns(np.arange(90_000) / 25, 0.0, mel.shape[1]), COLUMNS),))
    assert plan.slice(45_000, 45_250).constant["mel"].shape == (80, 796 + COLUMNS)
