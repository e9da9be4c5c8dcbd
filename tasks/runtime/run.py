"""A network behind one call, whatever computes it; knows no pictures and no budget.

Weights may move between calls (`tasks.residency`): what is kept of a call must not hold their addresses, or must
notice that they changed.
"""

import threading
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

from tasks.runtime.choice import Precision, Runtime

Run = Callable[..., Tensor]
"""Of one tensor; a network that is run eagerly may take more."""

TYPES: Final[dict[Precision, torch.dtype]] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


def ready(network: nn.Module, precision: Precision) -> nn.Module:
    """The network itself, at a precision and with channels together: a third of the time on small convolutions."""
    return network.to(dtype=TYPES[precision], memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def runner(network: nn.Module, runtime: Runtime) -> Run:
    """Calls of the network; the first of each shape may take long."""
    if runtime == "compile":
        return _Compiled(network)
    return _Graphs(network) if runtime == "graphs" else network


class _Compiled:
    """torch.compile, one program a shape; the first call of each is alone, as the compiler wants it."""

    def __init__(self, network: nn.Module) -> None:
        self._compiled = torch.compile(network, dynamic=False)
        self._first = threading.Lock()
        self._known: set[tuple[int, ...]] = set()

    def __call__(self, x: Tensor) -> Tensor:
        shape = tuple(x.shape)
        if shape in self._known:
            return self._compiled(x)  # type: ignore[no-any-return]
        with self._first:
            out: Tensor = self._compiled(x)
            self._known.add(shape)
        return out


class _Graphs:
    """CUDA graphs, one a shape and place of the weights: an evicted network that came back is captured anew."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._captured: dict[tuple[int, ...], tuple[int, torch.cuda.CUDAGraph, Tensor, Tensor]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        shape, place = tuple(x.shape), next(self._network.parameters()).data_ptr()
        kept = self._captured.get(shape)
        if kept is None or kept[0] != place:
            kept = self._captured[shape] = (place, *self._capture(x))
        _, graph, given, out = kept
        given.copy_(x)
        graph.replay()
        return out.clone()

    def _capture(self, x: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        given = x.clone()
        beside = torch.cuda.Stream(x.device)  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream(x.device))
        with torch.cuda.stream(beside):
            for _ in range(3):  # cuDNN looks for its algorithms outside of a capture.
                self._network(given)
        torch.cuda.current_stream(x.device).wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        # Other threads go on copying and allocating meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            out: Tensor = self._network(given)
        return graph, given, out
