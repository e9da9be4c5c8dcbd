"""How measured mouths are taught: windows of clips disturbed as other voices would be, weights that stay small."""

import numpy as np
import torch

from tasks.lip_sync.voice import WEIGHTS, net_inputs, speech_floor
from tasks.mel import BANDS, COLUMNS_PER_SECOND, SAMPLE_RATE, MelStatistics
from tasks.nets.articulation_net import VoiceNet, evened
from tasks.training.voice.__main__ import compact
from tasks.training.voice.clips import Clip, outer_gap
from tasks.training.voice.examples import Example, clip_examples
from tasks.training.voice.mouths import amplitudes, disturb, learn_mouths
from tasks.training.voice.phones import MouthCurves
from tasks.training.voice.train import MEASURED, PHONETIC, calibrate


def test_disturbing_changes_the_voice_but_moves_nothing_in_time() -> None:
    level = np.full((BANDS, 120), -1.5, np.float32)
    level[20:60, 60:] = 2.0
    rng = np.random.default_rng(0)
    heard = [disturb(level, rng) for _ in range(30)]
    assert all(one.shape == level.shape and one.dtype == np.float32 for one in heard)
    assert all(int(np.abs(np.diff(one.mean(0))).argmax()) == 59 for one in heard)
    assert min(float(np.abs(one - level).mean()) for one in heard) > 0.05


def test_voices_are_disturbed_mostly_to_smaller_throats() -> None:
    level = np.full((BANDS, 40), -1.5, np.float32)
    level[38:43] = 2.0
    rng = np.random.default_rng(0)
    heard = [disturb(level, rng).mean(1) for _ in range(200)]
    formants = [float((np.arange(BANDS) * (one > 0.2)).sum() / max((one > 0.2).sum(), 1)) for one in heard]
    assert 41.5 < np.median(formants) < 46, "a formant at band 40 is not heard some 8 % higher"
    assert np.quantile(formants, 0.1) < 40, "no voice is disturbed to a larger throat"


def test_before_mouths_are_known_phonetic_networks_alone_are_asked() -> None:
    rng = np.random.default_rng(0)
    net = VoiceNet()
    examples = [spoken(rng, measured=False)]
    calibrate(net, examples, PHONETIC)
    level, amplitude = torch.randn(2, 1, BANDS, 60).unbind()
    before = net(level, amplitude)
    for tensor in net.measured.parameters():
        tensor.data.normal_()
    assert torch.equal(net(level, amplitude), before)
    calibrate(net, examples, MEASURED)
    assert not torch.equal(net(level, amplitude)[:, 0], before[:, 0])


def test_measured_networks_are_taught_the_parting_of_the_lips_where_the_sound_says_it_is() -> None:
    times = np.arange(100) / 25
    rng = np.random.default_rng(0)
    parting = rng.uniform(0.1, 0.4, 100).astype(np.float32)
    sound = rng.normal(0, 0.1, 4 * SAMPLE_RATE).astype(np.float32)
    clip = Clip("one", True, sound, times, np.zeros(100, np.float32), parting, parting)
    taught = clip_examples([clip], {"one": 0.1})["one"].curves.opening
    heard = np.interp(times[5:90] + 0.1, np.arange(len(taught)) / COLUMNS_PER_SECOND + 0.1, taught)
    assert np.corrcoef(heard, parting[5:90])[0, 1] > 0.99


def test_lips_are_parted_by_their_outer_edges_too() -> None:
    points = np.zeros((1, 51, 2), np.float32)
    points[0, [8, 9, 10], 1] = 6.0, 7.0, 8.0
    assert outer_gap(points) == 7.0


def test_amplitudes_of_levels_are_those_the_networks_are_shown() -> None:
    rng = np.random.default_rng(0)
    mel = rng.normal(0, 1, (BANDS, 400)).astype(np.float32)
    statistics = MelStatistics.of(mel)
    level, shown = net_inputs(mel, statistics)
    _, deviation = statistics.mean_and_deviation(above=speech_floor(statistics))
    assert deviation.min() > 0.2
    found = amplitudes(torch.from_numpy(level)[None], torch.from_numpy(deviation.astype(np.float32))[None])[0]
    assert torch.allclose(found, torch.from_numpy(shown), atol=1e-3)


def test_evened_levels_keep_what_is_broad_and_lose_the_partials_of_a_voice() -> None:
    bands = torch.arange(BANDS)
    broad = torch.sin(bands / 12)[None, :, None].expand(2, BANDS, 30)
    partials = torch.cos(bands * np.pi / 2)[None, :, None].expand(2, BANDS, 30)
    assert torch.allclose(evened(broad)[:, 5:-5], broad[:, 5:-5], atol=0.02)
    assert evened(partials)[:, 5:-5].abs().max() < 0.05
    assert torch.allclose(evened(torch.ones(1, BANDS, 3)), torch.ones(1, BANDS, 3))


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
