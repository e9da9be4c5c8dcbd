"""Which back end computes a network and at what precision, with the reason; pure choices, knows no torch.

A network tells which precisions it bears (`precisions`, the best first where speed is wanted); the machine tells
what it has.  `auto` never chooses what is emulated, nor a back end that was not measured to be faster.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tasks.errors import JobError

AUTO: Final = "auto"
Runtime = Literal["eager", "compile", "graphs"]
Precision = Literal["fp32", "fp16", "bf16"]
RUNTIMES: Final[tuple[Runtime, ...]] = ("eager", "compile", "graphs")
PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "fp16", "bf16")

_BY_ITSELF: Final = {
    "cpu": "channels last; torch.compile gains nothing on processors, whose time goes into convolutions",
    "cuda": "channels last; compile and graphs have not been measured on a GPU yet, ask for them",
}


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

    def __str__(self) -> str:
        return f"{self.runtime} at {self.precision} ({self.reason})"


def choose_way(wish: Wish, machine: Machine, bears: Sequence[Precision], network: str) -> Way:
    """The way for a network that bears such precisions.

    Raises:
        JobError: what was asked for cannot be had of this network or on this device.
    """
    precision, why_so_fine = _precision(wish.precision, machine, bears, network)
    runtime, why_so_run = _runtime(wish.runtime, machine, network)
    return Way(runtime, precision, f"{why_so_run}; {why_so_fine}")


def _precision(asked: str, machine: Machine, bears: Sequence[Precision], network: str) -> tuple[Precision, str]:
    if asked == AUTO:
        fast = next((one for one in bears if one in machine.half), None)
        if fast is not None:
            return fast, f"{machine.name} computes {fast} in hardware and {network} bears it"
        if len(bears) == 1:
            return "fp32", f"{network} bears nothing less"
        return "fp32", f"{machine.name} computes {' and '.join(one for one in bears if one != 'fp32')} in software"
    found = next((one for one in bears if one == asked), None)
    if found is None:
        raise JobError(
            f"precision={asked} was asked for, but {network} bears only {', '.join(bears)} without visible harm; "
            "use one of these, or auto"
        )
    if found == "fp32" or found in machine.half:
        return found, "asked for"
    if machine.kind == "cpu" and found == "fp16":
        raise JobError(f"precision=fp16 was asked for on {machine.name}; it is for GPUs: use fp32, or auto")
    return found, f"asked for, although {machine.name} computes it in software, many times slower"


def _runtime(asked: str, machine: Machine, network: str) -> tuple[Runtime, str]:
    if asked == AUTO:
        return "eager", _BY_ITSELF[machine.kind]
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
    return found, "asked for"
