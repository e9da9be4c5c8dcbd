"""A few frames of the output as small JPEGs for the page: first, middle, last and a contact sheet."""

import base64
import io
import logging
from dataclasses import dataclass
from typing import Any

from pipeline.storage import Storage

log = logging.getLogger("reelyard")

#: Frames of the contact sheet, the first and the last among them.
_SHEET = 12
_LARGE_WIDTH, _SMALL_WIDTH = 480, 240


@dataclass(frozen=True)
class Picture:
    """One frame as the page shows it."""

    seconds: float
    data_uri: str
    "data:image/jpeg;base64,…"


@dataclass(frozen=True)
class Pictures:
    """Frames of an output; both empty where none could be read."""

    large: tuple[Picture, ...] = ()
    "First, middle and last."
    sheet: tuple[Picture, ...] = ()


def pictures_of(storage: Storage, output: str) -> Pictures:
    """Frames spread over the output; a page without pictures is better than none."""
    try:
        frames = _frames(storage, output)
    except Exception as error:
        log.warning("no pictures for the page: %s: %s", type(error).__name__, error)
        return Pictures()
    if not frames:
        return Pictures()
    chosen = [frames[i] for i in sorted({0, len(frames) // 2, len(frames) - 1})]
    return Pictures(
        tuple(_picture(*frame, _LARGE_WIDTH) for frame in chosen),
        tuple(_picture(*frame, _SMALL_WIDTH) for frame in frames),
    )


def _frames(storage: Storage, output: str) -> list[tuple[float, Any]]:
    """(seconds, upright RGB image) of frames spread evenly, the first and the last among them."""
    from pipeline.source import open_container

    with open_container(storage, output) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stamps = sorted(p.pts for p in container.demux(stream) if p.pts is not None and p.size)
        count = min(_SHEET, len(stamps))
        wanted = sorted({stamps[round(i * (len(stamps) - 1) / max(1, count - 1))] for i in range(count)})
        found = [_frame_at(container, stream, pts) for pts in wanted]
    return [frame for frame in found if frame is not None]


def _frame_at(container: Any, stream: Any, pts: int) -> tuple[float, Any] | None:
    container.seek(pts, stream=stream, backward=True)
    for frame in container.decode(stream):
        if frame.pts is not None and frame.pts >= pts:
            image = frame.to_image().rotate(frame.rotation, expand=True) if frame.rotation else frame.to_image()
            return float(frame.pts * stream.time_base), image
    return None


def _picture(seconds: float, image: Any, width: int) -> Picture:
    buffer = io.BytesIO()
    height = max(1, round(image.height * width / image.width))
    image.convert("RGB").resize((width, height)).save(buffer, "JPEG", quality=80)
    return Picture(seconds, "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode())
