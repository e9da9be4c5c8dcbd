"""The report of a run of many videos as one self-contained HTML page: no file or host beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.report.curve import curve_of
from cluster.report.page import environment
from cluster.report.state import RunState
from cluster.report.timeline import LOOKS, WIDTH, clock, gantt_of
from cluster.report.videos import UNSUCCESSFUL

_TEMPLATE = Path(__file__).with_name("batch_page.html.j2")
#: Height of the curve's field, in its picture's units.
_CURVE = 120
#: What a page lists; the document holds them all.
_VIDEOS, _ROWS = 2000, 500


def batch_page_of(document: Mapping[str, Any], state: RunState) -> str:
    """The page of `document`, with the timeline of `state`; every text is escaped."""
    made = environment()
    made.filters["clock"] = lambda seconds: "–" if seconds is None else clock(seconds)
    made.filters["count"] = lambda number: f"{number:,}".replace(",", "\u202f")
    gantt = gantt_of(state)
    used = {bar.look for row in gantt.rows for bar in row.bars}
    return made.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        report=document,
        gantt=gantt,
        legend={look: words for look, words in LOOKS.items() if look in used},
        curve=curve_of(document["curve"], document["run"]["seconds"], _CURVE),
        curve_height=_CURVE,
        width=WIDTH,
        idle=_shares(document["idle"]),
        videos=_listed(document["videos"]),
        row_limit=_ROWS,
        bad=UNSUCCESSFUL,
    )


def _listed(videos: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that are not there first, then the slowest."""
    return sorted(videos, key=lambda v: (v["phase"] not in UNSUCCESSFUL, -(v["seconds"] or 0.0)))[:_VIDEOS]


def _shares(idle: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """(reason, slot-seconds, share of all idle ones), largest first."""
    total = sum(idle.values()) or 1.0
    return [(reason, seconds, seconds / total) for reason, seconds in idle.items()]
