"""What an open container holds besides pictures: streams, languages, chapters, titles."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import av
import av.container

from pipeline.index import Chapter, StreamInfo
from tasks.errors import SourceError

_ATTACHED = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
_DEFAULT = av.stream.Disposition.default

ReadRange = Callable[[int, int], bytes]


def choose_picture_stream(container: "av.container.InputContainer", uri: str) -> "av.VideoStream":
    """The one default video stream, else the best; never a cover picture.

    Raises:
        SourceError: there is none, or no decoder for it.
    """
    videos = [s for s in container.streams.video if not s.disposition & _ATTACHED]
    if not videos:
        found = ", ".join(_words(s) for s in container.streams) or "nothing"
        raise SourceError(f"{uri}: found no video ({found}); expected a video or a picture file")
    defaults = [s for s in videos if s.disposition & _DEFAULT]
    best = container.streams.best("video")
    chosen = defaults[0] if len(defaults) == 1 else best if best in videos else videos[0]
    if chosen.codec_context is None:
        raise SourceError(f"{uri}: no decoder for its video codec; convert it to H.264 or another common codec")
    return chosen


def _words(stream: "av.stream.Stream") -> str:
    kind = "cover picture" if stream.disposition & _ATTACHED else stream.type
    return f"{kind} {codec_name(stream)}".strip()


def codec_name(stream: "av.stream.Stream") -> str:
    """FFmpeg's name of the codec (h264, av1, aac …), empty where it has no decoder for it."""
    context = stream.codec_context
    return context.codec.canonical_name if context is not None else ""


def stream_infos(container: "av.container.InputContainer") -> tuple[StreamInfo, ...]:
    """Every stream as found."""
    return tuple(_stream_info(stream) for stream in container.streams)


def _stream_info(stream: "av.stream.Stream") -> StreamInfo:
    time_base = stream.time_base or Fraction(1, 1000)
    context = stream.codec_context
    audio = context if isinstance(context, av.AudioCodecContext) else None
    return StreamInfo(
        number=stream.index,
        kind=stream.type,
        codec=codec_name(stream),
        time_base=time_base,
        language=stream.language or "",
        title=stream.metadata.get("title", ""),
        disposition=int(stream.disposition),
        sample_rate=audio.sample_rate if audio is not None else 0,
        channels=audio.channels if audio is not None else 0,
        duration_seconds=float(stream.duration * time_base) if stream.duration else None,
    )


def chapters(container: "av.container.InputContainer", read: ReadRange) -> tuple[Chapter, ...]:
    """Chapters with titles; those of a QuickTime text track are read from its samples."""
    found = [
        Chapter(Fraction(c["start"]) * base, Fraction(c["end"]) * base, c["metadata"].get("title", ""))
        for c in container.chapters()
        if (base := c["time_base"]) is not None
    ]
    if found and not any(c.title for c in found):
        titles = _track_titles(container, len(found), read)
        found = [replace(c, title=title) for c, title in zip(found, titles, strict=True)] if titles else found
    return tuple(found)


def _track_titles(container: "av.container.InputContainer", count: int, read: ReadRange) -> list[str]:
    """Titles in a text track of exactly `count` samples: two bytes of length, then UTF-8."""
    for stream in container.streams:
        if stream.type not in ("subtitle", "data") or len(stream.index_entries) != count:
            continue
        samples = [read(entry.pos, entry.pos + entry.size) for entry in stream.index_entries]
        return [sample[2 : 2 + int.from_bytes(sample[:2], "big")].decode("utf-8", "replace") for sample in samples]
    return []
