"""Teaching the voice networks: phonetics by descent on synthetic speech, real mouths by ridge regression."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tasks.lip_sync.voice import net_inputs
from tasks.mel import BANDS, mel_slice
from tasks.nets.articulation_net import HIDDEN, REACH, ArticulationNet, VoiceNet
from tasks.training.voice.examples import Example

Array = NDArray[np.float32]
Matrix = NDArray[np.float64]

_WINDOW_COLUMNS: Final = 240
_BATCH: Final = 16
#: The measured reading sees bands in groups of three, at these columns around the one it answers for.
_GROUP_BANDS: Final = 3
_PLACES: Final = (-10.0, -6.5, -4.0, -2.0, 0.0, 2.0, 4.0, 6.5, 10.0)
_RIDGE: Final = 10.0
_HIDDEN_WEIGHT: Final = 2.0
#: Shares of level, amplitude and measured reading (each brought to one spread) by answer.
_SHARES: Final = {"opening": (0.2, 0.2, 0.6), "closure": (0.5, 0.5, 0.0), "width": (0.3, 0.3, 0.4)}


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
    answer, _ = part(shown)
    total: Tensor = _likeness(answer[:, 0], wanted[:, 0], mask) + 0.5 * _likeness(answer[:, 2], wanted[:, 2], mask)
    heavier = torch.tensor(2.0)
    closed = F.binary_cross_entropy_with_logits(answer[:, 1], wanted[:, 1], reduction="none", pos_weight=heavier)
    return total + 0.3 * (closed * mask).sum() / mask.sum()


def _likeness(answer: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
    """1 - correlation, averaged over the windows where anything moves, and half the squared error."""
    count = mask.sum(-1, keepdim=True)
    a = (answer - (answer * mask).sum(-1, keepdim=True) / count) * mask
    b = (wanted - (wanted * mask).sum(-1, keepdim=True) / count) * mask
    floor = (1e-3 * count[:, 0]) ** 2
    correlation = (a * b).sum(-1) / ((a * a).sum(-1) * (b * b).sum(-1) + floor).sqrt()
    moving = ((b * b).sum(-1) > 1e-3 * count[:, 0]).float()
    unlike = ((1 - correlation) * moving).sum() / moving.sum().clamp(min=1)
    return unlike + 0.5 * ((answer - wanted) ** 2 * mask).sum() / mask.sum()


@dataclass(frozen=True)
class Normal:
    """The normal equations of some examples, to be added over those that may teach."""

    square: Matrix
    "(features, features)"
    product: Matrix
    "(features, 2) with opening and width"

    def __add__(self, other: "Normal") -> "Normal":
        return Normal(self.square + other.square, self.product + other.product)


def normal_equations(net: VoiceNet, example: Example, spread: Matrix) -> Normal:
    """What one measured example says about real mouths; each counts by the root of its length."""
    features = _features(net, example) / spread[:, None]
    features = features - features.mean(1, keepdims=True)
    wanted = np.stack([smooth(curve) for curve in (example.curves.opening, example.curves.width)])
    wanted = (wanted - wanted.mean(1, keepdims=True)) / np.maximum(wanted.std(1, keepdims=True), 1e-6)
    weight = wanted.shape[1] ** -0.5
    return Normal(weight * features @ features.T, weight * features @ wanted.T)


def feature_spread(net: VoiceNet, examples: Sequence[Example]) -> Matrix:
    """(features,) what to divide features by: the networks' own by their spread, the sound's by 1."""
    hidden = np.concatenate([_features(net, example)[-2 * HIDDEN :] for example in examples], axis=1)
    deviation = hidden.std(1)
    own = (deviation + 0.3 * deviation.mean()) / _HIDDEN_WEIGHT
    return np.concatenate([np.ones(len(_kernels()) * 2), own])


def learn_mouths(net: VoiceNet, normal: Normal, spread: Matrix) -> None:
    """Sets the measured reading of `net` by ridge regression."""
    size = len(normal.square)
    ridge = _RIDGE * np.trace(normal.square) / size * np.eye(size)
    solved = np.linalg.solve(normal.square + ridge, normal.product) / spread[:, None]  # (features, 2)
    kernels = _kernels()
    heard = np.einsum("kfo,fbt->okbt", solved[: 2 * len(kernels)].reshape(2, len(kernels), 2), kernels)
    with torch.no_grad():
        net.heard.weight.copy_(torch.from_numpy(heard.reshape(2, 2 * BANDS, 2 * REACH + 1)))
        net.heard.bias.zero_()  # type: ignore[union-attr]
        net.understood.weight.copy_(torch.from_numpy(solved[2 * len(kernels) :].T[:, :, None].copy()))


def calibrate(net: VoiceNet, examples: Sequence[Example]) -> None:
    """Sets the shares and the scale of `net` so that its answers to `examples` fill the documented ranges."""
    opinions = torch.cat([torch.stack(_answers(net, example))[:, 0] for example in examples], dim=2)
    spread = opinions.std(2).clamp(min=1e-6)  # (3 opinions, 3 answers)
    wanted = torch.tensor(list(_SHARES.values())).T
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


def _features(net: VoiceNet, example: Example) -> Matrix:
    """(features, T): groups of bands at places around each column, of both inputs; then the hidden values."""
    inputs = _inputs(example)
    kernels = torch.from_numpy(_kernels()).float()
    with torch.no_grad():
        heard = [F.conv1d(shown, kernels)[0] for shown in inputs]
        hidden = [part(shown)[1][0] for part, shown in zip((net.level, net.amplitude), inputs, strict=True)]
    return torch.cat([*heard, *hidden]).double().numpy()


def _answers(net: VoiceNet, example: Example) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        return net.answers(*_inputs(example))


def _inputs(example: Example) -> tuple[Tensor, Tensor]:
    around = mel_slice(example.mel, -REACH, example.mel.shape[1] + 2 * REACH)
    level, amplitude = net_inputs(around, example.statistics)
    return torch.from_numpy(level)[None], torch.from_numpy(amplitude)[None]


def _kernels() -> Matrix:
    """(27 * 9, 80, 29) the mean of a group of bands, weighted around a place."""
    groups = -(-BANDS // _GROUP_BANDS)
    bands = np.arange(BANDS) // _GROUP_BANDS == np.arange(groups)[:, None]
    bands = bands / bands.sum(1, keepdims=True)
    offsets = np.arange(-REACH, REACH + 1)
    places = np.array(_PLACES)[:, None]
    around = np.exp(-0.5 * ((offsets - places) / (1.3 + 0.18 * np.abs(places))) ** 2)
    around /= around.sum(1, keepdims=True)
    kernels: Matrix = np.einsum("gb,pt->gpbt", bands, around)
    return kernels.reshape(-1, BANDS, 2 * REACH + 1)
