"""How measured mouths are taught: windows of clips disturbed as other voices would be, weights that stay small."""

import numpy as np
import torch

from tasks.lip_sync.voice import WEIGHTS
from tasks.mel import BANDS, COLUMNS_PER_SECOND, MelStatistics
from tasks.nets.articulation_net import VoiceNet
from tasks.training.voice.__main__ import compact
from tasks.training.voice.examples import Example
from tasks.training.voice.mouths import disturb, learn_mouths
from tasks.training.voice.phones import MouthCurves


def test_disturbing_changes_the_voice_but_moves_nothing_in_time() -> None:
    level = np.full((BANDS, 120), -1.5, np.float32)
    level[20:60, 60:] = 2.0
    rng = np.random.default_rng(0)
    heard = [disturb(level, rng) for _ in range(30)]
    assert all(one.shape == level.shape and one.dtype == np.float32 for one in heard)
    assert all(int(np.abs(np.diff(one.mean(0))).argmax()) == 59 for one in heard)
    assert min(float(np.abs(one - level).mean()) for one in heard) > 0.05


def spoken(rng: np.random.Generator, *, measured: bool) -> Example:
    """Four seconds in which the level of all bands is the opening."""
    opening = np.repeat(rng.uniform(0, 1, 40), COLUMNS_PER_SECOND // 10).astype(np.float32)
    mel = (rng.normal(0, 0.1, (BANDS, len(opening))) + 2 * opening - 1).astype(np.float32)
    nothing = np.zeros_like(opening)
    curves = MouthCurves(opening, nothing, opening, nothing + 1)
    return Example(mel, MelStatistics.of(mel), curves, measured)


def test_measured_networks_learn_and_others_stay_as_they_were() -> None:
    rng = np.random.default_rng(0)
    net = VoiceNet()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items() if not name.startswith("measured")}
    said: list[str] = []
    clips, synthetic = [spoken(rng, measured=True)], [spoken(rng, measured=False)]
    learn_mouths(net, clips, synthetic, steps=3, seed=0, say=said.append)
    assert len(said) == 2
    assert all(float(line.rpartition(" ")[2]) < 1.8 for line in said)  # 1.95 and more where nothing is learnt
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())


def test_what_ships_stays_under_a_megabyte_and_loads_as_it_was_stored() -> None:
    assert WEIGHTS.stat().st_size < 1_000_000
    net = VoiceNet()
    stored = compact(net)
    again = VoiceNet()
    again.load_state_dict(stored)
    for name, tensor in net.state_dict().items():
        rounded = tensor.half().float() if name.startswith("measured.") else tensor
        assert torch.equal(again.state_dict()[name], rounded)
