"""What moving networks costs: a reload over the link's own rate, and a chain with room for some of its networks."""

import torch
from torch import nn

from tasks.nets.srvgg_net import SRVGGNet
from tasks.residency.mover import TorchMover
from tasks.residency.residents import Residents
from tests.benchmarks.settings import say
from tests.benchmarks.table import Figure
from tests.gpu.scale import Scale, seconds_of, settle

_BATCHES = 12


def measure_reload(device: str, scale: Scale) -> list[Figure]:
    """A network brought from pinned host memory, over a bare copy of as many bytes."""
    pinned = device.startswith("cuda")
    host = torch.empty(scale.block_bytes, dtype=torch.uint8, pin_memory=pinned)
    bare = seconds_of(device, lambda: host.to(device, non_blocking=True, copy=True), scale.rounds)
    mover, network = TorchMover(device), nn.Linear(1, scale.block_bytes // 8, bias=True)
    size_bytes = mover.add("large", network)

    def reload() -> None:
        mover.bring("large")
        mover.settle("large")
        settle(device)
        mover.evict("large")

    taken = seconds_of(device, reload, scale.rounds)
    link, ours = scale.block_bytes / bare, size_bytes / taken
    say(f"link {link / 1e9:.1f} GB/s, reload {ours / 1e9:.1f} GB/s")
    against = f"{ours / 1e9:.1f} against {link / 1e9:.1f} GB/s of {size_bytes / 1e6:.0f} MB"
    return [
        Figure("reload", "reload of an evicted network over the link's rate", ours / link, "×", 0.8, False, against)
    ]


def measure_chain(device: str, scale: Scale) -> list[Figure]:
    """Three networks in a chain: all resident, room for two, and room for one and a half."""
    everything, copied, _ = _chain(device, scale, 3.1)
    figures = []
    for room in (2.1, 1.6):
        taken, copied, loads = _chain(device, scale, room)
        hidden = 1 - max(0.0, taken - everything) / copied if copied else 1.0
        say(f"room for {room - 0.1:g}: {taken:.2f} s, all resident {everything:.2f}; {loads} loads, {copied:.2f} s")
        words = f"a chain of three with room for {room - 0.1:g}"
        against = f"{taken:.2f} against {everything:.2f} s; {loads} loads for {3 * _BATCHES} uses"
        goal = 0.8 if room < 2 else None
        figures += [
            Figure("chain", f"{words}, over all resident", everything / taken, "×", goal, False, against),
            Figure("chain", f"{words}: loads for each use", loads / (3 * _BATCHES), "×", 1.0, True, f"{loads} loads"),
            Figure("chain", f"{words}: copying that was hidden", 100 * hidden, "%", 90.0 if room > 2 else None, False,
                   f"{copied:.2f} s of copying"),
        ]  # fmt: skip
    taken, _, _ = _chain(device, scale, 1.6, hosted=1.1)
    say(f"room for 1.5 and host memory for one: {taken:.2f} s")
    words = "a chain of three with room for 1.5 and host memory for one, the others in files, over all resident"
    against = f"{taken:.2f} against {everything:.2f} s"
    return [*figures, Figure("chain", words, everything / taken, "×", None, False, against)]


@torch.inference_mode()
def _chain(device: str, scale: Scale, room: float, hosted: float = 4.0) -> tuple[float, float, int]:
    """(wall seconds, seconds that all copies take alone, loads) of batches through three networks.

    The device has room for `room` of them, host memory for `hosted`.
    """
    weighty = scale.block_bytes // 8
    networks = {f"network {seed}": _Weighty(seed, scale, weighty) for seed in range(3)}
    one = max(sum(t.numel() * t.element_size() for t in made.parameters()) for made in networks.values())
    residents = Residents(device, int(room * one), int(hosted * one))
    for name, made in networks.items():
        residents.add(name, lambda made=made: made)  # type: ignore[misc]
    x = torch.rand((scale.batch, 3, scale.height, scale.width), device=device)

    def batches() -> None:
        for left in range(_BATCHES, 0, -1):
            residents.expect("lease", list(networks), left)
            for name, made in networks.items():
                residents.render(name, (name,), lambda setting, made=made: made(x), batch_frames=scale.batch)  # type: ignore[misc]

    batches()
    before = residents.pool.moves
    taken = seconds_of(device, batches, 1)
    after = residents.pool.moves
    loads = (after.loads + after.prefetches - before.loads - before.prefetches) // 3  # Two rounds do not count.
    host = torch.empty(one, dtype=torch.uint8, pin_memory=device.startswith("cuda"))
    copy = seconds_of(device, lambda: host.to(device, non_blocking=True, copy=True), scale.rounds)
    return taken, loads * copy, loads


class _Weighty(nn.Module):
    """A compact network whose block of weights is as large as asked for."""

    def __init__(self, seed: int, scale: Scale, size_bytes: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.network = SRVGGNet(2, scale.depth, scale.features)
        self.ballast = nn.Parameter(torch.zeros(size_bytes // 4), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.network(x)
        return out
