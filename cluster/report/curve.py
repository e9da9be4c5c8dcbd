"""The throughput curve of a run: frames a second, and the share of slots at work; pure, no SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.report.chart import ticks_of
from cluster.report.timeline import WIDTH


@dataclass(frozen=True)
class Curve:
    """Frames a second, and the share of slots at work, over the run."""

    rendered: str
    "Points of an SVG polygon."
    scanned: str
    "Points of a polyline, as of `busy`."
    busy: str
    top: float
    "Frames a second at the upper edge."
    ticks: tuple[tuple[float, str], ...]


def curve_of(curve: Mapping[str, object], total: float, height: int) -> Curve | None:
    """Of the document's `curve`; None where nothing was done."""
    width = _number(curve["bin_seconds"])
    bins = {name: [_number(v) for v in values] for name, values in curve.items() if isinstance(values, list)}
    # The last bin is not full.
    spans = [max(1e-9, min(width, total - i * width)) for i in range(len(bins["frames_rendered"]))]
    rendered = [v / s for v, s in zip(bins["frames_rendered"], spans, strict=True)]
    scanned = [v / s for v, s in zip(bins["frames_scanned"], spans, strict=True)]
    if spans and spans[-1] < width / 4 and len(spans) > 1:
        rendered, scanned = rendered[:-1], scanned[:-1]
    top = max([*rendered, *scanned], default=0.0)
    if not top or total <= 0:
        return None
    pairs = zip(bins["slot_seconds_leased"], bins["slot_seconds_offered"], strict=True)
    shares = [leased / offered if offered else 0.0 for leased, offered in pairs]
    return Curve(
        _steps(rendered, top, width, total, height, closed=True),
        _steps(scanned, top, width, total, height, closed=False),
        _steps(shares, 1.0, width, total, height, closed=False),
        top,
        ticks_of(total, WIDTH),
    )


def _steps(values: Sequence[float], top: float, width: float, total: float, height: int, *, closed: bool) -> str:
    """Each value as a level stretch; closed down to the ground for an area."""
    points = []
    for number, value in enumerate(values):
        y = height - min(1.0, value / top) * height
        ends = number * width, min(total, (number + 1) * width)
        points += [f"{end / total * WIDTH:.1f},{y:.1f}" for end in ends]
    if closed and points:
        last = points[-1].split(",")[0]
        points = [f"0,{height}", *points, f"{last},{height}"]
    return " ".join(points)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
