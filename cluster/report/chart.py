"""The timeline of stages as rows of bars with their places on a chart; pure arithmetic, no SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Width of the bars' field, and height of a row, in the chart's units.
WIDTH, ROW = 760, 22
#: Seconds between two ticks.
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400, 1e9)


@dataclass(frozen=True)
class Bar:
    x: float
    width: float
    label: str
    stage: str
    "Class of its colour."


@dataclass(frozen=True)
class Lane:
    """One row of the chart."""

    name: str
    y: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Chart:
    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, str], ...]
    height: int


def chart_of(stages: Sequence[Mapping[str, Any]]) -> Chart:
    """Stages of the run in the first lane, then segments by worker, overlapping ones below each other."""
    total = max((float(span["end_seconds"]) for span in stages), default=0.0) or 1.0
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for span in stages:
        segment = str(span["name"]).startswith("segment")
        groups.setdefault((span["worker"] or "segments") if segment else "run", []).append(span)
    lanes: list[Lane] = []
    for name in sorted(groups, key=lambda n: (n != "run", n)):
        for row in _rows(groups[name]):
            bars = tuple(_bar(span, total) for span in row)
            lanes.append(Lane(name, len(lanes) * ROW, bars))
    return Chart(tuple(lanes), ticks_of(total), len(lanes) * ROW)


def _rows(spans: list[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Spans in as few rows as hold them without overlap."""
    rows: list[list[Mapping[str, Any]]] = []
    for span in sorted(spans, key=lambda s: float(s["start_seconds"])):
        free = next((row for row in rows if row[-1]["end_seconds"] <= span["start_seconds"] + 1e-6), None)
        if free is None:
            rows.append([span])
        else:
            free.append(span)
    return rows


def _bar(span: Mapping[str, Any], total: float) -> Bar:
    start, end = float(span["start_seconds"]), float(span["end_seconds"])
    name = str(span["name"])
    stage = "segment" if name.startswith("segment") else name
    label = f"{name} {end - start:.1f} s"
    return Bar(start / total * WIDTH, max(1.5, (end - start) / total * WIDTH), label, stage)


def ticks_of(total: float, width: float = WIDTH) -> tuple[tuple[float, str], ...]:
    """(place, label) of round times on an axis of `total` seconds that is `width` long."""
    step = next(s for s in _STEPS if total / s <= 10)
    return tuple((i * step / total * width, _time(i * step, step)) for i in range(int(total / step) + 1))


def _time(seconds: float, step: float) -> str:
    if step < 60:
        return f"{seconds:g} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours}:{minutes:02d} h" if step >= 600 else f"{seconds / 60:g} min"
