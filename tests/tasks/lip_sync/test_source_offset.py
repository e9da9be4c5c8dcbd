"""A source's own offset: found with its sign, told with its confidence, applied only where it is sure."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.errors import JobError
from tasks.faces.selector import parse_face_selector
from tasks.lip_sync.offset import Offset
from tasks.lip_sync.seen import read_units
from tasks.lip_sync.source_offset import SourceOffset, applied_sentence, asked_offset_seconds, judged, source_offset
from tasks.lip_sync.task import LipSyncTask
from tasks.mel import mel_spectrogram
from tasks.picture import Colour, PictureFormat, pixel_layout
from tasks.table import parse_task
from tasks.task import OutputFrames, SoundStretch, Voice
from tests.tasks.lip_sync.faces import PORTRAIT_POINTS
from tests.tasks.lip_sync.talking import Talk, seen_talking, talk

LARGEST = parse_face_selector("largest")
RATE = 25
#: What is heard before the first frame, as the pipeline gives it.
LEAD = 0.75


def output(frames: int, *heard: SoundStretch) -> OutputFrames:
    layout = pixel_layout("yuv420p")
    assert layout is not None
    form = PictureFormat(layout, 512, 512, Colour(6, 6, 6, full_range=True))
    return OutputFrames(np.arange(frames), np.arange(frames) / RATE, np.full(frames, 1 / RATE), form, heard)


def stretch(said: Talk, start: int, frames: int, late: float) -> SoundStretch:
    """The sound of some frames, `late` seconds after what is seen."""
    samples = said.samples()
    begin = round((start / RATE - LEAD - late) * 16_000)
    at = begin + np.arange(round((frames / RATE + 2 * LEAD) * 16_000))
    heard = np.where((at >= 0) & (at < len(samples)), samples[np.clip(at, 0, len(samples) - 1)], 0)
    return SoundStretch(start, LEAD + np.arange(frames) / RATE, mel_spectrogram(heard.astype(np.float32)))


@pytest.mark.parametrize("late", [-0.4, -0.1, 0.0, 0.05, 0.3, 0.4])
def test_a_sound_that_comes_late_is_told_as_positive_and_one_that_is_early_as_negative(late: float) -> None:
    said, frames = talk(20), 20 * RATE
    scan = read_units([seen_talking(said, np.arange(frames) / RATE)])
    found = source_offset(scan, output(frames, stretch(said, 0, frames, late)), LARGEST)
    assert found.found is not None
    assert found.found.seconds == pytest.approx(late, abs=0.04)
    assert found.found.confidence > 0.9
    assert found.why_not == ""
    assert asked_offset_seconds("auto", found) == -found.seconds


def test_stretches_that_lie_far_apart_are_taken_together() -> None:
    said, frames = talk(50, seed=3), 50 * RATE
    scan = read_units([seen_talking(said, np.arange(frames) / RATE)])
    heard = [stretch(said, start, 4 * RATE, 0.2) for start in (0, 400, 1100)]
    alone = source_offset(scan, output(frames, heard[0]), LARGEST)
    together = source_offset(scan, output(frames, *heard), LARGEST)
    assert alone.found is not None
    assert together.found is not None
    assert together.found.seconds == pytest.approx(0.2, abs=0.04)
    assert together.found.confidence >= alone.found.confidence


def test_another_s_voice_is_not_believed() -> None:
    frames = 20 * RATE
    scan = read_units([seen_talking(talk(20, seed=1), np.arange(frames) / RATE)])
    for seed in range(10, 14):
        found = source_offset(scan, output(frames, stretch(talk(20, seed), 0, frames, 0)), LARGEST)
        assert found.why_not
        assert asked_offset_seconds("auto", found) == 0
        assert applied_sentence("auto", found) == "sync_offset=auto: 0 ms, as the source's own offset is not sure"


def test_of_a_source_without_sound_or_without_a_face_nothing_is_said() -> None:
    said = talk(10)
    scan = read_units([seen_talking(said, np.arange(250) / RATE)])
    assert source_offset(scan, output(250), LARGEST).sentence == (
        "the source's sound offset is not known: no sound of its own was heard"
    )
    nobody = source_offset(scan, output(250, stretch(said, 0, 50, 0)), LARGEST)
    assert nobody.sentence == "the source's sound offset is not known: no face was seen for 3 s while sound was heard"
    assert nobody.found is None


def test_what_is_told_says_the_sign_in_words() -> None:
    late, early = judged(Offset(0.3, 0.98, 0.6)), judged(Offset(-0.1, 0.98, 0.6))
    assert late.sentence == "the source's sound lies 300 ms later than its picture (confidence 0.98)"
    assert early.sentence == "the source's sound lies 100 ms earlier than its picture (confidence 0.98)"
    assert applied_sentence("auto", late).endswith("mouths move 300 ms earlier than the voice, as the source's own do")
    assert applied_sentence("auto", early).endswith("mouths move 100 ms later than the voice, as the source's own do")
    assert applied_sentence("40", late) == ""
    assert judged(Offset(0.3, 0.7, 0.6)).sentence == (
        "the source's sound may lie 300 ms later than its picture, but this is not sure (confidence 0.70): "
        "another place fits nearly as well"
    )
    assert "agree too little" in judged(Offset(0.3, 0.99, 0.1)).sentence
    assert late.facts["sound offset ms"] == 300
    assert asked_offset_seconds("40", SourceOffset(None)) == 0.04


@pytest.mark.parametrize("model", ["embedded", "wav2lip"])
def test_auto_draws_as_the_found_milliseconds_do_and_the_default_as_none(model: str) -> None:
    said, frames = talk(20, seed=5), 20 * RATE
    unit = seen_talking(said, np.arange(frames) / RATE)
    shown = output(frames, stretch(said, 0, frames, 0.2))
    voice = Voice(mel_spectrogram(talk(20, seed=6).samples()), 20.0)

    def drawn(offset: str, out: OutputFrames) -> np.ndarray:
        plan = LipSyncTask(parse_task(f"lip-sync:model={model},sync_offset={offset}")).conclude([unit], out, voice)
        inputs = plan.slice(0, frames)
        return np.asarray(inputs.per_frame["gaps"] if model == "embedded" else inputs.per_frame["mel_first"])

    told = LipSyncTask(parse_task(f"lip-sync:model={model}")).conclude([unit], shown, voice)
    shift = int(told.facts["sound offset ms"])
    assert shift == pytest.approx(200, abs=40)
    assert any("later than its picture" in note for note in told.notes), "told where it was not asked for"
    if model == "wav2lip":  # The embedded backend draws nothing without pictures of a mouth.
        np.testing.assert_array_equal(drawn("auto", shown), drawn(str(-shift), shown))
        assert (drawn("auto", shown) != drawn("0", shown)).any()
        np.testing.assert_array_equal(drawn("auto", replace(shown, source_sound=())), drawn("0", shown))


def test_another_value_is_refused() -> None:
    with pytest.raises(JobError, match="expected milliseconds from -2000 to 2000, or auto"):
        parse_task("lip-sync:sync_offset=self")


def test_the_points_of_the_test_s_face_are_a_face_s() -> None:
    unit = seen_talking(Talk(np.linspace(0, 1, 1000)), np.arange(25) / RATE)
    opening = np.asarray(unit.arrays["opening"])
    assert (np.diff(opening) >= 0).all()
    assert opening[-1] > opening[0] + 0.05
    assert unit.arrays["points"].shape == (25, *PORTRAIT_POINTS.shape)
