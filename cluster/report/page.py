"""The report as one self-contained HTML page: no script, no file or host beside it."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.report.chart import ROW, WIDTH, chart_of
from cluster.report.pictures import Picture, Pictures
from tasks.task import Shown

if TYPE_CHECKING:
    from jinja2 import Environment

#: What groups of small pictures are called.
_GROUPS = (
    ("people", "Who is seen: choose with --face track:N"),
    ("kept", "Frames that keep the source's picture"),
)
_TEMPLATE = Path(__file__).with_name("page.html.j2")


def page_of(
    document: Mapping[str, Any], pictures: Pictures, worst: Sequence[Picture] = (), shown: Sequence[Shown] = ()
) -> str:
    """The page; every text of the document is escaped.

    `worst` are the pictures of its worst frames in their order, `shown` those of people and of frames left alone.
    """
    template = environment().from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        report=document,
        pictures=pictures,
        worst=worst,
        chart=chart_of(document["stages"]),
        chart_width=WIDTH,
        row=ROW,
        groups=[(title, [one for one in shown if one.group == group]) for group, title in _GROUPS],
    )


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def environment() -> "Environment":
    """Of templates for pages: texts are escaped, an unknown name is an error."""
    from jinja2 import Environment, StrictUndefined

    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters["size"] = _size
    made.filters["words"] = _words
    made.filters["data_uri"] = _data_uri
    return made


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def _words(value: object) -> str:
    """A value of the document as a person would write it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(item)}" for key, item in value.items()) or "–"
    if isinstance(value, list | tuple):
        return "; ".join(_words(item) for item in value) or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return str(value).replace("_", " ") if isinstance(value, str) and value.isidentifier() else str(value)
