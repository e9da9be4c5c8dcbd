"""Mouths against sounds: a shift is found at any frame rate and moves with the sound; other weights are refused."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.errors import WeightsError
from tasks.lip_sync.syncnet.clips import jpeg_of
from tasks.lip_sync.syncnet.distances import COLUMNS, RATE, SHIFTS, agreement, distances, sampled
from tasks.lip_sync.syncnet.expert import SyncNetExpert, open_expert
from tasks.lip_sync.syncnet.runs import MOST_RUNS, drawn_agreement, marked, plan_runs
from tasks.mel import SILENT_COLUMN, mel_spectrogram
from tasks.nets.wav2lip import Wav2Lip
from tests.tasks.lip_sync.syncnet.experts import Planted, brightness, heard, loudness, mouths, random_weights
from tests.tasks.lip_sync.talking import talk
from tests.tasks.recipe import inputs, shapes, weights

SECONDS = 6.0
LEAD = 0.75


def found(late_frames: int, rate: Fraction = Fraction(25), *, seed: int = 0):  # type: ignore[no-untyped-def]
    """The agreement of a clip whose sound comes so many 25ths of a second late."""
    said = loudness(SECONDS + 2, seed)
    seconds = LEAD + np.array([float(i / rate) for i in range(int(SECONDS * rate))])
    shown = mouths(brightness(said, seconds + late_frames / RATE))
    return agreement([distances(Planted(), shown, seconds, heard(said))])


@pytest.mark.parametrize("late", [-12, -3, 0, 1, 7, 15])
def test_a_sound_that_is_shifted_by_frames_shifts_the_answer_by_as_many(late: int) -> None:
    one = found(late)
    assert one is not None
    assert round(one.offset.seconds * RATE) == late
    assert one.offset.confidence > 0.9
    assert one.lse_d < 0.05 < one.lse_c


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30), Fraction(60000, 1001), Fraction(50)])
def test_other_frame_rates_are_looked_at_25_times_a_second(rate: Fraction) -> None:
    one = found(5, rate)
    assert one is not None
    assert abs(one.offset.seconds * RATE - 5) <= 1
    assert one.offset.confidence > 0.9


def test_frames_are_sampled_by_their_times_whatever_the_rate() -> None:
    steady, times = sampled(np.arange(0, 50) / 50)
    assert steady.tolist() == list(range(0, 50, 2))
    assert np.allclose(np.diff(times), 1 / RATE)
    uneven, _ = sampled(np.array([0.0, 0.1, 0.12, 0.2]))
    assert uneven.tolist() == [0, 0, 1, 2, 2, 3]
    assert sampled(np.zeros(0))[0].tolist() == []
    assert len(distances(Planted(), mouths(np.ones(4)), np.arange(4) / RATE, heard(np.ones(99)))) == 0
    assert agreement([]) is None


def test_mouths_that_belong_to_other_sound_are_not_sure() -> None:
    sure = 0
    for seed in range(6):
        shown = mouths(brightness(loudness(8, seed), LEAD + np.arange(150) / RATE))
        other = agreement([distances(Planted(), shown, LEAD + np.arange(150) / RATE, heard(loudness(8, seed + 50)))])
        assert other is not None
        sure += other.offset.confidence > 0.95
    assert sure == 0


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> SyncNetExpert:
    torch.set_num_threads(1)
    return SyncNetExpert(random_weights(tmp_path_factory.mktemp("weights") / "random.pth"))


def test_syncnet_gives_the_same_direction_in_any_company(expert: SyncNetExpert) -> None:
    shown = (inputs("mouths", (10, 5, 48, 96, 3)) * 255).astype(np.uint8)
    sounds = inputs("sounds", (10, 80, 16), -4, 4)
    for directions, one in (
        (expert.faces(shown), expert.faces(shown[9:])),
        (expert.sounds(sounds), expert.sounds(sounds[9:])),
    ):
        assert directions.shape == (10, 512)
        assert np.allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-5)
        assert np.array_equal(directions[9:], one)
    assert expert.name == "SyncNet (random.pth)"


def test_syncnet_sees_bgr_lower_halves_as_the_network_wants_them(expert: SyncNetExpert) -> None:
    shown = (inputs("mouths", (1, 5, 48, 96, 3)) * 255).astype(np.uint8)
    channels = [shown[0, frame, :, :, colour] / np.float32(255) for frame in range(5) for colour in (2, 1, 0)]
    mel = inputs("sounds", (1, 80, 16), -4, 4)
    with torch.inference_mode():
        sound, face = expert._network(torch.from_numpy(mel)[None], torch.from_numpy(np.stack(channels)[None]))
    assert np.allclose(expert.faces(shown), face.numpy(), atol=1e-5)
    assert np.allclose(expert.sounds(mel), sound.numpy(), atol=1e-5)


def test_with_syncnet_itself_a_shift_of_the_sound_shifts_its_distances(expert: SyncNetExpert) -> None:
    """Random weights know no offset; which sound stands at which shift is proved all the same."""
    mel = mel_spectrogram(talk(4, seed=1).samples())
    shown = (inputs("mouths", (8, 48, 96, 3)) * 255).astype(np.uint8)
    seconds = 1.0 + np.arange(8) / RATE
    here = distances(expert, shown, seconds, mel)
    assert here.shape == (4, 2 * SHIFTS + 1)
    assert np.array_equal(here, distances(expert, shown, seconds, mel))
    later = np.concatenate([SILENT_COLUMN.repeat(COLUMNS, 1), mel], 1)  # 200 ms: five shifts of 40
    assert np.allclose(distances(expert, shown, seconds, later)[:, 5:], here[:, :-5], atol=1e-5)


def test_weights_of_another_network_are_refused_with_the_first_mismatch(tmp_path: Path) -> None:
    random = random_weights(tmp_path / "w.pth")
    torch.save({"state_dict": weights(shapes(Wav2Lip()))}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"weights of SyncNet: face_encoder\.0\.conv_block\.0\.weight .* missing"):
        open_expert(random)
    assert open_expert(None) is None


def test_runs_are_drawn_spoken_apart_and_few() -> None:
    mel = mel_spectrogram(talk(60, seed=4).samples())
    seconds, drawn = np.arange(1500) / RATE, np.ones(1500, bool)
    drawn[100:130] = False
    runs = plan_runs(seconds, drawn, mel)
    frames = runs["sync_frames"]
    assert len(frames) == MOST_RUNS
    assert (frames[1:, 0] >= frames[:-1, 1]).all()
    assert frames[-1, 1] > 1300, "all over the output"
    mark = marked(runs, 1500)
    assert mark.sum() == (frames[:, 1] - frames[:, 0]).sum()
    assert not mark[100:130].any()
    assert not len(plan_runs(seconds, drawn, np.repeat(SILENT_COLUMN, 4800, 1))["sync_frames"]), "nobody speaks"
    assert not len(plan_runs(seconds, np.zeros(1500, bool), mel)["sync_frames"]), "nothing is drawn"


@pytest.mark.parametrize("late", [0, -4, 6])
def test_drawn_mouths_are_held_against_what_they_should_have_said(late: int) -> None:
    said = loudness(12)
    mel = heard(said)
    seconds = 0.7 + np.arange(250) / RATE
    runs = plan_runs(seconds, np.ones(250, bool), mel)
    shown = mouths(brightness(said, seconds - late / RATE)).repeat(2, 1)  # whole faces, of which the lower half is kept
    seen = {(i, 0): jpeg_of(face) for i, face in enumerate(shown)}
    measures = drawn_agreement(Planted(), seen, runs)
    assert measures["lse_offset"] == pytest.approx(40 * abs(late))
    assert measures["lse_d"] < 0.05 < measures["lse_c"]
    assert drawn_agreement(Planted(), {}, runs) == {}, "nothing was looked at"
    assert drawn_agreement(Planted(), {key: one for key, one in seen.items() if key[0] % 2}, runs) == {}
