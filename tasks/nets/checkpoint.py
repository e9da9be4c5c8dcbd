"""Networks' weights out of a local file that others trained, taken strictly; knows no pictures.

A checkpoint may keep its tensors bare or under the names that trainers use, with or without the prefix of
a parallel wrapper.  Nothing but tensors is ever unpickled.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tasks.errors import WeightsError

Network = TypeVar("Network", bound=nn.Module)
State = dict[str, Tensor]

_CONTAINERS: Final = ("params_ema", "params", "state_dict")
_WRAPPER: Final = "module."


def open_checkpoint(path: Path) -> State:
    """The tensors of a `.safetensors` or PyTorch file by key, in host memory.

    Raises:
        WeightsError: the file is missing, damaged, holds more than tensors, or none.
    """
    try:
        held = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (OSError, SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        found = str(error).strip().splitlines()
        raise WeightsError(
            f"weights {path} cannot be read: {found[0] if found else type(error).__name__}; expected a "
            ".safetensors file or a PyTorch file of tensors alone: fetch it again or name another"
        ) from error
    for container in _CONTAINERS:
        if isinstance(held, Mapping) and isinstance(held.get(container), Mapping):
            held = held[container]
            break
    if not isinstance(held, Mapping) or not held or not all(isinstance(value, Tensor) for value in held.values()):
        raise WeightsError(
            f"weights {path} hold no table of tensors, bare or under {', '.join(_CONTAINERS)}; "
            "name a file of a network's weights"
        )
    return {str(key).removeprefix(_WRAPPER): value for key, value in held.items()}


def fill(network: Network, state: Mapping[str, Tensor], source: str) -> Network:
    """The network with exactly these weights, ready to render; `source` is what messages call them.

    Raises:
        WeightsError: a tensor is missing, left over, of another shape or not finite; names the first.
    """
    expected = network.state_dict()
    if fault := _first_mismatch(expected, state):
        raise WeightsError(
            f"weights {source} are not of {type(network).__name__}: {fault}; name the checkpoint of this "
            "network, or the network of this checkpoint"
        )
    network.load_state_dict({key: state[key].to(value.dtype) for key, value in expected.items()})
    return network.eval().requires_grad_(False)


def between(first: Mapping[str, Tensor], second: Mapping[str, Tensor], share: float, source: str) -> State:
    """Weights on the way from `second` (share 0) to `first` (share 1): how strength is set between two nets.

    Raises:
        WeightsError: the two are of different networks; names the first tensor that differs.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}, expected 0 to 1")
    if fault := _first_mismatch(first, second):
        raise WeightsError(f"weights {source} cannot be mixed: {fault}; name two checkpoints of one network")
    return {key: share * value.float() + (1 - share) * second[key].float() for key, value in first.items()}


def _first_mismatch(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """What differs first, in the order of `expected`; empty where nothing does."""
    for key, value in expected.items():
        if key not in found:
            return f"{key} {tuple(value.shape)} is missing"
        if found[key].shape != value.shape:
            return f"{key} is {tuple(found[key].shape)}, expected {tuple(value.shape)}"
        if found[key].is_floating_point() and not bool(torch.isfinite(found[key]).all()):
            return f"{key} holds values that are not finite"
    left = next((key for key in found if key not in expected), None)
    return "" if left is None else f"{left} {tuple(found[left].shape)} is left over"
