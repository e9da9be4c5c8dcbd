"""Weights of a local file put into a network: read without running what the file says, matched key by key."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Final, TypeVar

from tasks.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Under which public checkpoints keep their weights, the better ones first.
USUAL_KEYS: Final = ("params_ema", "params", "state_dict")
#: What training on several GPUs puts before each key.
_PARALLEL: Final = "module."

Network = TypeVar("Network", bound="nn.Module")


def load(network: Network, path: Path, *, key: str = "") -> Network:
    """The network itself with the weights of `path`, in evaluation mode.

    `key` is where the weights sit in the file; empty: the usual ones are tried, then the file itself.

    Raises:
        WeightsError: the file cannot be read, or is of another network.
    """
    fill(network, read(path, key=key), of=str(path))
    return network.eval()


def read(path: Path, *, key: str = "") -> "dict[str, Tensor]":
    """The weights of a .safetensors file or a torch checkpoint by key, `module.` taken off.

    Raises:
        WeightsError: no file, no weights in it, or it holds more than numbers.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file of weights")
    content = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    return _weights(content, key, path)


def fill(network: "nn.Module", state: "Mapping[str, Tensor]", *, of: str) -> None:
    """Every weight of the network taken from `state`, which has no other; on an error nothing changed.

    `of` names the state in errors.

    Raises:
        WeightsError: with the first key that is missing, of another shape, not finite or unexpected.
    """
    if fault := _first_mismatch(network.state_dict(), state):
        raise WeightsError(
            f"{of}: these are not weights of {type(network).__name__}: {fault}; choose the file of that network"
        )
    network.load_state_dict(dict(state))


def between(
    first: "Mapping[str, Tensor]", second: "Mapping[str, Tensor]", share: float, *, of: str
) -> "dict[str, Tensor]":
    """Weights on the way from `second` (share 0) to `first` (share 1): how strength is set between two networks.

    Raises:
        WeightsError: the two are of different networks; names the first weight that differs.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}, expected 0 to 1")
    if fault := _first_mismatch(first, second):
        raise WeightsError(f"{of}: these cannot be mixed: {fault}; name two checkpoints of one network")
    return {name: share * weight.float() + (1 - share) * second[name].float() for name, weight in first.items()}


def _first_mismatch(wanted: "Mapping[str, Tensor]", found: "Mapping[str, Tensor]") -> str:
    """What differs first, in the order of `wanted`; empty where nothing does."""
    import torch

    for name, weight in wanted.items():
        if name not in found:
            return f"{name} {_shape(weight)} is missing"
        if found[name].shape != weight.shape:
            return f"{name} is {_shape(found[name])}, expected {_shape(weight)}"
        if found[name].is_floating_point() and not bool(torch.isfinite(found[name]).all()):
            return f"{name} holds values that are not finite"
    first = next((name for name in found if name not in wanted), None)
    return "" if first is None else f"found {first} {_shape(found[first])}, which the network does not have"


def _safetensors(path: Path) -> "Mapping[str, object]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path}: is no safetensors file, or is cut off: {error}") from error


def _torch(path: Path) -> "Mapping[str, object]":
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise WeightsError(
            f"{path}: holds more than numbers, or is no torch checkpoint, and was not opened; "
            f"convert it to .safetensors where you trust it ({_first_line(error)})"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise WeightsError(f"{path}: cannot be read as a torch checkpoint: {_first_line(error)}") from error
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: found {type(content).__name__}, expected weights by key")
    return content


def _weights(content: Mapping[str, object], key: str, path: Path) -> "dict[str, Tensor]":
    import torch

    if key and key not in content:
        raise WeightsError(f"{path}: found no {key!r} in it, but {_some(content)}; expected the weights there")
    inside = next((content[k] for k in ((key,) if key else USUAL_KEYS) if k in content), content)
    found = inside.items() if isinstance(inside, Mapping) else ()
    weights = {str(k).removeprefix(_PARALLEL): v for k, v in found if isinstance(v, torch.Tensor)}
    if not weights or len(weights) != len(found):
        raise WeightsError(f"{path}: found {_some(content)}, expected weights by key alone")
    return weights


def _shape(weight: "Tensor") -> str:
    return "x".join(map(str, weight.shape)) or "a scalar"


def _some(content: Mapping[str, object]) -> str:
    names = [str(name) for name in content]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") or "nothing"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].strip()
