"""What the devices of this machine can compute with, for `choice`."""

import importlib.util
import shutil

import torch

from tasks.runtime.choice import Machine, Precision


def machine_of(device: str) -> Machine:
    """Of a device by torch's name of it."""
    if torch.device(device).type == "cuda":
        name, ability = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
        return Machine("cuda", name, _half_of_gpu(ability), _no_compiler("cuda"))
    return Machine("cpu", "this processor", _half_of_processor(), _no_compiler("cpu"))


def _half_of_gpu(ability: tuple[int, int]) -> tuple[Precision, ...]:
    """By compute capability (CUDA C++ Programming Guide, arithmetic instructions): fp16 from 7.0, bf16 from 8.0."""
    return ("fp16", "bf16") if ability >= (8, 0) else ("fp16",) if ability >= (7, 0) else ()


def _half_of_processor() -> tuple[Precision, ...]:
    known = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return ("bf16",) if any(has is not None and has() for has in known) else ()


def _no_compiler(kind: str) -> str:
    if kind == "cuda" and importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        return "there is no C++ compiler on this machine"
    return ""
