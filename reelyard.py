"""The start of the command, under a name that no folder of a user's is likely to hold.

`tasks`, `pipeline` and `cluster` are plain names: where PYTHONPATH leads to a user's own first (Ray
does that for the driver of a job with a working folder), the three are still found beside this file.
"""

import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

_PACKAGES = ("cluster", "pipeline", "tasks")


class OwnPackages:
    """Finds the three packages beside this file and nothing else."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in _PACKAGES:
            return None
        return importlib.machinery.PathFinder.find_spec(name, [str(Path(__file__).resolve().parent)])


def main() -> None:
    """The console script `reelyard`."""
    sys.meta_path.insert(0, OwnPackages)
    from cluster.cli import main as command

    command()


if __name__ == "__main__":
    main()
