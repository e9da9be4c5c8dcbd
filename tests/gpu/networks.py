"""The large networks by each back end, over the same network run plainly: half precision, eager, NCHW."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tasks.nets.rrdb_net import RRDBNet
from tasks.nets.srvgg_net import SRVGGNet
from tasks.nets.wav2lip import SIDE, Wav2Lip
from tasks.runtime.built import NothingKept
from tasks.runtime.choice import RUNTIMES, Precision, Way
from tasks.runtime.onnx import providers_on
from tasks.runtime.run import held, runner
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
    yield Subject("Wav2Lip", Wav2Lip, inputs, 7.93e9 * scale.faces)


def measure_networks(device: str, scale: Scale) -> list[Figure]:
    """For each network: every back end over the plain run, and the share of the matrix rate."""
    half = torch.float16 if device.startswith("cuda") else torch.float32
    rate = _matrix_rate(device, scale)
    figures = [Figure("networks", "matrix products of bf16", rate / 1e12, "TFLOP/s", None, False, "measured here")]
    for subject in subjects(scale):
        figures += list(_of_one(subject, device, half, scale, rate))
    return figures


def _of_one(subject: Subject, device: str, half: torch.dtype, scale: Scale, rate: float) -> list[Figure]:
    torch.manual_seed(0)
    network = subject.made().eval().requires_grad_(False)
    given = [torch.rand(shape).to(device, half) for shape in subject.inputs]
    with torch.inference_mode():
        plain = copy.deepcopy(network).to(device, half)
        wanted: Tensor = plain(*given)
        reference = seconds_of(device, lambda: plain(*given), scale.rounds)
    together = [x.contiguous(memory_format=torch.channels_last) for x in given]
    figures = []
    for way in _ways(device, scale, "fp16" if half == torch.float16 else "fp32"):
        ours = held(copy.deepcopy(network), way, device, NothingKept())
        run = runner(ours.to(device) if isinstance(ours, nn.Module) else ours, way, device, NothingKept())
        with torch.inference_mode():
            off = float((run(*together) - wanted).abs().max() / wanted.abs().max())
            taken = seconds_of(device, lambda run=run: run(*together), scale.rounds)  # type: ignore[misc]
        share = subject.flops / taken / rate
        how = f"{way.runtime} by {way.provider}" if way.provider else f"{way.runtime}, channels last"
        say(f"{subject.name} {how}: {1000 * taken:.2f} ms, plain {1000 * reference:.2f}; {off:.1e} apart")
        figures.append(
            Figure(
                "networks", f"{subject.name}, {how}, over a plain run", reference / taken, "×",
                _GAIN, False, f"{1000 * taken:.2f} against {1000 * reference:.2f} ms of {list(subject.inputs[-1])}; "
                f"{100 * share:.0f} % of the matrix rate; outputs {off:.0e} apart",
                {"share": share, "apart": off},
            )
        )  # fmt: skip
    return figures


def _ways(device: str, scale: Scale, precision: Precision) -> Iterator[Way]:
    """Every back end of the device, each provider of ONNX Runtime that opens for itself."""
    left_out = {"compile": not scale.compiles, "graphs": not device.startswith("cuda"), "onnx": True}
    for runtime in RUNTIMES:
        if not left_out.get(runtime):
            yield Way(runtime, precision, "measured")
    for provider in providers_on(device):
        if provider.fault:
            say(f"onnx by {provider.name} does not open: {provider.fault}")
        else:
            yield Way("onnx", precision, "measured", provider.name)


def _matrix_rate(device: str, scale: Scale) -> float:
    """Operations a second of a large product in bf16."""
    a = torch.rand((scale.matrix, scale.matrix), device=device, dtype=torch.bfloat16)
    return 2.0 * scale.matrix**3 / seconds_of(device, lambda: a @ a, scale.rounds)
