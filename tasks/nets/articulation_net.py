"""Small convolutions over mel columns: what is heard around a column becomes how the mouth stands."""

from typing import Final

import torch
from torch import Tensor, nn

from tasks.mel import BANDS

#: Columns to either side of one that its answer depends on.
REACH: Final = 14
HIDDEN: Final = 48


class ArticulationNet(nn.Module):
    """What phonemes ask for, learnt from synthetic speech: opening, closure logit, width."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv1d(BANDS, 64, 5), nn.ReLU()),
            *(nn.Conv1d(64, HIDDEN, 5, dilation=2), nn.ReLU()),
            *(nn.Conv1d(HIDDEN, HIDDEN, 5, dilation=2), nn.ReLU()),
            *(nn.Conv1d(HIDDEN, HIDDEN, 5, dilation=2), nn.ReLU()),
        )
        self.head = nn.Conv1d(HIDDEN, 3, 1)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 80, T + 2 * REACH) -> answers (N, 3, T) and what they were read from (N, 48, T)."""
        hidden = self.layers(mel)
        return self.head(hidden), hidden


class VoiceNet(nn.Module):
    """The ensemble: one network a kind of input, and a linear reading fitted to measured mouths."""

    def __init__(self) -> None:
        super().__init__()
        self.level = ArticulationNet()
        self.amplitude = ArticulationNet()
        #: Opening and width as real people move, from the sound itself and from what the networks heard.
        self.heard = nn.Conv1d(2 * BANDS, 2, 2 * REACH + 1)
        self.understood = nn.Conv1d(2 * HIDDEN, 2, 1, bias=False)
        for part in (self.heard, self.understood):
            nn.init.zeros_(part.weight)
        #: (3, 3) shares of level, amplitude and measured reading in opening, closure logit and width.
        self.shares = nn.Parameter(torch.full((3, 3), 1 / 3), requires_grad=False)
        #: (3, 2) factor and offset from the mean answer to the documented ranges.
        self.scale = nn.Parameter(torch.tensor([[1.0, 0.0]] * 3), requires_grad=False)

    def forward(self, level: Tensor, amplitude: Tensor) -> Tensor:
        """Two inputs (N, 80, T + 2 * REACH) -> (N, 3, T): opening, closure logit, width."""
        answers = torch.stack(self.answers(level, amplitude))  # (3, N, 3, T)
        mean = (answers * self.shares[:, None, :, None]).sum(0)
        return mean * self.scale[:, :1] + self.scale[:, 1:]

    def answers(self, level: Tensor, amplitude: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The three opinions, (N, 3, T) each; the measured one has none on closure."""
        first, first_hidden = self.level(level)
        second, second_hidden = self.amplitude(amplitude)
        hidden = torch.cat([first_hidden, second_hidden], 1)
        opening, width = (self.heard(torch.cat([level, amplitude], 1)) + self.understood(hidden)).split(1, 1)
        return first, second, torch.cat([opening, torch.zeros_like(opening), width], 1)
