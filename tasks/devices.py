"""Which device renders and why, in words; torch is imported only when asked."""

from dataclasses import dataclass
from typing import Any

from tasks.errors import JobError, ResourceShortage

CHOICES = ("auto", "cpu", "cuda")
#: The processor in the place of a GPU: cells stand on GPUs and compute on the CPU, to rehearse a cluster.
REHEARSED_GPU = "cpu:0"


@dataclass(frozen=True)
class DeviceChoice:
    """A device by torch's name and the reason that the report states."""

    device: str
    reason: str


def choose_device(wanted: str) -> DeviceChoice:
    """`auto` takes a GPU that computes and else the CPU; `cpu` and `cuda` are taken at their word.

    Raises:
        JobError: `wanted` is none of auto, cpu, cuda, cuda:N.
        ResourceShortage: a GPU was asked for and none computes; says what was found.
    """
    if wanted not in (*CHOICES, REHEARSED_GPU) and not (wanted.startswith("cuda:") and wanted[5:].isdecimal()):
        raise JobError(f"--device is {wanted!r}, expected one of {', '.join(CHOICES)} or cuda:N")
    if wanted == "cpu":
        return DeviceChoice("cpu", "asked for with --device cpu")
    if wanted == REHEARSED_GPU:
        return DeviceChoice(REHEARSED_GPU, "asked for: processors stand in for the GPUs")
    number = int(wanted[5:]) if wanted.startswith("cuda:") else 0
    name, fault = _cuda_name(number)
    if not fault:
        asked = "found and works" if wanted == "auto" else f"asked for with --device {wanted}"
        return DeviceChoice(f"cuda:{number}", f"{name}: {asked}")
    if wanted == "auto":
        return DeviceChoice("cpu", f"no usable GPU: {fault}")
    raise ResourceShortage(
        f"--device {wanted} was asked for, but {fault}; "
        "expected a CUDA device on which torch computes: mend that, or use --device auto or cpu"
    )


def _cuda_name(number: int) -> tuple[str, str]:
    """(name of the GPU, "") or ("", why it cannot be used)."""
    import torch

    fault = cuda_fault(torch, number)
    return ("", fault) if fault else (str(torch.cuda.get_device_name(number)), "")


def cuda_fault(torch: Any, number: int) -> str:
    """Why torch (the module) cannot compute on GPU `number`, empty where it can; tried with a sum."""
    built_for = torch.version.cuda
    if built_for is None:
        return (
            f"torch {torch.__version__} is a build without CUDA "
            "(install the CUDA build of the same version from pytorch.org)"
        )
    try:
        count = torch.cuda.device_count()
        if count == 0 or not torch.cuda.is_available():
            return _no_device(torch, built_for)
        if number >= count:
            return f"there are {count} GPUs, numbered from 0, and number {number} is not one of them"
        total = float(torch.ones(2, device=f"cuda:{number}").sum())
        return "" if total == 2 else f"GPU {number} computes 1 + 1 = {total}"
    except (RuntimeError, AssertionError) as error:
        return f"GPU {number} fails with torch built for CUDA {built_for}: {_first_line(error)}"


def _no_device(torch: Any, built_for: str) -> str:
    """Why torch built with CUDA sees no device: no driver, one too old, or none visible."""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        words = _first_line(error)
        if "too old" in words:
            return f"the NVIDIA driver is too old for torch's CUDA {built_for} (update the driver): {words}"
        if "no NVIDIA driver" in words:
            return "no NVIDIA driver was found (nvidia-smi should list a GPU)"
        return f"CUDA {built_for} does not start: {words}"
    return "CUDA sees no device (is CUDA_VISIBLE_DEVICES empty, or the GPU given to no container?)"


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
