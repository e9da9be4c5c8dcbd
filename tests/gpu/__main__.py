"""`python -m tests.gpu`: all checks that need a GPU, in one call, told as one table; `--dry` tries them on a processor.

Each row stands alone: one that fails is told and the others go on.  `--tests` runs the tests marked `gpu` first.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from tests.benchmarks.machine import ROOT, this_machine
from tests.benchmarks.settings import say
from tests.benchmarks.table import Figure, as_json, markdown
from tests.gpu.networks import measure_networks
from tests.gpu.nodes import measure_built, measure_precision
from tests.gpu.pool import measure_chain, measure_reload
from tests.gpu.renders import measure_busy, measure_codecs, measure_ladder
from tests.gpu.scale import DRY, WHOLE, Scale
from tests.gpu.sharing import measure_sharing

ROWS: dict[str, Callable[[str, Scale], list[Figure]]] = {
    "networks": measure_networks,
    "reload": measure_reload,
    "chain": measure_chain,
    "sharing": measure_sharing,
    "busy": measure_busy,
    "ladder": measure_ladder,
    "precision": measure_precision,
    "built": measure_built,
    "codecs": measure_codecs,
}


def measured(device: str, scale: Scale, rows: list[str]) -> tuple[list[Figure], list[str]]:
    """Figures, and what could not be measured."""
    figures, failures = [], []
    for name in rows:
        say(f"-- {name}")
        try:
            figures += ROWS[name](device, scale)
        except Exception as error:  # one row that fails must not lose the others
            failures.append(f"{name} could not be measured: {type(error).__name__}: {error}".splitlines()[0])
            say(failures[-1])
    return figures, failures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--dry", action="store_true", help="on the processor, with networks that are small")
    parser.add_argument("--tests", action="store_true", help="run the tests marked gpu first")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON too")
    asked = parser.parse_args()
    if not asked.dry and not torch.cuda.is_available():
        say("no CUDA device here; --dry tries the script on the processor")
        return 2
    marked = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests"]
    failed = asked.tests and subprocess.run(marked, cwd=ROOT).returncode
    figures, failures = measured("cpu" if asked.dry else "cuda:0", DRY if asked.dry else WHOLE, asked.rows)
    machine, notes = this_machine(), [*failures, "A dry run: its figures mean nothing." if asked.dry else _card()]
    print(markdown(figures, machine, notes))
    if asked.json:
        asked.json.write_text(as_json(figures, machine, notes) + "\n")
    return 1 if failures or failed else 0


def _card() -> str:
    free, total = torch.cuda.mem_get_info(0)
    return (
        f"{torch.cuda.get_device_name(0)}, {total / 1e9:.0f} GB ({free / 1e9:.0f} free), CUDA {torch.version.cuda}, "
        f"cuDNN {torch.backends.cudnn.version()}"
    )


if __name__ == "__main__":
    sys.exit(main())
