"""Figures as rows of a markdown table, and where the table stands in a page."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from tests.benchmarks.machine import Machine

START, END = "<!-- figures:start -->", "<!-- figures:end -->"


@dataclass(frozen=True)
class Figure:
    """One measured figure and what it was held against."""

    row: str
    "Name of the row that measured it, as `--rows` takes it."
    what: str
    value: float
    unit: str
    "Such as ×, frames/s, GB, MB, s or %."
    limit: float | None
    "None: told for information."
    at_most: bool
    against: str
    "What was measured beside it in the same run."
    details: dict[str, float] = field(default_factory=dict)

    @property
    def holds(self) -> bool | None:
        if self.limit is None:
            return None
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """What, asked, measured, against."""
        sign = "≤" if self.at_most else "≥"
        asked = "–" if self.limit is None else f"{sign} {_number(self.limit)} {self.unit}"
        mark = {True: "", False: " ✗", None: ""}[self.holds]
        return self.what, asked, f"**{_number(self.value)} {self.unit}**{mark}", self.against


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def markdown(figures: Sequence[Figure], machine: Machine, notes: Sequence[str] = ()) -> str:
    """The table with its heading line and, below, what falls short."""
    rows = [("what", "asked", "measured", "measured against, in the same run"), ("---",) * 4]
    rows += [figure.cells for figure in figures]
    lines = [machine.line, "", *(f"| {' | '.join(cells)} |" for cells in rows)]
    short = [figure.what for figure in figures if figure.holds is False]
    if short:
        lines += ["", f"Falls short (✗): {'; '.join(short)}."]
    lines += ["", *notes] if notes else []
    return "\n".join(lines)


def as_json(figures: Sequence[Figure], machine: Machine, notes: Sequence[str] = ()) -> str:
    """The same, for machines."""
    document = {
        "machine": asdict(machine),
        "figures": [{**asdict(figure), "holds": figure.holds} for figure in figures],
        "notes": list(notes),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def put_between_marks(page: str, table: str) -> str:
    """The page with the table where its marks stand.

    Raises:
        ValueError: the page has not exactly one pair of marks.
    """
    if page.count(START) != 1 or page.count(END) != 1 or page.index(START) > page.index(END):
        raise ValueError(f"expected one {START} before one {END}; add them where the table shall stand")
    head, _, rest = page.partition(START)
    return f"{head}{START}\n{table}\n{END}{rest.partition(END)[2]}"
