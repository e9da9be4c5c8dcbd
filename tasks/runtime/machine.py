"""What the devices of this machine can compute with, for `choice`."""

import hashlib
import importlib.util
import platform
import shutil
from dataclasses import replace

import torch

from tasks.runtime.choice import Machine, Precision, Wish


def machine_of(device: str, wish: Wish | None = None) -> Machine:
    """Of a device by torch's name of it; ONNX Runtime is tried only where that is wished for."""
    found = _machine_of(torch.device(device))
    if wish is None or wish.runtime != "onnx":
        return found
    from tasks.runtime.onnx import providers_on

    return replace(found, providers=providers_on(device))


def _machine_of(device: torch.device) -> Machine:
    if device.type == "cuda":
        name, ability = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
        return Machine("cuda", name, _half_of_gpu(ability), _no_compiler("cuda"))
    return Machine("cpu", "this processor", _half_of_processor(), _no_compiler("cpu"))


def fingerprint(device: str) -> str:
    """By what code that was built on one machine fits another: its device, driver and libraries."""
    if torch.device(device).type == "cuda":
        name, ability = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
        about = repr((name, ability, torch.version.cuda, _driver()))
    else:
        abilities = torch.cpu.get_capabilities()
        about = repr((abilities.get("cpu_name"), sorted(name for name, has in abilities.items() if has is True)))
    return f"{platform.python_version()} {torch.__version__} {hashlib.sha256(about.encode()).hexdigest()[:16]}"


def _driver() -> str:
    """Of the GPU's driver, by its management library; empty where that does not answer."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except Exception:  # The library raises its own kinds, and none of them matters here.
        return ""


def _half_of_gpu(ability: tuple[int, int]) -> tuple[Precision, ...]:
    """By compute capability (CUDA C++ Programming Guide, arithmetic instructions): fp16 from 7.0, bf16 from 8.0."""
    return ("fp16", "bf16") if ability >= (8, 0) else ("fp16",) if ability >= (7, 0) else ()


#: Instructions that multiply bf16, as torch names them; those of ARM the last.
_BF16 = ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16")


def _half_of_processor() -> tuple[Precision, ...]:
    abilities = torch.cpu.get_capabilities()
    return ("bf16",) if any(abilities.get(name) for name in _BF16) else ()


def _no_compiler(kind: str) -> str:
    if kind == "cuda" and importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        return "there is no C++ compiler on this machine"
    return ""
