"""Two cells on one card: what both compute together over one alone, and that neither's memory reaches into the other's.

`python -m tests.gpu.sharing DEVICE SHARE FOLDER SECONDS FEATURES HEIGHT WIDTH BATCH` is one cell's process.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from cluster.gpus.sharing import CardShare
from tasks.errors import OutOfVram
from tasks.nets.srvgg_net import SRVGGNet
from tasks.residency.residents import residents_on
from tasks.residency.shortage import told_as_out_of_vram
from tests.benchmarks.machine import ROOT
from tests.benchmarks.settings import say
from tests.benchmarks.table import Figure
from tests.gpu.scale import Scale, settle

_SECONDS = 10.0


def measure_sharing(device: str, scale: Scale) -> list[Figure]:
    """One process on the whole card, then two on half of it each at the same time."""
    named = device if device.startswith("cuda") else "cpu:0"
    seconds = _SECONDS if device.startswith("cuda") else 0.2
    (alone,), both = (_cells(named, share, count, seconds, scale) for share, count in ((1.0, 1), (0.5, 2)))
    together = sum(one["pictures_per_second"] for one in both) / alone["pictures_per_second"]
    taken = sum(one["budget_bytes"] for one in both) / both[0]["free_bytes"]
    say(f"two cells: {together:.2f} x one, budgets {taken:.2f} of what was free")
    walls = [one["beyond"] for one in both]
    return [
        Figure("sharing", "two cells on half a GPU each, pictures of both over one's alone", together, "×", None, False,
               f"{alone['pictures_per_second']:.0f} pictures/s alone"),
        Figure("sharing", "memory for models of both cells over what was free", taken, "×", 1.0, True,
               f"asked for more than its half, a cell was told: {' and '.join(walls)}"),
    ]  # fmt: skip


def _cells(device: str, share: float, count: int, seconds: float, scale: Scale) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        size = [scale.features, scale.height, scale.width, scale.batch]
        words = [sys.executable, "-m", "tests.gpu.sharing", device, share, folder, seconds, *size]
        asked = [str(word) for word in words]
        running = [subprocess.Popen(asked, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(count)]
        told = [one.communicate()[0] for one in running]
    if any(one.returncode for one in running):
        raise RuntimeError(f"a cell's process ended with {[one.returncode for one in running]}")
    return [json.loads(one) for one in told]


@torch.inference_mode()
def _cell(device: str, share: float, folder: Path, seconds: float, size: tuple[int, int, int, int]) -> dict[str, Any]:
    CardShare(share, folder).settle(device)
    residents = residents_on(device)
    features, height, width, batch = size
    network = SRVGGNet(2, 4, features).eval()
    residents.add("network", lambda: network)
    x = torch.rand((batch, 3, height, width), device=device)
    done, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < seconds or not done:
        residents.render("network", ("network",), lambda setting: network(x), batch_frames=batch)
        settle(device)
        done += batch
    budget: Any = residents.budget
    return {
        "pictures_per_second": done / taken if taken else 0.0,
        "budget_bytes": budget.model_bytes,
        "free_bytes": budget.free_bytes,
        "beyond": _beyond(device) if share < 1 else "",
    }


def _beyond(device: str) -> str:
    """What becomes of a want of nine tenths of the card."""
    if not device.startswith("cuda"):
        return "nothing: processors have no wall"
    try:
        with told_as_out_of_vram("nine tenths of the card"):
            torch.empty(int(0.9 * torch.cuda.mem_get_info(device)[1]), dtype=torch.uint8, device=device)
    except OutOfVram:
        return "out of memory"
    raise RuntimeError("a cell took nine tenths of a card that it has half of")


if __name__ == "__main__":
    device, share, folder, seconds, *size = sys.argv[1:]
    features, height, width, batch = map(int, size)
    found = _cell(device, float(share), Path(folder), float(seconds), (features, height, width, batch))
    print(json.dumps(found))
