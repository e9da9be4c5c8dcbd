"""Networks' weights between host memory and a device, each as one block; knows no budget.

What keeps its weights by itself, as a session of another library does, is opened and closed instead (`Openable`).

A network's tensors become views of one block, so a move is one copy at the link's full rate and leaves no
holes behind.  Weights never change, so eviction copies nothing: the block in host memory is the original,
pinned where a GPU reads it, or waits in a file where host memory has no room for all (`HostBlocks`).
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from tasks.errors import OutOfVram
from tasks.residency.host import HostBlocks

log = logging.getLogger("reelyard")

_ALIGNMENT: Final = 256
"Bytes; what CUDA's own allocations guarantee and its fastest kernels ask for."


@runtime_checkable
class Openable(Protocol):
    """What lies on a device from `open` to `close`, with weights of its own."""

    size_bytes: int

    def open(self) -> None:
        """Lie on the device.

        Raises:
            OutOfVram: there is no room for it.
        """

    def close(self) -> None:
        """Give the room back."""


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies in its network's block."""

    tensor: Tensor
    start: int
    end: int

    def show(self, block: Tensor) -> None:
        """Let the tensor be a view of `block`, with the shape and strides that it has."""
        values = block[self.start : self.end].view(self.tensor.dtype)
        self.tensor.data = values.as_strided(self.tensor.shape, self.tensor.stride())


class TorchMover:
    """The weights of networks by name; on the CPU the "device" is other host memory, for trying it."""

    def __init__(self, device: str, host_bytes: int = sys.maxsize, tell: Callable[[str], None] = log.info) -> None:
        """`host_bytes`: of host memory for networks, on the device or not; `tell` is given what a report should say."""
        self._device = torch.device(device)
        self.host = HostBlocks(host_bytes, pinned=self._on_gpu, moved=self._show_off_device, tell=tell)
        self._moving = threading.RLock()
        self._reader: threading.Thread | None = None
        self._places: dict[str, tuple[_Place, ...]] = {}
        self._here: dict[str, Tensor] = {}
        self._copied: dict[str, torch.cuda.Event] = {}
        self._openable: dict[str, Openable] = {}
        self._side = torch.cuda.Stream(self._device) if self._on_gpu else None  # type: ignore[no-untyped-call]

    @property
    def _on_gpu(self) -> bool:
        return self._device.type == "cuda"

    def foresee(self, queue: Sequence[str]) -> None:
        """What will be used, in order, as far as that is known; of files what comes next is read meanwhile."""
        self.host.foresee(queue)
        if self.host.in_files and not self.reading:
            # It ends by itself, and is waited for: one that is cut off within torch ends the process with it.
            self._reader = threading.Thread(target=self._read_ahead, name="read ahead")
            self._reader.start()

    @property
    def reading(self) -> bool:
        """Whether files are being read ahead of their use."""
        return self._reader is not None and self._reader.is_alive()

    def _read_ahead(self) -> None:
        while True:
            with self._moving:
                found = self.host.next_to_read()
            if found is None:
                return
            name, mapped = found
            block = self.host.read(mapped)
            with self._moving:
                self.host.arrived(name, block)
            if block is None:
                return

    def add(self, name: str, network: nn.Module | Openable) -> int:
        """Take a network in host memory over and tell how many bytes it takes; it must not be trained on."""
        if isinstance(network, Openable):
            self._openable[name] = network
            return network.size_bytes
        places, size_bytes = _laid_out(network)
        block = torch.empty(size_bytes, dtype=torch.uint8, pin_memory=self._on_gpu)
        for place in places:
            target = block[place.start : place.end].view(place.tensor.dtype)
            target.as_strided(place.tensor.shape, place.tensor.stride()).copy_(place.tensor.detach())
            place.show(block)
        with self._moving:
            self._places[name] = places
            self.host.keep(name, block)
        return size_bytes

    def remove(self, name: str) -> None:
        """Forget a network that lies in host memory, where it stays its owner's."""
        if self._openable.pop(name, None) is None:
            with self._moving:
                self.host.forget(name)
                del self._places[name]

    def bring(self, name: str) -> None:
        """Start the copy; on a GPU beside what it computes.

        Raises:
            OutOfVram: the device has no such block; the network stays in host memory.
        """
        if name in self._openable:
            self._openable[name].open()
            return
        with self._moving:
            host = self.host.lend(name)
            try:
                self._here[name] = self._copy(name, host)
            except torch.OutOfMemoryError as error:
                self.host.returned(name)
                raise OutOfVram(
                    f"{name} needs {host.numel():,} bytes on {self._device}, which has no such block free: "
                    f"{str(error).splitlines()[0]}; free the device from other work, or use --device cpu"
                ) from error
            for place in self._places[name]:
                place.show(self._here[name])

    def _copy(self, name: str, host: Tensor) -> Tensor:
        if self._side is None:
            return host.clone()
        with torch.cuda.stream(self._side):
            here = host.to(self._device, non_blocking=True)
            self._copied[name] = self._side.record_event()
        return here

    def settle(self, name: str) -> None:
        """What this thread computes from now on waits for the copy, not the thread itself."""
        if self._side is not None and name in self._copied:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(self._copied[name])
            self._here[name].record_stream(stream)

    def evict(self, name: str) -> None:
        """Give the block back; the network is then in host memory again."""
        if name in self._openable:
            self._openable[name].close()
            return
        with self._moving:
            self._copied.pop(name, None)
            del self._here[name]
            self.host.returned(name)
            self._show_off_device(name, self.host.block(name))

    def _show_off_device(self, name: str, block: Tensor) -> None:
        """Let the network lie in `block`, unless it is on the device."""
        if name not in self._here:
            for place in self._places[name]:
                place.show(block)


def _laid_out(network: nn.Module) -> tuple[tuple[_Place, ...], int]:
    """Every tensor's place and the bytes of all; a tensor shared by layers has one."""
    places: list[_Place] = []
    start = 0
    for tensor in _tensors(network):
        end = start + tensor.numel() * tensor.element_size()
        places.append(_Place(tensor, start, end))
        start = -(-end // _ALIGNMENT) * _ALIGNMENT
    return tuple(places), start


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()
