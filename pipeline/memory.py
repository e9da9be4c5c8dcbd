"""Gives freed pictures back to the machine; knows one setting of the C library, no pictures.

glibc moves the size from which a block has its own mapping up to that of the largest block freed so far
(mallopt(3), M_MMAP_THRESHOLD).  Planes of pictures then share heaps with small objects, lie between them
once freed, and every lease that begins in another thread finds other heaps: a source ten times longer took
20 % more memory, all of it free.  With a fixed threshold a freed plane is gone.
"""

import ctypes
import functools

#: Smaller than a plane of luma from 720 lines up; what is smaller costs less to keep than to map anew.
_OWN_MAPPING_BYTES = 512 << 10
#: Free bytes at a heap's end that are kept; else every packet's buffer would be a system call.
_KEPT_BYTES = 4 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@functools.cache
def return_freed_planes() -> None:
    """Set for this process, once; without effect where the C library has no such setting."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, _OWN_MAPPING_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
