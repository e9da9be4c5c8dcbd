"""What a finished file does not tell again of what it was to carry: asked of the file, not of a table."""

import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import av
import av.container

from pipeline.carry import CarryPlan
from pipeline.first_look import side_data
from pipeline.hdr import parse_hdr10

#: Written with the statement about altered pictures.
_ADDED_TO = "comment"
#: 16.16 numbers of a display matrix may differ by rounding.
_ROUNDING = 4


def not_kept(path: Path, plan: CarryPlan) -> tuple[str, ...]:
    """Lines for the report; none where everything is found again."""
    with av.open(str(path), metadata_errors="replace") as container:
        told = _first_told(container) if plan.hdr or plan.display_matrix is not None else {}
        return (
            *_metadata(container, plan, path.suffix),
            *_titles(container, plan),
            *_display_matrix(told, plan),
            *_hdr(told, plan, path.suffix),
        )


def _metadata(container: "av.container.InputContainer", plan: CarryPlan, ending: str) -> tuple[str, ...]:
    told = {key.lower(): value for key, value in container.metadata.items()}
    missing = [key for key, _ in plan.metadata if key.lower() not in told]
    altered = [
        f"{key} ({value} became {told[key.lower()]})"
        for key, value in plan.metadata
        if key.lower() not in (_ADDED_TO, *(m.lower() for m in missing)) and told[key.lower()] != value
    ]
    lost = (f"metadata dropped, a {ending} file holds no such entries: {', '.join(missing)}",) if missing else ()
    return (*lost, *((f"metadata altered by the {ending} file: {', '.join(altered)}",) if altered else ()))


def _titles(container: "av.container.InputContainer", plan: CarryPlan) -> tuple[str, ...]:
    wanted = Counter(s.title for s in (*plan.streams, *([plan.picture] if plan.picture else [])) if s.title)
    found = Counter(title for s in container.streams if (title := s.metadata.get("title") or s.metadata.get("name")))
    return tuple(f"title {title!r} of a stream dropped" for title in (wanted - found))


def _first_told(container: "av.container.InputContainer") -> dict[str, bytes]:
    """The first picture's side data: what its stream tells, else what the file's header tells."""
    stream = container.streams.video[0]
    return dict(side_data(next(container.decode(stream)), stream.codec_context.codec.canonical_name))


def _display_matrix(first: Mapping[str, bytes], plan: CarryPlan) -> tuple[str, ...]:
    if plan.display_matrix is None:
        return ()
    told = first.get("DISPLAYMATRIX")
    found = struct.unpack("<9i", told[:36]) if told else (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    if all(abs(a - b) <= _ROUNDING for a, b in zip(found, plan.display_matrix, strict=True)):
        return ()
    return ("the display matrix could not be kept as it is: players may turn the pictures another way",)


def _hdr(first: Mapping[str, bytes], plan: CarryPlan, ending: str) -> tuple[str, ...]:
    found = parse_hdr10(first)
    lost = []
    if plan.hdr.mastering is not None and found.mastering is None:
        lost.append("mastering display")
    if plan.hdr.light not in (None, found.light):
        lost.append("content light level")
    return (f"HDR10 {' and '.join(lost)} dropped: the {ending} file does not tell it again",) if lost else ()
