"""A mouth rests in silence: the source's closed one is shown, cross-faded within the silence, and counted."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.lip_sync.task import LipSyncTask
from tasks.mel import mel_spectrogram
from tasks.table import parse_task
from tasks.task import TaskPlan, Voice
from tests.tasks.lip_sync.talking import Talk, seen_talking, talk
from tests.tasks.lip_sync.test_source_offset import RATE, output

FRAMES = 10 * RATE
SECONDS = np.arange(FRAMES) / RATE


def pausing(start: float, end: float, *, seed: int = 0) -> Talk:
    """Ten seconds of talk with a silence."""
    said = talk(10, seed).opening.copy()
    said[int(1000 * start) : int(1000 * end)] = 0
    return Talk(said)


def planned(source: Talk, voice: Talk, silence: str = "rest") -> TaskPlan:
    task = LipSyncTask(parse_task(f"lip-sync:model=wav2lip,silence={silence},no_face=fail"))
    return task.conclude([seen_talking(source, SECONDS)], output(FRAMES), Voice(mel_spectrogram(voice.samples()), 10.0))


def kept(plan: TaskPlan) -> NDArray[np.bool_]:
    assert plan.kept is not None
    return plan.kept >= 0


def still() -> Talk:
    return replace(talk(10), opening=np.zeros(10_000))


def test_in_a_long_silence_the_source_s_closed_mouth_is_shown_and_counted() -> None:
    plan = planned(still(), pausing(4, 7))
    rests = np.flatnonzero(kept(plan) & (SECONDS > 3.9) & (SECONDS < 7.1))
    assert len(rests) > 1.5 * RATE
    assert (np.diff(rests) == 1).all()
    assert plan.kept_by_reason(0, FRAMES)["silence"] >= len(rests)
    weights = plan.per_frame["weights"][:, 0]
    before = weights[rests[0] - 8 : rests[0]]
    assert (np.diff(before) <= 0).all()
    assert 0 < before[-1] < 0.5 < before[0] == 1, "it fades"
    spoken = (SECONDS < 3.9) & (SECONDS > 3.0) | (SECONDS > 7.1) & (SECONDS < 8)
    assert (weights[spoken & ~kept(plan)] > 0.99).mean() > 0.9, "and not while somebody speaks"


def test_a_mouth_that_moves_on_in_silence_is_not_shown() -> None:
    speaking = planned(talk(10, seed=8), pausing(4, 7))
    resting = planned(still(), pausing(4, 7))
    inside = (SECONDS > 4.5) & (SECONDS < 6.5)
    assert kept(speaking)[inside].mean() < 0.35 < 0.9 < kept(resting)[inside].mean()
    assert speaking.facts["frames drawn in silence"] > resting.facts["frames drawn in silence"]
    open_wide = planned(Talk(np.ones(10_000)), pausing(4, 7))
    assert not kept(open_wide).any(), "this mouth is never closed"


@pytest.mark.parametrize(("silence", "least", "most"), [("draw", 0, 0), ("rest", 30, 75), ("keep", 60, 90)])
def test_each_way_with_silence_keeps_what_it_says(silence: str, least: int, most: int) -> None:
    rests = kept(planned(still(), pausing(4, 7), silence))[(SECONDS > 3.9) & (SECONDS < 7.1)]
    assert least <= rests.sum() <= most


def test_a_short_pause_is_drawn() -> None:
    loud = Talk(np.clip(0.6 + 0.3 * np.sin(np.arange(10_000) / 60), 0, 1))
    short = Talk(np.where((np.arange(10_000) > 4000) & (np.arange(10_000) < 4500), 0, loud.opening))
    assert not kept(planned(still(), short)).any()


def test_a_voice_that_is_silent_throughout_leaves_a_closed_mouth_alone() -> None:
    plan = planned(still(), still())
    assert kept(plan).all()
    assert plan.kept_by_reason(0, FRAMES) == {"silence": FRAMES}
