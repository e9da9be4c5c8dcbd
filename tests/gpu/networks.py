"""The large networks by each back end, over the same network run plainly: half precision, eager, NCHW."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tasks.nets.rrdb_net import RRDBNet
from tasks.nets.srvgg_net import SRVGGNet
from tasks.nets.wav2lip import SIDE, Wav2Lip
from tasks.runtime.choice import RUNTIMES, Runtime
from tasks.runtime.run import runner
from tests.benchmarks.settings import say
from tests.benchmarks.table import Figure
from tests.gpu.scale import Scale, seconds_of

_GAIN = 1.5


@dataclass(frozen=True)
class Subject:
    """A network and what it is given."""

    name: str
    made: Callable[[], nn.Module]
    inputs: tuple[tuple[int, ...], ...]
    flops: float
    "Of one call; 2 for a multiplication with its addition."
    graphed: bool = True
    "One input and one output, as a runner wants it."


def subjects(scale: Scale) -> Iterator[Subject]:
    shape = (scale.batch, 3, scale.height, scale.width)
    yield Subject(
        "Compact ×4", lambda: SRVGGNet(4, scale.depth, scale.features), (shape,),
        2 * 9 * shape[0] * shape[2] * shape[3] * (scale.features * (3 + 48 + scale.depth * scale.features)),
    )  # fmt: skip
    shape = (max(1, scale.batch // 4), 3, scale.tile, scale.tile)
    # Growth is half the features; a dense block's five convolutions see 2 to 6 halves (ESRGAN, fig. 4).
    block = 3 * (2 + 3 + 4 + 5 + 2 * 6) * (scale.features // 2) ** 2
    body = scale.blocks * block + scale.features**2 * (1 + 4 + 16 + 16) + scale.features * 3 * (1 + 16)
    yield Subject(
        "RRDBNet ×4", lambda: RRDBNet(4, scale.blocks, scale.features, scale.features // 2), (shape,),
        2 * 9 * shape[0] * shape[2] * shape[3] * body,
    )  # fmt: skip
    inputs = ((scale.faces, 1, 80, 16), (scale.faces, 6, SIDE, SIDE))
    yield Subject("Wav2Lip", Wav2Lip, inputs, 7.93e9 * scale.faces, graphed=False)


def measure_networks(device: str, scale: Scale) -> list[Figure]:
    """For each network: every back end over the plain run, and the share of the matrix rate."""
    half = torch.float16 if device.startswith("cuda") else torch.float32
    rate = _matrix_rate(device, scale)
    figures = [Figure("networks", "matrix products of bf16", rate / 1e12, "TFLOP/s", None, False, "measured here")]
    for subject in subjects(scale):
        figures += list(_of_one(subject, device, half, scale, rate))
    return figures


@torch.inference_mode()
def _of_one(subject: Subject, device: str, half: torch.dtype, scale: Scale, rate: float) -> list[Figure]:
    torch.manual_seed(0)
    plain = subject.made().eval().to(device, half)
    given = [torch.rand(shape, device=device, dtype=half) for shape in subject.inputs]
    wanted: Tensor = plain(*given)
    reference = seconds_of(device, lambda: plain(*given), scale.rounds)
    ours = plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    given = [x.contiguous(memory_format=torch.channels_last) for x in given]
    figures = []
    for runtime in _runtimes(subject, device, scale):
        run = runner(ours, runtime)
        off = float((run(*given) - wanted).abs().max() / wanted.abs().max())
        taken = seconds_of(device, lambda run=run: run(*given), scale.rounds)  # type: ignore[misc]
        share = subject.flops / taken / rate
        say(f"{subject.name} {runtime}: {1000 * taken:.2f} ms, plain {1000 * reference:.2f}; {off:.1e} apart")
        figures.append(
            Figure(
                "networks", f"{subject.name}, {runtime}, channels last, over a plain run", reference / taken, "×",
                _GAIN, False, f"{1000 * taken:.2f} against {1000 * reference:.2f} ms of {list(subject.inputs[-1])}; "
                f"{100 * share:.0f} % of the matrix rate; outputs {off:.0e} apart",
                {"share": share, "apart": off},
            )
        )  # fmt: skip
    return figures


def _runtimes(subject: Subject, device: str, scale: Scale) -> list[Runtime]:
    left_out = {"compile": not scale.compiles, "graphs": not device.startswith("cuda") or not subject.graphed}
    return [runtime for runtime in RUNTIMES if not left_out.get(runtime)]


def _matrix_rate(device: str, scale: Scale) -> float:
    """Operations a second of a large product in bf16."""
    a = torch.rand((scale.matrix, scale.matrix), device=device, dtype=torch.bfloat16)
    return 2.0 * scale.matrix**3 / seconds_of(device, lambda: a @ a, scale.rounds)
