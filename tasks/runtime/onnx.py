"""Networks computed by ONNX Runtime: which of its providers open on a device, and sessions of one shape.

A session has weights of its own, so it is what a device's pool brings and evicts, and the network stays in host
memory: to tell of itself, and for graphs of other shapes.
"""

import importlib.util
import logging
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from tasks.errors import OutOfVram
from tasks.runtime.built import Built, NothingKept, Recipe, packed, unpack
from tasks.runtime.choice import Provider
from tasks.runtime.machine import fingerprint
from tasks.runtime.onnx_file import OUTPUT, input_name

log = logging.getLogger("reelyard")

#: By our names, the fastest first, for each kind of device; ONNX Runtime's own names.
_PROVIDERS: Final = {
    "cuda": {"tensorrt": "TensorrtExecutionProvider", "cuda": "CUDAExecutionProvider"},
    "cpu": {"cpu": "CPUExecutionProvider"},
}
#: How ONNX Runtime's allocators say that there is no memory (onnxruntime/core/framework/bfc_arena.cc).
_SHORT: Final = ("Failed to allocate memory", "out of memory", "BFCArena", "bad_alloc")
#: Tensors of a probe: small, and of the operations that matter.
_PROBE_SHAPE: Final = (1, 3, 8, 8)


def library_version() -> str:
    """Of ONNX Runtime; empty where it is not installed."""
    if importlib.util.find_spec("onnxruntime") is None:
        return ""
    import onnxruntime

    return str(onnxruntime.__version__)


@lru_cache(maxsize=8)
def providers_on(device: str) -> tuple[Provider, ...]:
    """Every provider for a device, each tried with a small graph whose result is held against torch's."""
    names = _PROVIDERS[torch.device(device).type]
    if not library_version():
        return tuple(Provider(name, "onnxruntime is not installed") for name in names)
    return tuple(Provider(name, _fault(name, device)) for name in names)


def _fault(provider: str, device: str) -> str:
    """Why a provider does not compute; a library that lists one need not be able to open it."""
    import onnxruntime

    name = _PROVIDERS[torch.device(device).type][provider]
    if name not in onnxruntime.get_available_providers():
        return f"this build of onnxruntime {onnxruntime.__version__} has none"
    torch.manual_seed(0)
    small = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.PReLU(4)).eval().requires_grad_(False)
    x = torch.rand(_PROBE_SHAPE)
    try:
        session = OnnxNetwork(small, device, provider, "probe", "fp32", NothingKept())
        drawn = session(x.to(device)).cpu()
    except Exception as error:  # Its exceptions have no common class, and any of them means that it cannot be used.
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    apart = float((drawn - small(x)).abs().max())
    return "" if apart < 1e-2 else f"a small graph came out {apart:.2g} apart from torch's"


class OnnxNetwork:
    """Sessions of one network, one shape at a time; lies on the device between `open` and `close`.

    `network` is in host memory and at the precision of what it is given.
    """

    def __init__(
        self, network: nn.Module, device: str, provider: str, digest: str, precision: str, built: Built
    ) -> None:
        self.network = network
        self.size_bytes = sum(x.numel() * x.element_size() for x in (*network.parameters(), *network.buffers()))
        self._device = torch.device(device)
        self._provider = provider
        self._recipe = Recipe("graph", digest, precision, "", f"opset of {library_version()}")
        self._built = built
        self._changing = threading.Lock()
        self._like: tuple[Tensor, ...] = ()
        "What the session takes, without content."
        self._session: Any = None

    def open(self) -> None:
        """Bring what was used last back to the device; nothing where it was never used.

        Raises:
            OutOfVram: the device has no room for it.
        """
        with self._changing:
            if self._like and self._session is None:
                self._session = self._opened(self._like)

    def close(self) -> None:
        """Give the device's room back."""
        with self._changing:
            self._session = None

    def __call__(self, *given: Tensor) -> Tensor:
        """As the network itself.

        Raises:
            OutOfVram: the device ran out of memory.
        """
        with self._changing:
            if self._session is None or any(x.shape != y.shape for x, y in zip(given, self._like, strict=True)):
                self._session = None
                self._session = self._opened(given)
                self._like = tuple(torch.empty_like(x, device="meta") for x in given)
            session = self._session
        with _told_as_out_of_vram(f"onnx by {self._provider} on {self._device}"):
            return _on_processor(session, given) if self._device.type == "cpu" else _on_gpu(session, given)

    def _opened(self, given: tuple[Tensor, ...]) -> Any:
        import onnxruntime

        shapes = [tuple(x.shape) for x in given]
        graph = self._graph(self._recipe.key(shapes), given)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # One thread makes the same sums everywhere.
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        with _told_as_out_of_vram(f"onnx by {self._provider} on {self._device}"):
            if self._provider != "tensorrt":
                return onnxruntime.InferenceSession(graph, options, providers=[self._of_provider()])
            return self._with_engine(graph, options, shapes)

    def _graph(self, key: str, given: tuple[Tensor, ...]) -> bytes:
        """The file of these shapes, written by whoever needs it first."""
        kept = self._built.find(key)
        if kept is None:
            from tasks.runtime.onnx_graph import onnx_bytes  # Brings what takes seconds to import.

            kept = onnx_bytes(self.network, given)
            self._built.keep(key, kept)
        return kept

    def _of_provider(self, **more: object) -> tuple[str, dict[str, object]]:
        name = _PROVIDERS[self._device.type][self._provider]
        if self._provider == "cpu":
            return name, {}
        number = {"device_id": self._device.index or 0}
        if self._provider == "tensorrt":
            return name, {**number, "trt_fp16_enable": self._recipe.precision == "fp16", **more}
        return name, {**number, "use_tf32": 0, "arena_extend_strategy": "kSameAsRequested"}

    def _with_engine(self, graph: bytes, options: Any, shapes: list[tuple[int, ...]]) -> Any:
        """A session of TensorRT, whose engine takes minutes to build: kept as it is built."""
        import onnxruntime

        recipe = Recipe(
            "engine", self._recipe.network, self._recipe.precision, fingerprint(str(self._device)), library_version()
        )
        key = recipe.key(shapes)
        with tempfile.TemporaryDirectory(prefix="reelyard-engine-") as folder:
            kept = self._built.find(key)
            if kept is not None:
                unpack(kept, Path(folder))
            engine = self._of_provider(trt_engine_cache_enable=True, trt_engine_cache_path=folder)
            session = onnxruntime.InferenceSession(graph, options, providers=[engine])
            made = [path for path in Path(folder).rglob("*") if path.is_file()]
            if kept is None and made:
                self._built.keep(key, packed(Path(folder), made))
        return session


def _on_processor(session: Any, given: tuple[Tensor, ...]) -> Tensor:
    feed = {input_name(i): x.contiguous().numpy() for i, x in enumerate(given)}
    return torch.from_numpy(session.run([OUTPUT], feed)[0])


def _on_gpu(session: Any, given: tuple[Tensor, ...]) -> Tensor:
    """Read and written where torch has it; each of the two libraries has a stream of its own."""
    binding, device = session.io_binding(), given[0].device
    number = device.index or 0
    plain = [x.contiguous() for x in given]
    for i, x in enumerate(plain):
        binding.bind_input(input_name(i), "cuda", number, _numpy_type(x.dtype), tuple(x.shape), x.data_ptr())
    found = session.get_outputs()[0]
    kind = torch.float16 if "float16" in found.type else torch.float32
    out = torch.empty(found.shape, dtype=kind, device=device)
    binding.bind_output(OUTPUT, "cuda", number, _numpy_type(kind), tuple(out.shape), out.data_ptr())
    torch.cuda.current_stream(device).synchronize()
    session.run_with_iobinding(binding)
    binding.synchronize_outputs()
    return out


def _numpy_type(kind: torch.dtype) -> type[np.floating[Any]]:
    return np.float16 if kind == torch.float16 else np.float32


@contextmanager
def _told_as_out_of_vram(what: str) -> Iterator[None]:
    """Want of memory in the words of ONNX Runtime, whose exceptions have no class for it."""
    try:
        yield
    except Exception as error:
        words = str(error)
        if not any(sign in words for sign in _SHORT):
            raise
        raise OutOfVram(
            f"{what}: {words.strip().splitlines()[0]}; render fewer at a time, free the device from other work, "
            "or use --device cpu"
        ) from error
