"""Spans of work in lanes, thinned where they are too many to keep or to draw; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

#: From harmless to worst: a merged span shows the worst that it holds.
OUTCOMES = ("running", "done", "cancelled", "lost", "failed")
Key = tuple[str, int]
"""Whose lane (a cell, a worker), and which of its slots."""


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch of work, or several merged; seconds from the start of the run."""

    start: float
    end: float
    work: str
    "scan | render, or a step outside cells."
    outcome: str = "done"
    video: str = ""
    "Empty where videos were merged."
    units: tuple[int, int] = (0, 0)
    "First and last of the unit numbers."
    frames: int = 0
    count: int = 1
    "Leases in it."
    duplicate: bool = False
    on_cpu: bool = False
    note: str = ""
    "Why it failed."


class Lanes:
    """Spans by lane, never more than `limit` of them: neighbours are merged, coarser the longer the run."""

    def __init__(self, limit: int = 20_000) -> None:
        self.rows: dict[Key, list[Span]] = {}
        self._limit = limit
        self._count = 0

    def add(self, key: Key, span: Span) -> None:
        """`span` after all others of its lane."""
        self.rows.setdefault(key, []).append(span)
        self._count += 1
        if self._count > self._limit:
            self.rows = thinned(self.rows, self._limit // 2)
            # A limit below the number of lanes cannot be met; the next try waits until it may help.
            self._count = min(self._limit, sum(map(len, self.rows.values())))

    def add_beside(self, name: str, span: Span) -> None:
        """`span` in the first lane of `name` where nothing else was then."""
        row = 0
        while (lane := self.rows.get((name, row))) and lane[-1].end > span.start + 1e-6:
            row += 1
        self.add((name, row), span)


def thinned(rows: Mapping[Key, Sequence[Span]], limit: int) -> dict[Key, list[Span]]:
    """The same lanes with at most `limit` spans, or one a lane; unchanged where they are few enough."""
    found = {key: list(spans) for key, spans in rows.items()}
    total = max((spans[-1].end for spans in found.values() if spans), default=0.0)
    resolution = total / 4096
    while sum(map(len, found.values())) > limit and resolution <= 2 * total:
        found = {key: _merged(spans, resolution) for key, spans in found.items()}
        resolution *= 2
    return found


def _merged(spans: Sequence[Span], resolution: float) -> list[Span]:
    """Neighbours of one kind with less than `resolution` between them, and all that together are shorter, as one."""
    merged: list[Span] = []
    for span in spans:
        last = merged[-1] if merged else None
        if last is not None and (
            span.end - last.start <= resolution or (_alike(last, span) and span.start - last.end <= resolution)
        ):
            merged[-1] = _joined(last, span)
        else:
            merged.append(span)
    return merged


def _alike(first: Span, second: Span) -> bool:
    return (first.work, first.outcome, first.duplicate, first.on_cpu) == (
        second.work, second.outcome, second.duplicate, second.on_cpu,
    )  # fmt: skip


def _joined(first: Span, second: Span) -> Span:
    worst = max(first, second, key=lambda span: OUTCOMES.index(span.outcome))
    same = first.video == second.video and first.work == second.work
    return replace(
        worst,
        start=first.start,
        end=max(first.end, second.end),
        video=first.video if same else "",
        units=(min(first.units[0], second.units[0]), max(first.units[1], second.units[1])) if same else (0, 0),
        frames=first.frames + second.frames,
        count=first.count + second.count,
    )
