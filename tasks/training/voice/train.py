"""Teaching the voice networks phonetics by descent on synthetic speech; what all share once they are taught."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tasks.lip_sync.voice import net_inputs
from tasks.mel import mel_slice
from tasks.nets.articulation_net import REACH, ArticulationNet, VoiceNet
from tasks.training.voice.examples import Example

Array = NDArray[np.float32]

_WINDOW_COLUMNS: Final = 240
_BATCH: Final = 16
#: Shares of level, amplitude and measured networks (each brought to one spread) in opening, closure and width: before
#: the measured ones know anything, and after.
PHONETIC: Final = ((0.5, 0.5, 0.0), (0.5, 0.5, 0.0), (0.5, 0.5, 0.0))
MEASURED: Final = ((0.0, 0.0, 1.0), (0.5, 0.5, 0.0), (0.0, 0.0, 1.0))


def learn_phonetics(
    net: VoiceNet, examples: Sequence[Example], *, steps: int, seed: int, say: Callable[[str], None]
) -> None:
    """Trains the two articulation networks of `net` in place."""
    torch.manual_seed(seed)
    for index, part in enumerate((net.level, net.amplitude)):
        rng = np.random.default_rng(seed + index)
        optimiser = torch.optim.AdamW(part.parameters(), 3e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for step in range(steps):
            loss = _loss(part, *_windows(examples, index, rng))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            if step % 100 == 99:
                say(f"network {index + 1} of 2, step {step + 1} of {steps}: loss {float(loss.detach()):.3f}")


def _windows(examples: Sequence[Example], kind: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (N, 80, T + 2 * REACH), targets (N, 3, T) and a mask (N, T) of random windows."""
    inputs, targets, masks = [], [], []
    for index in rng.integers(len(examples), size=_BATCH):
        example = examples[int(index)]
        start = int(rng.integers(max(example.mel.shape[1] - _WINDOW_COLUMNS, 0) + 1))
        around = mel_slice(example.mel, start - REACH, _WINDOW_COLUMNS + 2 * REACH)
        inputs.append(net_inputs(around, example.statistics)[kind])
        curves = np.stack([example.curves.opening, example.curves.closure, example.curves.width])
        window = curves[:, start : start + _WINDOW_COLUMNS]
        missing = ((0, 0), (0, _WINDOW_COLUMNS - window.shape[1]))
        targets.append(np.pad(window, missing))
        masks.append(np.pad(np.ones_like(window[:1]), missing)[0])
    shown = torch.from_numpy(np.stack(inputs))
    noisy = shown + 0.1 * torch.randn_like(shown)
    return noisy, torch.from_numpy(np.stack(targets)), torch.from_numpy(np.stack(masks))


def _loss(part: ArticulationNet, shown: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
    answer = part(shown)
    total: Tensor = likeness(answer[:, 0], wanted[:, 0], mask) + 0.5 * likeness(answer[:, 2], wanted[:, 2], mask)
    heavier = torch.tensor(2.0)
    closed = F.binary_cross_entropy_with_logits(answer[:, 1], wanted[:, 1], reduction="none", pos_weight=heavier)
    return total + 0.3 * (closed * mask).sum() / mask.sum()


def likeness(answer: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
    """1 - correlation, averaged over the windows where anything moves, and half the squared error."""
    count = mask.sum(-1, keepdim=True)
    a = (answer - (answer * mask).sum(-1, keepdim=True) / count) * mask
    b = (wanted - (wanted * mask).sum(-1, keepdim=True) / count) * mask
    floor = (1e-3 * count[:, 0]) ** 2
    correlation = (a * b).sum(-1) / ((a * a).sum(-1) * (b * b).sum(-1) + floor).sqrt()
    moving = ((b * b).sum(-1) > 1e-3 * count[:, 0]).float()
    unlike = ((1 - correlation) * moving).sum() / moving.sum().clamp(min=1)
    return unlike + 0.5 * ((answer - wanted) ** 2 * mask).sum() / mask.sum()


def calibrate(net: VoiceNet, examples: Sequence[Example], wanted_shares: Sequence[Sequence[float]]) -> None:
    """Sets shares (`PHONETIC`, `MEASURED`) and scale of `net` so that its answers to `examples` fill their ranges."""
    opinions = torch.cat([torch.stack(_answers(net, example))[:, 0] for example in examples], dim=2)
    spread = opinions.std(2).clamp(min=1e-6)  # (3 opinions, 3 answers)
    wanted = torch.tensor(wanted_shares).T
    shares = wanted / spread
    shares[:, 1] = wanted[:, 1]  # closure: logits as they are
    mean = (opinions * shares[:, :, None]).sum(0)
    low, high = torch.quantile(mean, torch.tensor([0.05, 0.95]), dim=1)
    scale = torch.tensor([[1.0, 0.0]] * 3)
    scale[0] = torch.stack([1 / (high[0] - low[0]), -low[0] / (high[0] - low[0])])
    scale[2] = torch.stack([2 / (high[2] - low[2]), -2 * low[2] / (high[2] - low[2]) - 1])
    net.shares.copy_(shares)
    net.scale.copy_(scale)


def smooth(curve: NDArray[np.floating]) -> NDArray[np.floating]:
    """A curve with the product's own 25 ms of smoothing."""
    kernel = np.exp(-0.5 * (np.arange(-6, 7) / 2.0) ** 2)
    return np.convolve(np.pad(curve, 6, mode="edge"), kernel / kernel.sum(), mode="valid")


def _answers(net: VoiceNet, example: Example) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        return net.answers(*_inputs(example))


def _inputs(example: Example) -> tuple[Tensor, Tensor]:
    around = mel_slice(example.mel, -REACH, example.mel.shape[1] + 2 * REACH)
    level, amplitude = net_inputs(around, example.statistics)
    return torch.from_numpy(level)[None], torch.from_numpy(amplitude)[None]
