"""Which way up a picture file says it stands: the Exif orientation, from the file's first bytes."""

from tasks.picture import Orientation

_ORIENTATION_TAG = 274
#: Exif orientation (Exif 2.32, table 6) as transpose, then mirror; and as FFmpeg's display matrix a b c d.
_ORIENTATIONS = {
    1: Orientation(),
    2: Orientation(mirror_x=True),
    3: Orientation(mirror_x=True, mirror_y=True),
    4: Orientation(mirror_y=True),
    5: Orientation(transpose=True),
    6: Orientation(transpose=True, mirror_x=True),
    7: Orientation(transpose=True, mirror_x=True, mirror_y=True),
    8: Orientation(transpose=True, mirror_y=True),
}


def exif_orientation(head: bytes) -> Orientation:
    """The orientation in a JPEG, PNG, WebP or TIFF that begins with `head`; upright where none is said."""
    return _ORIENTATIONS.get(_orientation_number(_tiff_part(head)), Orientation())


def _tiff_part(head: bytes) -> bytes:
    """The bytes from the TIFF header of the Exif block on."""
    if head[:4] in (b"II*\0", b"MM\0*"):
        return head
    if head[:2] == b"\xff\xd8":
        return _after(head, b"Exif\0\0", 0)
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return _after(head, b"eXIf", 0)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        part = _after(head, b"EXIF", 4)
        return part[6:] if part.startswith(b"Exif\0\0") else part
    return b""


def _after(head: bytes, mark: bytes, skip: int) -> bytes:
    at = head.find(mark)
    return head[at + len(mark) + skip :] if at >= 0 else b""


def _orientation_number(tiff: bytes) -> int:
    """The value of tag 274 in the first directory, 1 where it is not there."""
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(tiff[:4])
    if order not in ("little", "big"):
        return 1

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], "little" if order == "little" else "big")

    directory = number(4, 4)
    for entry in range(min(number(directory, 2), 200)):
        at = directory + 2 + 12 * entry
        if number(at, 2) == _ORIENTATION_TAG:
            return number(at + 8, 2)
    return 1
