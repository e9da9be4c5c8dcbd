"""What holds between nodes: a precision rounded to in software against hardware's, and what is built once for all."""

import copy
import tempfile
import time
from pathlib import Path

import torch

from pipeline.built import BuiltFiles
from pipeline.storage import Storage
from tasks.nets.srvgg_net import SRVGGNet
from tasks.runtime.choice import Precision, Way
from tasks.runtime.onnx import providers_on
from tasks.runtime.run import held, ready
from tests.benchmarks.settings import say
from tests.benchmarks.table import Figure
from tests.gpu.scale import Scale, settle


@torch.inference_mode()
def measure_precision(device: str, scale: Scale) -> list[Figure]:
    """The seam between a node with the arithmetic and one that rounds to it: in codes of 8 bits."""
    torch.manual_seed(0)
    network = SRVGGNet(4, scale.depth, scale.features).eval()
    x = torch.rand(1, 3, scale.height, scale.width)
    precisions: tuple[Precision, ...] = ("fp16", "bf16") if device.startswith("cuda") else ("bf16",)
    figures = []
    for precision in precisions:
        hardware = ready(copy.deepcopy(network), Way("eager", precision, "measured")).to(device)
        rounding = ready(copy.deepcopy(network), Way("eager", precision, "measured", hardware=False))
        one, other = hardware(x.to(device)).float().cpu(), rounding(x)
        apart = 255 * float((one - other).abs().max())
        from_exact = 255 * float((other - network(x)).abs().max())
        say(f"{precision}: {apart:.3f} codes between hardware and software, {from_exact:.3f} from fp32")
        figures.append(
            Figure("precision", f"{precision} of {device} against {precision} rounded to on a processor", apart,
                   "codes of 255", 1.0, True, f"fp32 lies {from_exact:.2f} codes away", {"codes": apart})
        )  # fmt: skip
    return figures


def measure_built(device: str, scale: Scale) -> list[Figure]:
    """A node's first picture by ONNX Runtime: where everything is built, and where another node kept it."""
    figures = []
    for provider in providers_on(device):
        if provider.fault:
            say(f"built: {provider.name} does not open: {provider.fault}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            first, second = (_first_picture(device, scale, provider.name, Path(folder), node) for node in "ab")
        say(f"built by {provider.name}: {first:.1f} s, fetched {second:.1f} s")
        figures.append(
            Figure("built", f"first picture by {provider.name}, fetched over built", second / first, "×", 1.0, True,
                   f"{second:.2f} against {first:.2f} s")
        )  # fmt: skip
    if not figures:
        figures.append(Figure("built", "first picture by ONNX Runtime", 0.0, "×", None, True, "no provider opens"))
    return figures


def _first_picture(device: str, scale: Scale, provider: str, folder: Path, node: str) -> float:
    torch.manual_seed(0)
    precision: Precision = "fp16" if device.startswith("cuda") else "fp32"
    kept = BuiltFiles(Storage(), str(folder / "shared"), folder / node)
    way = Way("onnx", precision, "measured", provider)
    one = held(SRVGGNet(4, scale.depth, scale.features).eval().requires_grad_(False), way, device, kept)
    x = torch.rand(scale.batch, 3, scale.height, scale.width).to(device)
    settle(device)
    started = time.perf_counter()
    with torch.inference_mode():
        one(x)
    settle(device)
    return time.perf_counter() - started
