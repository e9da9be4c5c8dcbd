"""ONNX Runtime draws what torch draws, in sessions of one shape that a pool brings and evicts."""

import dataclasses
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from tasks.errors import JobError, OutOfVram
from tasks.nets.detail_net import DetailNet
from tasks.nets.rrdb_net import RRDBNet
from tasks.nets.srvgg_net import SRVGGNet
from tasks.nets.wav2lip import Wav2Lip
from tasks.nets.wav2lip_larger import Wav2Lip288, Wav2Lip384
from tasks.residency.residents import Residents
from tasks.runtime import onnx
from tasks.runtime.built import NothingKept
from tasks.runtime.choice import Precision, Provider, Way, Wish
from tasks.runtime.machine import machine_of
from tasks.runtime.onnx import OnnxNetwork, providers_on
from tasks.runtime.onnx_graph import onnx_bytes
from tasks.runtime.run import held

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

#: Of values 0..1: sums in another order.
TOLERANCE = 1e-5


class Kept:
    """A store in memory that counts."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []

    def find(self, key: str) -> bytes | None:
        self.asked.append(key)
        return self.files.get(key)

    def keep(self, key: str, content: bytes) -> None:
        self.files[key] = content


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def network(made: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(5)
    with torch.inference_mode(False):  # As a task makes its own.
        return made().eval().requires_grad_(False)


def onnx_way(precision: Precision = "fp32") -> Way:
    return Way("onnx", precision, "a test", "cpu")


def opened(one: nn.Module, precision: Precision = "fp32", kept: Kept | None = None) -> OnnxNetwork:
    with torch.inference_mode(False):
        found = held(one, onnx_way(precision), "cpu", kept or NothingKept())
    assert isinstance(found, OnnxNetwork)
    return found


@pytest.mark.parametrize(
    ("made", "shapes"),
    [
        (lambda: DetailNet(3), [(1, 3, 31, 48)]),
        (lambda: SRVGGNet(4, 3, 16), [(2, 3, 32, 48)]),
        (lambda: SRVGGNet(2, 3, 16), [(1, 3, 17, 23)]),
        (lambda: SRVGGNet(3, 1, 8), [(1, 3, 17, 23)]),
        (lambda: RRDBNet(4, 1, 16, 8), [(1, 3, 24, 32)]),
        (lambda: RRDBNet(2, 1, 16, 8), [(2, 3, 24, 32)]),
        (lambda: RRDBNet(1, 1, 16, 8), [(1, 3, 24, 32)]),
        (Wav2Lip, [(2, 1, 80, 16), (2, 6, 96, 96)]),
    ],
)
@torch.inference_mode()
def test_every_network_draws_the_same(made: Callable[[], nn.Module], shapes: list[tuple[int, ...]]) -> None:
    straight, given = network(made), [noise(*shape, seed=i) for i, shape in enumerate(shapes)]
    wanted = straight(*given)
    assert float(wanted.std()) > 1e-3
    assert float((opened(straight)(*given) - wanted).abs().max()) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("made", [Wav2Lip288, Wav2Lip384])
@torch.inference_mode()
def test_the_larger_generators_draw_the_same(made: Callable[[], nn.Module]) -> None:
    straight, side = network(made), 288 if made is Wav2Lip288 else 384
    given = noise(1, 1, 80, 16), noise(1, 6, side, side)
    assert float((opened(straight)(*given) - straight(*given)).abs().max()) < TOLERANCE


@pytest.mark.parametrize("made", [lambda: SRVGGNet(4, 3, 16), lambda: RRDBNet(4, 1, 16, 8)])
@torch.inference_mode()
def test_halves_go_in_and_out_as_they_do_in_torch(made: Callable[[], nn.Module]) -> None:
    x = noise(1, 3, 24, 32)
    wanted, drawn = network(made)(x), opened(network(made), "fp16")(x)
    assert drawn.dtype == torch.float32
    assert 0 < float((drawn - wanted).abs().max()) < 2e-3


@torch.inference_mode()
def test_a_graph_is_written_once_a_shape_and_found_by_others() -> None:
    kept, x, y = Kept(), noise(1, 3, 16, 24), noise(1, 3, 20, 24)
    first = opened(network(lambda: SRVGGNet(2, 1, 8)), kept=kept)
    wanted = [first(x), first(y), first(x)]
    assert len(kept.files) == 2
    second = opened(network(lambda: SRVGGNet(2, 1, 8)), kept=kept)
    before = dict(kept.files)
    assert all(torch.equal(second(z), w) for z, w in zip((x, y, x), wanted, strict=True))
    assert kept.files == before
    other = opened(network(lambda: SRVGGNet(2, 2, 8)), kept=kept)
    other(x)
    assert len(kept.files) == 3, "other weights, another graph"


def test_equal_networks_give_equal_files() -> None:
    x = noise(1, 3, 16, 24)
    one, other = (onnx_bytes(network(lambda: RRDBNet(2, 1, 8, 4)), [x]) for _ in range(2))
    assert one == other


def test_what_cannot_be_written_down_is_told() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.fft(x).abs()

    with pytest.raises(JobError, match=r"runtime=onnx: the network does aten\..*, which is not known here"):
        onnx_bytes(Odd(), [noise(1, 3, 4, 4)])


@torch.inference_mode()
def test_sessions_come_and_go_with_the_pool_and_draw_the_same() -> None:
    """Room for one of two: each comes back, and its session with it."""
    x = noise(1, 3, 16, 24)
    first, second = (opened(network(lambda d=d: SRVGGNet(2, d, 8))) for d in (1, 2))  # type: ignore[misc]
    residents = Residents("cpu", max(first.size_bytes, second.size_bytes))
    for name, one in (("first", first), ("second", second)):
        residents.add(name, lambda one=one: one)  # type: ignore[misc]
    drawn = []
    for _ in range(2):
        for name, one in (("first", first), ("second", second)):
            drawn.append(residents.render(name, (name,), lambda setting, one=one: one(x), batch_frames=1))  # type: ignore[misc]
        assert first._session is None, "evicted for the other"
        assert second._session is not None
    assert torch.equal(drawn[0], drawn[2]) and torch.equal(drawn[1], drawn[3])
    assert not torch.equal(drawn[0], drawn[1])
    assert residents.pool.moves.evictions == 3
    residents.remove("second")
    assert second._session is None


@torch.inference_mode()
def test_what_was_open_is_open_again_before_it_is_called() -> None:
    one, x = opened(network(lambda: SRVGGNet(2, 1, 8))), noise(1, 3, 16, 24)
    one.open()
    assert one._session is None, "of no shape yet"
    one(x)
    one.close()
    one.open()
    assert one._session is not None


def test_want_of_memory_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def run(self, names: object, feed: object) -> None:
            raise RuntimeError("[ONNXRuntimeError] : 6 : bfc_arena.cc: Failed to allocate memory for requested buffer")

    one = opened(network(lambda: SRVGGNet(2, 1, 8)))
    monkeypatch.setattr(one, "_opened", lambda given: Full())
    with pytest.raises(OutOfVram, match=r"onnx by cpu on cpu: .*Failed to allocate.*; render fewer at a time"):
        one(noise(1, 3, 8, 8))


@pytest.fixture
def _asked_anew() -> Iterator[None]:
    providers_on.cache_clear()
    yield
    providers_on.cache_clear()


@pytest.mark.usefixtures("_asked_anew")
def test_a_provider_is_believed_when_it_computed_something(monkeypatch: pytest.MonkeyPatch) -> None:
    assert providers_on("cpu") == (Provider("cpu"),)
    assert machine_of("cpu", Wish("onnx")).providers == (Provider("cpu"),)
    assert machine_of("cpu", Wish()).providers == (), "nobody asked"
    providers_on.cache_clear()
    monkeypatch.setattr(OnnxNetwork, "__call__", lambda self, x: x.new_zeros((1, 4, 8, 8)))
    (wrong,) = providers_on("cpu")
    assert "a small graph came out" in wrong.fault and "apart from torch's" in wrong.fault
    providers_on.cache_clear()
    monkeypatch.setattr(onnx, "library_version", lambda: "")
    assert providers_on("cpu") == (Provider("cpu", "onnxruntime is not installed"),)


@pytest.mark.usefixtures("_asked_anew")
def test_gpu_providers_that_this_build_lacks_are_told() -> None:
    faults = [one.fault for one in providers_on("cuda:0")]
    if not torch.cuda.is_available():
        assert all("this build of onnxruntime" in fault and "has none" in fault for fault in faults), faults


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@torch.inference_mode()
def test_gpu_providers_draw_the_same() -> None:
    opening = [one.name for one in providers_on("cuda:0") if not one.fault]
    if not opening:
        pytest.skip(f"no provider opens: {providers_on('cuda:0')}")
    x = noise(1, 3, 32, 48).cuda()
    wanted = network(lambda: SRVGGNet(4, 3, 16)).cuda()(x)
    for name in opening:
        way = dataclasses.replace(onnx_way("fp16"), provider=name)
        drawn = held(network(lambda: SRVGGNet(4, 3, 16)), way, "cuda:0", NothingKept())(x)
        assert float((drawn - wanted).abs().max()) < 2e-3
