"""Which back end computes a network and at what precision, with the reason; pure choices, knows no torch.

A network tells which precisions it bears (`precisions`, the best first where speed is wanted); the machine tells
what it has.  `auto` never chooses what is emulated, nor a back end that was not measured to be faster.

Nodes of one run may differ.  What the precision is chosen by is then one machine for all of them, `like`: a node that
does not compute it in hardware rounds to it in software, so no output is drawn at two precisions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final, Literal

from tasks.errors import JobError

AUTO: Final = "auto"
Runtime = Literal["eager", "compile", "graphs", "onnx"]
Precision = Literal["fp32", "fp16", "bf16"]
RUNTIMES: Final[tuple[Runtime, ...]] = ("eager", "compile", "graphs", "onnx")
PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "fp16", "bf16")
#: That ONNX Runtime can be given: its own types in numpy have no bf16.
_ONNX_BEARS: Final[tuple[Precision, ...]] = ("fp32", "fp16")

_BY_ITSELF: Final = {
    "cpu": "channels last; torch.compile gains nothing on processors, whose time goes into convolutions, and ONNX "
    "Runtime takes 0.8 to 1.2 times as long",
    "cuda": "channels last; compile, graphs and onnx have not been measured on a GPU yet, ask for them",
}


@dataclass(frozen=True)
class Provider:
    """One way in which ONNX Runtime computes on a device."""

    name: str
    "tensorrt | cuda | cpu"
    fault: str = ""
    "Why it does not open here; empty where a small graph came out right."


@dataclass(frozen=True)
class Machine:
    """What a device can compute with."""

    kind: str
    "cpu or cuda."
    name: str
    "For people."
    half: tuple[Precision, ...] = ()
    "Precisions besides fp32 that its hardware computes."
    no_compiler: str = ""
    "Why torch.compile cannot work here; empty where it can."
    providers: tuple[Provider, ...] = ()
    "Of ONNX Runtime, the fastest first; tried where a job asks for them."


#: Of whom nothing is known: it computes fp32.
ANY_PROCESSOR: Final = Machine("cpu", "a processor")


@dataclass(frozen=True)
class Wish:
    """What a job asks for, `auto` among it."""

    runtime: str = AUTO
    precision: str = AUTO


@dataclass(frozen=True)
class Way:
    """How a network is computed."""

    runtime: Runtime
    precision: Precision
    reason: str
    provider: str = ""
    "Of ONNX Runtime."
    hardware: bool = True
    "Whether the device computes the precision; else it computes fp32 and rounds."

    def __str__(self) -> str:
        by = f" by {self.provider}" if self.provider else ""
        return f"{self.runtime}{by} at {self.precision} ({self.reason})"


def in_common(machines: Iterable[Machine]) -> Machine:
    """One machine that offers what all of one kind do, by the first one's name."""
    return reduce(_both, machines)


def _both(one: Machine, other: Machine) -> Machine:
    half = tuple(precision for precision in one.half if precision in other.half)
    return replace(one, half=half, no_compiler=one.no_compiler or other.no_compiler)


def choose_way(
    wish: Wish, machine: Machine, bears: Sequence[Precision], network: str, *, like: Machine | None = None
) -> Way:
    """The way on `machine` for a network that bears such precisions; the precision is the same on all of a run.

    Raises:
        JobError: what was asked for cannot be had of this network or on this device.
    """
    if wish.runtime == "onnx" and (like or machine).kind == machine.kind:
        bears = [precision for precision in bears if precision in _ONNX_BEARS]
    precision, why_so_fine = _precision(wish.precision, like or machine, bears, network)
    runtime, provider, why_so_run = _runtime(wish.runtime, machine, network, like or machine)
    hardware = precision == "fp32" or precision in machine.half or runtime == "onnx"
    if not hardware:
        why_so_fine += f"; {machine.name} computes fp32 and rounds to {precision} in software"
    return Way(runtime, precision, f"{why_so_run}; {why_so_fine}", provider, hardware)


def _precision(asked: str, machine: Machine, bears: Sequence[Precision], network: str) -> tuple[Precision, str]:
    if asked == AUTO:
        fast = next(one for one in (*bears, "fp32") if one == "fp32" or one in machine.half)
        if fast != "fp32":
            return fast, f"{machine.name} computes {fast} in hardware and {network} bears it"
        if len(bears) == 1:
            return "fp32", f"{network} bears nothing less"
        if bears[0] == "fp32":
            return "fp32", f"{network} is fast enough at it on a GPU"
        return "fp32", f"{machine.name} computes {' and '.join(one for one in bears if one != 'fp32')} in software"
    found = next((one for one in bears if one == asked), None)
    if found is None:
        raise JobError(
            f"precision={asked} was asked for, but {network} bears only {', '.join(bears)} without visible harm; "
            "use one of these, or auto"
        )
    if machine.kind == "cpu" and found == "fp16":
        raise JobError(f"precision=fp16 was asked for on {machine.name}; it is for GPUs: use fp32, or auto")
    return found, "asked for"


def _runtime(asked: str, machine: Machine, network: str, like: Machine) -> tuple[Runtime, str, str]:
    """(runtime, provider, why)"""
    if asked == AUTO:
        return "eager", "", _BY_ITSELF[machine.kind]
    if machine.kind != like.kind:
        return "eager", "", f"runtime={asked} is for {like.name}, and this is {machine.name}"
    found = next(one for one in RUNTIMES if one == asked)
    if found == "graphs" and machine.kind != "cuda":
        raise JobError(
            f"runtime=graphs was asked for {network} on {machine.name}, which has no CUDA graphs; use eager, or auto"
        )
    if found == "compile" and machine.no_compiler:
        raise JobError(
            f"runtime=compile was asked for {network}, but {machine.no_compiler}; install a C++ compiler "
            "(and, for GPUs, triton), or use auto"
        )
    if found == "onnx":
        return found, *_provider(machine, network)
    return found, "", "asked for"


def _provider(machine: Machine, network: str) -> tuple[str, str]:
    """(the first that opens, why not one before it)"""
    faults: list[str] = []
    for provider in machine.providers:
        if not provider.fault:
            return provider.name, "; ".join(["asked for", *faults])
        faults.append(f"{provider.name} does not open: {provider.fault}")
    package = "onnxruntime-gpu" if machine.kind == "cuda" else "onnxruntime"
    raise JobError(
        f"runtime=onnx was asked for {network} on {machine.name}, but {'; '.join(faults) or 'it was not tried'}; "
        f"install {package}, or use auto"
    )
