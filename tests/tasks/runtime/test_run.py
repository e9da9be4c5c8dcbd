"""Lower precision and other back ends draw the same picture within a stated tolerance, wherever weights lie."""

import pytest
import torch
from torch import nn

from tasks.nets.detail_net import DetailNet
from tasks.nets.rrdb_net import RRDBNet
from tasks.nets.srvgg_net import SRVGGNet
from tasks.residency.mover import TorchMover
from tasks.runtime.built import NothingKept
from tasks.runtime.choice import Precision, Runtime, Way
from tasks.runtime.machine import machine_of
from tasks.runtime.run import Held, Run, ready
from tasks.runtime.run import runner as runner_of

#: Of values 0..1, for networks of random weights whose detail is about as large as that of trained ones.
TOLERANCE = {"fp16": 1e-3, "bf16": 8e-3}
CODE = 1 / 255


def way(precision: Precision = "fp32", runtime: Runtime = "eager", *, hardware: bool = True) -> Way:
    return Way(runtime, precision, "a test", hardware=hardware)


def runner(one: Held, how: Way, device: str = "cpu") -> Run:
    return runner_of(one, how, device, NothingKept())


def picture() -> torch.Tensor:
    x = torch.linspace(0, 1, 48).expand(1, 3, 32, 48) * torch.tensor([1, 0.7, 0.3]).view(1, 3, 1, 1)
    return x + 0.1 * torch.rand((1, 3, 32, 48), generator=torch.Generator().manual_seed(1))


def network(kind: str) -> nn.Module:
    torch.manual_seed(5)
    made = {"compact": lambda: SRVGGNet(4, 3, 16), "dense": lambda: RRDBNet(4, 2, 16, 8), "own": lambda: DetailNet(3)}
    return made[kind]().eval().requires_grad_(False)


@pytest.mark.parametrize(("kind", "precision"), [("compact", "fp16"), ("compact", "bf16"), ("dense", "fp16")])
@torch.inference_mode()
def test_lower_precision_stays_within_its_tolerance(kind: str, precision: Precision) -> None:
    exact = network(kind)(picture())
    lower = ready(network(kind), way(precision))
    assert precision in lower.precisions
    drawn = runner(lower, way(precision))(picture())
    assert drawn.dtype == torch.float32
    error = float((drawn - exact).abs().max())
    assert 0 < error < TOLERANCE[precision], error


@pytest.mark.parametrize(("kind", "precision"), [("compact", "fp16"), ("compact", "bf16"), ("dense", "fp16")])
@torch.inference_mode()
def test_a_precision_that_is_rounded_to_in_software_is_that_precision(kind: str, precision: Precision) -> None:
    """A node without arithmetic for it comes closer to those that have it than to fp32: no seam."""
    exact, halves = (runner(ready(network(kind), way(p)), way(p))(picture()) for p in ("fp32", precision))  # type: ignore[arg-type]
    rounding = ready(network(kind), way(precision, hardware=False))
    drawn = runner(rounding, way(precision, hardware=False))(picture())
    assert all(tensor.dtype == torch.float32 for tensor in rounding.parameters())
    from_halves, from_exact = (float((drawn - other).abs().mean()) for other in (halves, exact))
    assert from_exact > 0 and from_halves < from_exact, (from_halves, from_exact)
    assert float((drawn - exact).abs().max()) < TOLERANCE[precision]


@torch.inference_mode()
def test_what_is_forbidden_would_be_seen() -> None:
    """The picture passes through all of the dense network: bf16 moves it by more than half a code of 8 bits."""
    straight = network("dense")
    exact = straight(picture())
    drawn = ready(straight, way("bf16"))(picture())
    relative = float(((drawn - exact) / exact.abs().max()).abs().max())
    assert relative > 0.5 * CODE, relative


@pytest.mark.slow
@pytest.mark.skipif(bool(machine_of("cpu").no_compiler), reason="no C++ compiler on this machine")
def test_compiled_networks_draw_the_same_though_their_weights_move() -> None:
    made, x = ready(network("own"), way()), picture()
    mover, run = TorchMover("cpu"), runner(made, way(runtime="compile"))
    mover.add("own", made)
    with torch.inference_mode():
        wanted = made(x)
        for _ in range(2):
            mover.bring("own")
            assert float((run(x) - wanted).abs().max()) < 1e-6
            mover.evict("own")
            assert float((run(x) - wanted).abs().max()) < 1e-6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("runtime", ["graphs", "compile"])
@torch.inference_mode()
def test_gpu_back_ends_draw_the_same_though_weights_move(runtime: Runtime) -> None:
    made, x = ready(network("compact"), way("fp16")), picture().cuda()
    mover = TorchMover("cuda:0")
    mover.add("compact", made)
    mover.bring("compact")
    mover.settle("compact")
    wanted, run = made(x), runner(made, way("fp16", runtime), "cuda:0")
    for _ in range(2):
        assert float((run(x) - wanted).abs().max()) < 1e-3
        mover.evict("compact")
        mover.bring("compact")
        mover.settle("compact")
