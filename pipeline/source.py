"""Opens media nobody vouches for; what lies in a file can never lead to another file or host.

Demuxers read through a Python file object that has no name, only formats that hold their own
media are allowed (no playlists, concat scripts, image sequences or SDP), and every attempt of a
demuxer to open anything is refused.
"""

from typing import Any, BinaryIO, NoReturn, cast

import av
import av.container
import av.error
import av.logging

from pipeline.index import SourceIdentity
from pipeline.storage import Storage
from pipeline.storage_errors import AccessRefused, NotFound
from tasks.errors import SourceError

#: Demuxers that read one self-contained stream of bytes.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,mpegts,mpeg,mpegvideo,asf,ogg,mxf,nut,ivf,obu,av1,h264,hevc,"
    "m4v,mjpeg,dv,rm,swf,yuv4mpegpipe,gif,apng,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,jpegxl_pipe,"
    "jpegxl_anim,webp,jxl,qoi_pipe,ppm_pipe,pgm_pipe,"
    "wav,w64,mp3,aac,flac,aiff,ac3,eac3,dts,caf,amr,amrnb,amrwb,au,opus,tta,wv,ape,truehd"
)
_OPTIONS = {
    "format_whitelist": _FORMATS,
    "protocol_whitelist": "none",
    "enable_drefs": "0",
    "use_absolute_path": "0",
}
_READ_BYTES = 256 << 10


def open_container(
    storage: Storage, uri: str, identity: SourceIdentity | None = None, *, reader: BinaryIO | None = None
) -> "av.container.InputContainer":
    """A demuxer on the bytes of `uri` (or on `reader`, which stands for them); the caller closes it.

    Raises:
        SourceError: missing, refused, empty, or not media of a kind that is read.
        StorageError: the store failed.
    """
    quiet_decoders()
    try:
        file = reader if reader is not None else storage.open(uri, identity)
    except (NotFound, AccessRefused) as error:
        raise SourceError(error.message) from error
    try:
        return av.open(
            _Nameless(file),
            "r",
            options=dict(_OPTIONS),
            metadata_errors="replace",
            buffer_size=_READ_BYTES,
            io_open=_refuse_open,
        )
    except (av.error.FFmpegError, ValueError) as error:
        raise SourceError(f"{uri}: {_describe(storage, uri)}; expected a video or a picture file") from error


class _Nameless:
    """A file whose name no demuxer sees: by a name's ending or pattern it would choose to look elsewhere."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell, self.close = file.read, file.seek, file.tell, file.close


def picture_stream(container: "av.container.InputContainer", number: int) -> "av.VideoStream":
    """The stream of that number, which the index says shows pictures."""
    return cast("av.VideoStream", container.streams[number])


def quiet_decoders() -> None:
    """FFmpeg's log goes nowhere: a log callback into Python deadlocks when frame threads are joined."""
    av.logging.set_level(None)


def _refuse_open(url: str, flags: int, options: dict[str, Any]) -> NoReturn:
    raise PermissionError(f"media may not open {url!r}")


_TEXT_KINDS = (
    (b"#EXTM3U", "an HLS playlist, which leads to other files"),
    (b"ffconcat", "a concat script, which leads to other files"),
    (b"<MPD", "a DASH manifest, which leads to other files"),
    (b"v=0", "an SDP description, which leads to other hosts"),
)


#: Boxes and codes of common encryption (ISO 23001-7).
_ENCRYPTED = (b"encv", b"pssh", b"cenc", b"cbcs")


def _describe(storage: Storage, uri: str) -> str:
    """What the bytes look like, for a user who expected a video there."""
    size = storage.size(uri)
    head = storage.read_range(uri, 0, min(size, 65536))
    if not head:
        return "found 0 bytes; the copy or download never finished"
    for mark, words in _TEXT_KINDS:
        if mark in head[:1024]:
            return f"found {words}"
    if any(mark in head for mark in _ENCRYPTED):
        return "found an encrypted mp4 (DRM); use an unprotected copy"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"styp"):
        return "found an mp4 or mov whose index (moov) is missing or damaged; it was cut short while copied or recorded"
    if all(b >= 32 or b in (9, 10, 12, 13) for b in head[:4096]):
        return "found text"
    return f"found {size} bytes of no format that is read here"
