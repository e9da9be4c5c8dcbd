"""A network behind one call, whatever computes it; knows no pictures and no budget.

Weights may move between calls (`tasks.residency`): what is kept of a call must not hold their addresses, or must
notice that they changed.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn

from tasks.runtime.built import Built, Recipe
from tasks.runtime.choice import Precision, Way
from tasks.runtime.compiled import Compiled
from tasks.runtime.machine import fingerprint
from tasks.runtime.onnx import OnnxNetwork, library_version

Run = Callable[..., Tensor]
"""Of the network's inputs."""

Held = nn.Module | OnnxNetwork
"""What a device keeps of a network: its weights, or a session that has them."""

TYPES: Final[dict[Precision, torch.dtype]] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


def ready(network: nn.Module, way: Way) -> nn.Module:
    """The network itself, at a precision and with channels together: a third of the time on small convolutions."""
    if not way.hardware:
        return _rounding(network, TYPES[way.precision])
    return network.to(dtype=TYPES[way.precision], memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def held(network: nn.Module, way: Way, device: str, built: Built) -> Held:
    """What is kept on the device of a network in host memory that is computed in this way."""
    made = ready(network, way)
    if way.runtime != "onnx":
        return made
    return OnnxNetwork(made, device, way.provider, digest_of(made), way.precision, built)


def network_of(one: Held) -> nn.Module:
    """The network itself, for what it tells of itself."""
    return one.network if isinstance(one, OnnxNetwork) else one


def runner(one: Held, way: Way, device: str, built: Built) -> Run:
    """Calls of the network; the first of each shape may take long."""
    if isinstance(one, OnnxNetwork):
        return one
    if way.runtime == "compile":
        recipe = Recipe("compiled", digest_of(one), way.precision, fingerprint(device))
        return Compiled(one, recipe, built)
    return _Graphs(one) if way.runtime == "graphs" else one


def digest_of(network: nn.Module) -> str:
    """Of its kind and weights, wherever they lie."""
    sha = hashlib.sha256(type(network).__name__.encode())
    for name, tensor in network.state_dict().items():
        sha.update(f"|{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        sha.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()


def library_of(way: Way) -> str:
    """What else than torch computes in this way, with its version."""
    return f"onnxruntime {library_version()}" if way.runtime == "onnx" else ""


def _rounding(network: nn.Module, kind: torch.dtype) -> nn.Module:
    """The network computing fp32 between values that are rounded to another type: weights, and what layers pass on.

    That is what hardware does which multiplies halves and adds them up in fp32, at the speed of fp32.
    """

    def rounded(x: Any) -> Any:
        return x.to(kind).to(torch.float32) if isinstance(x, Tensor) and x.is_floating_point() else x

    def round_in(layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(rounded(x) for x in given)

    def round_out(layer: nn.Module, given: tuple[Any, ...], found: Any) -> Any:
        return rounded(found)

    network = network.to(dtype=kind).to(dtype=torch.float32, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for layer in network.modules():
        if not any(True for _ in layer.children()):
            layer.register_forward_pre_hook(round_in)
            layer.register_forward_hook(round_out)
    return network


class _Graphs:
    """CUDA graphs, one a shape and place of the weights: an evicted network that came back is captured anew."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._captured: dict[tuple[tuple[int, ...], ...], _Captured] = {}

    def __call__(self, *given: Tensor) -> Tensor:
        shapes, place = tuple(tuple(x.shape) for x in given), next(self._network.parameters()).data_ptr()
        kept = self._captured.get(shapes)
        if kept is None or kept.place != place:
            kept = self._captured[shapes] = _Captured(self._network, place, given)
        return kept.replayed(given)


class _Captured:
    """One graph, and where it reads and writes."""

    def __init__(self, network: nn.Module, place: int, given: tuple[Tensor, ...]) -> None:
        self.place = place
        self._given = [x.clone() for x in given]
        device = given[0].device
        beside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(beside):
            for _ in range(3):  # cuDNN looks for its algorithms outside of a capture.
                network(*self._given)
        torch.cuda.current_stream(device).wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads go on copying and allocating meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._out: Tensor = network(*self._given)

    def replayed(self, given: tuple[Tensor, ...]) -> Tensor:
        for place, x in zip(self._given, given, strict=True):
            place.copy_(x)
        self._graph.replay()
        return self._out.clone()
