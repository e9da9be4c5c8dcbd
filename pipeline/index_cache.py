"""An index as bytes and back: npz with a JSON part, no pickle."""

import contextlib
import io
import json
from dataclasses import asdict, fields
from fractions import Fraction
from typing import Any

import numpy as np

from pipeline.index import Chapter, SourceIdentity, SourceIndex, StreamInfo
from pipeline.storage import Storage
from pipeline.storage_errors import AlreadyThere, NotFound
from tasks.picture import Colour, Orientation, PictureFormat, PixelLayout

_ARRAYS = ("packets", "frame_pts", "frame_packets", "split_points")


def store_index(storage: Storage, uri: str, index: SourceIndex) -> None:
    """The index at `uri`; one already there is as good."""
    with contextlib.suppress(AlreadyThere):
        storage.put_bytes(dump_index(index), uri, create_only=True)


def load_index(storage: Storage, cached: str, uri: str) -> SourceIndex | None:
    """The index stored at `cached` for the source now at `uri`; None where there is none that can be read."""
    try:
        data = storage.read(cached)
    except NotFound:
        return None
    try:
        return parse_index(data, uri)
    except (ValueError, KeyError, TypeError, OSError, EOFError):
        return None


def dump_index(index: SourceIndex) -> bytes:
    """npz bytes."""
    values = {f.name: getattr(index, f.name) for f in fields(index) if f.name not in _ARRAYS}
    text = json.dumps(values, default=_plain)
    out = io.BytesIO()
    arrays: dict[str, Any] = {name: getattr(index, name) for name in _ARRAYS}
    np.savez_compressed(out, json=np.frombuffer(text.encode(), np.uint8), **arrays)
    return out.getvalue()


def parse_index(data: bytes, uri: str) -> SourceIndex:
    """The index of `dump_index`, for a source now at `uri`.

    Raises:
        ValueError, KeyError, TypeError: not such bytes.
    """
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        values = json.loads(stored["json"].tobytes())
        arrays = {name: stored[name] for name in _ARRAYS}
    values |= {
        "uri": uri,
        "identity": SourceIdentity(**values["identity"]),
        "stream": _stream(values["stream"]),
        "streams": tuple(_stream(s) for s in values["streams"]),
        "extradata": bytes.fromhex(values["extradata"]),
        "prefix": bytes.fromhex(values["prefix"]),
        "format": _format(values["format"]),
        "display_matrix": tuple(values["display_matrix"]) if values["display_matrix"] else None,
        "average_rate": Fraction(values["average_rate"]) if values["average_rate"] else None,
        "origin_seconds": Fraction(values["origin_seconds"]),
        "chapters": tuple(
            Chapter(Fraction(c["start_seconds"]), Fraction(c["end_seconds"]), c["title"]) for c in values["chapters"]
        ),
        "metadata": tuple((key, value) for key, value in values["metadata"]),
        "codec_hdr": {name: bytes.fromhex(text) for name, text in values["codec_hdr"].items()},
        "dropped": tuple(values["dropped"]),
    }
    return SourceIndex(**values, **arrays)


def _plain(value: object) -> object:
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, np.integer):
        return int(value)
    return asdict(value)  # type: ignore[call-overload]


def _stream(values: dict[str, Any]) -> StreamInfo:
    return StreamInfo(**{**values, "time_base": Fraction(values["time_base"])})


def _format(values: dict[str, Any]) -> PictureFormat:
    return PictureFormat(
        **{
            **values,
            "layout": PixelLayout(**values["layout"]),
            "colour": Colour(**values["colour"]),
            "sample_aspect_ratio": Fraction(values["sample_aspect_ratio"]),
            "orientation": Orientation(**values["orientation"]) if values["orientation"] else None,
        }
    )
