"""`python -m tests.benchmarks`: measure the figures, print their table; see rows/ for what each means."""

import argparse
import os
import sys
from pathlib import Path

from tests.benchmarks.machine import ROOT, load_average, this_machine
from tests.benchmarks.rows import ROWS
from tests.benchmarks.settings import Settings, say
from tests.benchmarks.table import Figure, as_json, markdown, put_between_marks


def main() -> int:
    """0 when every row was measured, whether or not its limit holds; 1 when one could not be."""
    asked = _arguments()
    settings = Settings(seconds=asked.seconds, repeats=asked.repeats)
    busy = load_average()
    if busy > 0.5 * len(os.sched_getaffinity(0)):
        say(f"load average {busy:.1f}: the machine is busy; wall times will be too long")
    figures: list[Figure] = []
    failures: list[str] = []
    for name in asked.rows:
        say(f"-- {name}")
        try:
            figures += ROWS[name](settings)
        except Exception as error:  # one row that fails must not lose the others
            failures.append(f"{name} could not be measured: {type(error).__name__}: {error}")
            say(failures[-1])
    notes = [_note(settings, busy), *(failure.splitlines()[0] for failure in failures)]
    _tell(asked, figures, notes)
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="length of a clip (default 60)")
    parser.add_argument("--repeats", type=int, default=2, help="rounds of each noisy row (default 2)")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="NAME")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON too")
    return parser.parse_args()


def _note(settings: Settings, busy: float) -> str:
    return (
        f"Clips of {settings.seconds} s, 25 frames/s, x264 veryfast, two segments in flight; told is the cost "
        "of a clip's second half, so the start of the command is left out; Ray's daemons are left out; "
        f"memory is PSS summed; medians of {settings.repeats} rounds; load average before: {busy:.1f}. "
        "`make bench` measures again; what each row means stands in tests/benchmarks/rows."
    )


def _tell(asked: argparse.Namespace, figures: list[Figure], notes: list[str]) -> None:
    machine = this_machine()
    table = markdown(figures, machine, notes)
    print(table)
    if asked.json:
        asked.json.write_text(as_json(figures, machine, notes) + "\n")
    if asked.readme:
        readme = ROOT / "README.md"
        readme.write_text(put_between_marks(readme.read_text(), table))


sys.exit(main())
