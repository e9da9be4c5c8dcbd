"""What becomes of freed blocks of memory; knows three settings of the C library, no pictures and no networks.

glibc moves the size from which a block has its own mapping up to that of the largest block freed so far
(mallopt(3), M_MMAP_THRESHOLD).  Planes of pictures then share heaps with small objects, lie between them
once freed, and every lease that begins in another thread finds other heaps: a source ten times longer took
20 % more memory, all of it free.  With a fixed threshold a freed plane is gone.

Where a network computes on the processor that costs more than it saves: each layer's result would be mapped
anew, page by page, which took two thirds of the embedded network's time.  There, freed blocks are kept.
"""

import ctypes
import threading
from typing import Final

#: Smaller than a plane of luma from 720 lines up; what is smaller costs less to keep than to map anew.
_PLANE_BYTES: Final = 512 << 10
#: Free bytes at a heap's end that are kept; else every packet's buffer would be a system call.
_KEPT_BYTES: Final = 4 << 20
#: The largest that glibc takes (HEAP_MAX_SIZE / 2), and as much as one picture's layers take together.
_LAYER_BYTES: Final = 32 << 20
_KEPT_LAYER_BYTES: Final = 256 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

_lock = threading.Lock()
_settled = ""


def return_freed_planes() -> None:
    """Give freed pictures back to the machine from now on, unless this process keeps freed blocks."""
    _settle("planes", _PLANE_BYTES, _KEPT_BYTES)


def keep_freed_layers() -> None:
    """Keep freed blocks for this process's networks from now on, whatever else is asked for."""
    _settle("layers", _LAYER_BYTES, _KEPT_LAYER_BYTES)


def _settle(what: str, own_mapping_bytes: int, kept_bytes: int) -> None:
    """Without effect where the C library has no such setting."""
    global _settled
    with _lock:
        if _settled in (what, "layers"):
            return
        _settled = what
        try:
            mallopt = ctypes.CDLL(None).mallopt
        except (AttributeError, OSError):
            return
        mallopt(_M_MMAP_THRESHOLD, own_mapping_bytes)
        mallopt(_M_TRIM_THRESHOLD, kept_bytes)
