"""Small convolutions over mel columns: what is heard around a column becomes how the mouth stands."""

from functools import cache
from typing import Final

import torch
from torch import Tensor, nn

from tasks.mel import BANDS

#: Columns to either side of one that its answer depends on.
REACH: Final = 14
HIDDEN: Final = 48
#: Bands over which `evened` takes the mean (deviation of a Gaussian): wider than a voice's partials lie apart in the
#: lower bands, narrower than its formants.
_EVEN_BANDS: Final = 1.7


class ArticulationNet(nn.Module):
    """Opening, closure logit and width that are heard in one kind of mel columns."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv1d(BANDS, 64, 5), nn.ReLU()),
            *(nn.Conv1d(64, HIDDEN, 5, dilation=2), nn.ReLU()),
            *(nn.Conv1d(HIDDEN, HIDDEN, 5, dilation=2), nn.ReLU()),
            *(nn.Conv1d(HIDDEN, HIDDEN, 5, dilation=2), nn.ReLU()),
        )
        self.head = nn.Conv1d(HIDDEN, 3, 1)

    def forward(self, mel: Tensor) -> Tensor:
        """(N, 80, T + 2 * REACH) -> answers (N, 3, T)."""
        answers: Tensor = self.head(self.layers(mel))
        return answers


class VoiceNet(nn.Module):
    """The ensemble: one network a kind of input that knows phonemes, and two that know measured mouths."""

    def __init__(self) -> None:
        super().__init__()
        self.level = ArticulationNet()
        self.amplitude = ArticulationNet()
        #: Opening and width as real people move; what they say of closure means nothing. The first hears amplitudes,
        #: the second evened levels: their mean is steadier than either.
        self.measured = nn.ModuleList(ArticulationNet() for _ in range(2))
        #: (3, 3) shares of level, amplitude and measured answer in opening, closure logit and width.
        self.shares = nn.Parameter(torch.full((3, 3), 1 / 3), requires_grad=False)
        #: (3, 2) factor and offset from the mean answer to the documented ranges.
        self.scale = nn.Parameter(torch.tensor([[1.0, 0.0]] * 3), requires_grad=False)

    def forward(self, level: Tensor, amplitude: Tensor) -> Tensor:
        """Two inputs (N, 80, T + 2 * REACH) -> (N, 3, T): opening, closure logit, width."""
        answers = torch.stack(self.answers(level, amplitude))  # (3, N, 3, T)
        mean = (answers * self.shares[:, None, :, None]).sum(0)
        return mean * self.scale[:, :1] + self.scale[:, 1:]

    def answers(self, level: Tensor, amplitude: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The three opinions, (N, 3, T) each: by level, by amplitude, and of the measured networks together."""
        loud, even = self.measured
        return self.level(level), self.amplitude(amplitude), (loud(amplitude) + even(evened(level))) / 2


def evened(level: Tensor) -> Tensor:
    """(N, 80, T) levels without the partials of a voice's pitch: each band's mean with its neighbours."""
    return _evening() @ level


@cache
def _evening() -> Tensor:
    """(80, 80) shares of the bands; the outermost stand for what lies beyond them."""
    bands = torch.arange(BANDS)
    reach = torch.arange(-5, 6)
    shares = torch.exp(-0.5 * (reach / _EVEN_BANDS) ** 2)
    matrix = torch.zeros(BANDS, BANDS)
    for step, share in zip(reach.tolist(), (shares / shares.sum()).tolist(), strict=True):
        matrix[bands, (bands + step).clamp(0, BANDS - 1)] += share
    return matrix
