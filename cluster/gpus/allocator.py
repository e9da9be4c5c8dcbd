"""How torch is to lay out a GPU's memory: in segments that grow, so that networks that come and go leave no holes."""

import sys
from collections.abc import Mapping, MutableMapping

#: What torch reads when it first looks for a GPU, the present name first.
_SETTINGS = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")
GROWING = "expandable_segments:True"
#: That NVIDIA's Multi-Process Service sets for its clients.
_MPS = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT")


def let_segments_grow(environment: MutableMapping[str, str]) -> None:
    """Has torch do so in this process, which has not looked for a GPU yet; whoever set something else keeps it."""
    if not why_left(environment):
        environment[_SETTINGS[0]] = GROWING


def why_left(environment: Mapping[str, str]) -> str:
    """Why torch's allocator is left as it is; empty where it is not."""
    if found := next((f"{name}={environment[name]}" for name in _SETTINGS if name in environment), ""):
        return f"{found} was set already"
    if found := next((name for name in _MPS if name in environment), ""):
        return f"{found} is set: the memory limit of MPS is not known to count segments that grow"
    return "" if sys.platform.startswith("linux") else f"torch has no segments that grow on {sys.platform}"
