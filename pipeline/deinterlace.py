"""Interlaced frames made progressive by bwdif, each from its neighbours, however the video is cut."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.filter
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pipeline.frames import Picture

Frames = npt.NDArray[np.int64]


def deinterlaced(
    numbers: Frames, frames: int, field_order: str, pictures: "Callable[[Frames], Iterator[Picture]]"
) -> "Iterator[Picture]":
    """The progressive pictures of ascending `numbers` of a source of `frames` frames.

    bwdif looks one frame back and one ahead; those are decoded too, so that a segment's pictures
    equal the whole video's.
    """
    wanted = set(numbers.tolist())
    told: dict[int, Picture] = {}
    graph: Any = None
    for picture in pictures(np.arange(max(0, int(numbers[0]) - 1), min(frames, int(numbers[-1]) + 2))):
        if picture.frame is None:
            yield picture
            continue
        told[picture.number] = picture
        graph = _graph(picture.frame, field_order) if graph is None else graph
        picture.frame.pts, picture.frame.time_base = picture.number, Fraction(1)
        graph.vpush(picture.frame)
        yield from (replace(told.pop(n), frame=frame) for n, frame in _ready(graph) if n in wanted)
    if graph is not None:
        graph.vpush(None)
        yield from (replace(told.pop(n), frame=frame) for n, frame in _ready(graph) if n in wanted)


def _graph(frame: "av.VideoFrame", field_order: str) -> Any:
    parity = field_order if field_order in ("tff", "bff") else "auto"
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1), name="in"
    )
    bwdif = graph.add("bwdif", f"mode=send_frame:parity={parity}:deint=all")
    sink = graph.add("buffersink")
    source.link_to(bwdif)
    bwdif.link_to(sink)
    graph.configure()
    return graph


def _ready(graph: Any) -> "Iterator[tuple[int, av.VideoFrame]]":
    while True:
        try:
            frame = graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield round(frame.pts * frame.time_base), frame
