"""A few frames of the output as small JPEGs for the page: first, middle, last and a contact sheet."""

import base64
import io
import logging
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.storage import Storage

if TYPE_CHECKING:
    from pipeline.quality import Verdict

log = logging.getLogger("reelyard")

#: Frames of the contact sheet, the first and the last among them.
_SHEET = 12
#: What may be decoded for them: 100 frames of 1080p, about a second.
_DECODED_PIXELS = 100 * 1920 * 1080
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


def worst_pictures(verdict: "Verdict") -> tuple[Picture, ...]:
    """The worst frames of a check, as it kept them."""
    both = zip(verdict.worst, verdict.seconds, strict=True)
    return tuple(Picture(at, f"data:image/jpeg;base64,{base64.b64encode(one.picture).decode()}") for one, at in both)


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


def contact_sheet_of(storage: Storage, output: str, columns: int = 4) -> bytes:
    """The same frames as one JPEG, rows of `columns` from the first frame to the last.

    Raises:
        ReelyardError: the output cannot be read.
    """
    from PIL import Image

    images = [image for _, image in _frames(storage, output)]
    width = 2 * _SMALL_WIDTH
    height = max(1, round(images[0].height * width / images[0].width))
    sheet = Image.new("RGB", (columns * width, -(-len(images) // columns) * height))
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        sheet.paste(image.convert("RGB").resize((width, height)), (column * width, row * height))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _frames(storage: Storage, output: str) -> list[tuple[float, Any]]:
    """(seconds, upright RGB image) of frames spread evenly, the first and the last among them."""
    from pipeline.source import open_container

    with open_container(storage, output) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        packets = [(p.pts, p.is_keyframe) for p in container.demux(stream) if p.pts is not None and p.size]
        pixels = stream.codec_context.width * stream.codec_context.height
        wanted = spread_cheaply(packets, _DECODED_PIXELS // max(1, pixels))
        return [frame for key, group in wanted for frame in _decoded(container, stream, key, group)]


def spread_cheaply(packets: Sequence[tuple[int, bool]], budget_frames: int) -> list[tuple[int, list[int]]]:
    """(keyframe, frames wanted after it) for frames spread evenly over the pts of (pts, is keyframe) packets.

    Where decoding them all would take more than `budget_frames`, those between are moved onto keyframes.
    """
    stamps = sorted(pts for pts, _ in packets)
    keys = sorted(pts for pts, key in packets if key) or stamps[:1]
    count = min(_SHEET, len(stamps))
    wanted = sorted({stamps[round(i * (len(stamps) - 1) / max(1, count - 1))] for i in range(count)})

    def grouped(chosen: list[int]) -> dict[int, list[int]]:
        groups: dict[int, list[int]] = {}
        for pts in chosen:
            groups.setdefault(keys[max(0, bisect_right(keys, pts) - 1)], []).append(pts)
        return groups

    groups = grouped(wanted)
    cost = sum(bisect_right(stamps, max(group)) - bisect_right(stamps, key) + 1 for key, group in groups.items())
    if cost > budget_frames:
        last = [wanted[-1]] if len(stamps) - bisect_right(stamps, keys[-1]) < budget_frames else []
        groups = grouped(sorted({*groups, *last}))
    return sorted(groups.items())


def _decoded(container: Any, stream: Any, key: int, wanted: list[int]) -> Iterator[tuple[float, Any]]:
    container.seek(key, stream=stream, backward=True)
    left = set(wanted)
    for frame in container.decode(stream):
        if frame.pts in left:
            left.discard(frame.pts)
            image = frame.to_image().rotate(frame.rotation, expand=True) if frame.rotation else frame.to_image()
            yield float(frame.pts * stream.time_base), image
        if not left or (frame.pts is not None and frame.pts > max(wanted)):
            return


def _picture(seconds: float, image: Any, width: int) -> Picture:
    buffer = io.BytesIO()
    height = max(1, round(image.height * width / image.width))
    image.convert("RGB").resize((width, height)).save(buffer, "JPEG", quality=80)
    return Picture(seconds, "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode())
