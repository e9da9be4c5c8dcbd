"""What one run of the benchmarks was asked for, and what its rows share."""

import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.machine import ROOT

DEMO = ROOT / "tasks" / "data" / "demo"


@dataclass(frozen=True)
class Settings:
    """Lengths and repeats of the rows."""

    seconds: int = 60
    "Length of a clip."
    repeats: int = 2
    "How often rows whose figure is noisy are measured; the median is told."
    photo: Path = DEMO / "portrait.jpg"

    @property
    def half_seconds(self) -> int:
        return max(1, self.seconds // 2)

    @property
    def voice(self) -> Path:
        """The demonstration's voice."""
        found = sorted(path for path in DEMO.iterdir() if path.suffix in (".wav", ".mp3", ".m4a", ".ogg", ".flac"))
        if not found:
            raise FileNotFoundError(f"{DEMO}: no voice there; expected the demonstration's speech clip")
        return found[0]


@contextmanager
def new_folder() -> Iterator[Path]:
    """An empty folder for outputs, removed afterwards."""
    with TemporaryDirectory(prefix="reelyard-benchmark-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def say(line: str) -> None:
    """Progress, for whoever waits."""
    print(line, file=sys.stderr, flush=True)


def median_of(repeats: int, measured: Callable[[], float]) -> float:
    """The median of so many values."""
    return statistics.median(measured() for _ in range(repeats))
