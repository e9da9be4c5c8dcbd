"""The Gantt picture of a run of many videos: a lane a slot, its bars with their places; pure, no SVG."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.report.cells import CellState
from cluster.report.chart import ticks_of
from cluster.report.lanes import Key, Span, thinned
from cluster.report.state import RunState

#: Width of the bars' field, in the picture's units.
WIDTH = 900
#: Colours of bars, in the order of the legend, and what each means.
LOOKS = {
    "render": "render", "scan": "scan", "duplicate": "speculation on a tail", "cpu": "on the CPU of a GPU cell",
    "failed": "failed", "lost": "lost with its worker", "cancelled": "cancelled", "probe": "probe",
    "stitch": "stitch", "step": "other steps outside cells",
}  # fmt: skip
#: More than a browser should be asked to draw.
_BARS, _ROWS = 6000, 1200
#: Height of a lane by how many there are.
_HEIGHTS = ((24, 18), (64, 13), (200, 8), (_ROWS, 5))


@dataclass(frozen=True, slots=True)
class Block:
    """A bar, or a stretch of background."""

    x: float
    width: float
    look: str
    "Class of its colour."
    label: str


@dataclass(frozen=True)
class Row:
    """One slot of a cell, or of a worker outside cells."""

    y: int
    name: str
    "Empty in all rows of a cell but the first."
    grounds: tuple[Block, ...]
    "While the cell was up."
    bars: tuple[Block, ...]


@dataclass(frozen=True)
class Gantt:
    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    row_height: int
    height: int
    left_out: int
    "Lanes that were too many to draw."


def gantt_of(state: RunState) -> Gantt:
    """Cells by node and name, a lane a slot; then the workers outside cells."""
    total = max(state.now, 1e-3)
    cells = _cell_rows(state)
    steps = _step_rows(state)
    drawn = dict(list({**cells, **steps}.items())[:_ROWS])
    height = next(pixels for rows, pixels in _HEIGHTS if len(drawn) <= rows)
    rows = []
    for number, ((name, slot), spans) in enumerate(thinned(drawn, _BARS).items()):
        cell = state.cells.by_name.get(name)
        grounds = _grounds(cell, total) if cell is not None else ()
        bars = tuple(_bar(span, total) for span in spans)
        rows.append(Row(number * height, name if slot == 0 else "", grounds, bars))
    left_out = len(cells) + len(steps) - len(drawn)
    return Gantt(tuple(rows), ticks_of(total, WIDTH), height, len(rows) * height, left_out)


def _cell_rows(state: RunState) -> dict[Key, Sequence[Span]]:
    """As many lanes a cell as it has slots, or had leases at one time."""
    spans = state.cells.spans()
    lanes = {cell.name: max(1, cell.slots) for cell in state.cells.by_name.values()}
    for name, slot in spans:
        lanes[name] = max(lanes[name], slot + 1)
    cells = sorted(state.cells.by_name.values(), key=lambda cell: (natural(cell.node), natural(cell.name)))
    return {(cell.name, slot): spans.get((cell.name, slot), ()) for cell in cells for slot in range(lanes[cell.name])}


def _step_rows(state: RunState) -> dict[Key, Sequence[Span]]:
    """Workers outside cells; one that bears a cell's name is told apart."""
    rows = sorted(state.step_lanes.rows.items(), key=lambda item: (natural(item[0][0]), item[0][1]))
    known = state.cells.by_name
    return {(f"{name} (outside)" if name in known else name, row): spans for (name, row), spans in rows}


def _grounds(cell: CellState, total: float) -> tuple[Block, ...]:
    grounds = []
    for life in cell.lives:
        end = total if life.end is None else life.end
        drained = end if life.draining is None else min(life.draining, end)
        gone = f", gone at {clock(end)}: {life.reason}" if life.end is not None else ""
        words = f"{cell.name} on {cell.node}, {cell.kind}: up from {clock(life.start)}{gone}"
        grounds.append(_block(life.start, drained, total, "up", words))
        if drained < end:
            grounds.append(_block(drained, end, total, "draining", f"{words}, draining from {clock(drained)}"))
    return tuple(grounds)


def _bar(span: Span, total: float) -> Block:
    good = span.outcome in ("done", "running")
    look = "duplicate" if good and span.duplicate else "cpu" if good and span.on_cpu else span.outcome
    if look in ("done", "running"):
        look = span.work if span.work in LOOKS else "step"
    return _block(span.start, span.end, total, look, label_of(span))


def _block(start: float, end: float, total: float, look: str, label: str) -> Block:
    x = start / total * WIDTH
    return Block(round(x, 2), round(max(0.6, (end - start) / total * WIDTH), 2), look, label)


def label_of(span: Span) -> str:
    """`render talk, segments 3–5, 750 frames, 0:12 to 0:40 (28.0 s), failed: out of memory`."""
    what = f"{span.work} {span.video or 'of several videos'}"
    if span.count > 1:
        what += f", {span.count} times"
    elif span.work in ("render", "scan"):
        first, last = span.units
        what += f", {'segment' if span.work == 'render' else 'unit'}{'' if first == last else 's'} {first}"
        what += "" if first == last else f"–{last}"
    frames = f", {span.frames} frames" if span.frames else ""
    how = "" if span.outcome == "done" else f", {span.outcome}"
    why = f": {span.note}" if span.note and span.outcome != "done" else ""
    traits = ("; speculation on a tail" if span.duplicate else "") + ("; on the CPU" if span.on_cpu else "")
    return f"{what}{frames}, {clock(span.start)} to {clock(span.end)} ({span.end - span.start:.1f} s){how}{why}{traits}"


def clock(seconds: float) -> str:
    """`0:05`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """An order in which cell-2 comes before cell-10."""
    return tuple((0, int(t)) if t.isdigit() else (1, t) for t in re.split(r"(\d+)", name) if t)
