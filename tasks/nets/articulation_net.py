"""A small convolution over mel columns: what is heard around a column becomes how the mouth stands."""

from typing import Final

from torch import Tensor, nn

from tasks.mel import BANDS

#: Columns to either side of one that its answer depends on.
REACH: Final = 14


class ArticulationNet(nn.Module):
    """(N, 80, T + 2 * REACH) mel columns -> (N, 3, T): opening, closure logit, width."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv1d(BANDS, 64, 5), nn.ReLU()),
            *(nn.Conv1d(64, 48, 5, dilation=2), nn.ReLU()),
            *(nn.Conv1d(48, 48, 5, dilation=2), nn.ReLU()),
            *(nn.Conv1d(48, 48, 5, dilation=2), nn.ReLU()),
            nn.Conv1d(48, 3, 1),
        )

    def forward(self, mel: Tensor) -> Tensor:
        values: Tensor = self.layers(mel)
        return values
