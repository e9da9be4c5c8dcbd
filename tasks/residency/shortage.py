"""A device's want of memory told as the project's own error, whoever of torch's allocators says it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from tasks.errors import OutOfVram

#: How torch's allocator of host memory begins to say that there is none (c10/core/impl/alloc_cpu.cpp).
_HOST: Final = "DefaultCPUAllocator"


@contextmanager
def told_as_out_of_vram(what: str) -> Iterator[None]:
    """The block; where it runs out of memory, `what` did.

    Raises:
        OutOfVram: it ran out of memory.
    """
    try:
        yield
    except RuntimeError as error:  # OutOfMemoryError is one of these.
        if not isinstance(error, torch.OutOfMemoryError) and _HOST not in str(error):
            raise
        raise OutOfVram(
            f"{what}: {str(error).splitlines()[0]}; render fewer at a time, free the device from other work, "
            "or use --device cpu"
        ) from error
