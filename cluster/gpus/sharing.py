"""The share of a card that one worker takes, where several stand on it: a budget for models, a wall for the rest.

What is free when a worker starts is less by what those before it took, so it says nothing about shares.  The first
on a card writes down what was free before any of them; the others, while one of those lives, read it there.
"""

import fcntl
import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from pipeline.models import usual_folder


@dataclass(eq=False)
class CardShare:
    """Of each device that this process computes on."""

    share: float = 1.0
    "Below 1 others have the rest."
    folder: Path = field(default_factory=lambda: usual_folder().parent / "cards")
    "Of this machine, for all its workers."
    _settled: set[str] = field(default_factory=set, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def of(self, size_bytes: int) -> int:
        return int(size_bytes * self.share)

    def settle(self, device: str) -> None:
        """The device's networks are kept within the share from now on; to be called before anything lies there."""
        with self._lock:
            if self.share >= 1 or device == "cpu" or device in self._settled:
                return
            self._settled.add(device)
            from tasks.residency.policy import Budget
            from tasks.residency.residents import budget_of, with_budget

            free_bytes = free_before_us(self.folder / _name_of(device), budget_of(device).free_bytes)
            budget = Budget(free_bytes, 0, share=self.share)
            _wall_in(device, self.of(free_bytes))
            with_budget(device, budget).tell(f"{device} is shared with other cells: {budget}")


def free_before_us(path: Path, free_bytes: int) -> int:
    """Bytes that were free on a card before the first of those on it now, who is this process where there is none.

    A machine that lets nothing be written down is taken as it is.
    """
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            noted = _noted(file.read())
            living = [one for one in noted["workers"] if _lives(*one)]
            if living:
                free_bytes = noted["free_bytes"]
            me = psutil.Process()
            mine = [me.pid, me.create_time()]
            file.truncate(0)
            json.dump({"free_bytes": free_bytes, "workers": [*living, *([] if mine in living else [mine])]}, file)
    return free_bytes


def _noted(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
        return {"free_bytes": int(found["free_bytes"]), "workers": [[int(p), float(t)] for p, t in found["workers"]]}
    except (ValueError, KeyError, TypeError):
        return {"free_bytes": 0, "workers": []}


def _lives(pid: int, started: float) -> bool:
    """A number that another process has now is not taken for the one that had it."""
    try:
        return psutil.Process(pid).create_time() == started
    except psutil.Error:
        return False


def _name_of(device: str) -> str:
    """Of the card, the same for all processes whatever number each knows it by."""
    if not device.startswith("cuda"):
        return device.replace(":", "-")
    import torch

    return str(torch.cuda.get_device_properties(device).uuid)


def _wall_in(device: str, size_bytes: int) -> None:
    """What torch takes beyond it fails in this process, whose ladder then steps down, and in no neighbour."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.set_per_process_memory_fraction(min(1.0, size_bytes / torch.cuda.mem_get_info(device)[1]), device)
