"""A chain of three networks where one and a half fit: how often they are loaded, what it costs, how good the policy is.

The chain runs as a cell runs it (`pipeline.stages.render_batches`), two leases in turns, on the processor, where
the "device" is other host memory with a budget in bytes.  What was used when is recorded from that run and held
against the fewest loads that any choice could have needed.  Networks have random weights: only their moves matter.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from tasks.chain import Chain
from tasks.nets.srvgg_net import SRVGGNet
from tasks.picture import FrameBatch
from tasks.residency import residents
from tasks.residency.residents import Residents
from tasks.table import open_task, parse_task
from tasks.task import TaskInputs, TaskSpec
from tasks.weights import Weights
from tests.benchmarks.settings import Settings, new_folder, say
from tests.benchmarks.table import Figure
from tests.tasks.pictures import picture_format, random_batch
from tests.tasks.residency.traces import fewest_loads

#: Layers of 32 features: three networks of nearly one size, one of a third.
_DEPTHS = (8, 8, 2)
_BATCHES = 10


def measure_residency(settings: Settings) -> list[Figure]:
    """Loads, cost and distance from the optimum of one recorded run."""
    with new_folder() as folder:
        specs = [_spec(folder, seed, depth) for seed, depth in enumerate(_DEPTHS)]
        run(specs, 1 << 40)  # The first run of a process pays for what torch sets up.
        roomy = run(specs, 1 << 40)
        tight = run(specs, int(1.5 * max(roomy.sizes.values())))
    assert all(np.array_equal(a, b) for a, b in zip(roomy.planes, tight.planes, strict=True)), "other pictures"
    best = fewest_loads(tight.trace, tight.sizes, tight.budget_bytes)
    say(f"{len(tight.trace)} uses: {tight.loads} loads, at best {best}; {tight.seconds:.2f} s, {roomy.seconds:.2f} s")
    return [
        Figure(
            "residency", "loads of a recorded chain over the fewest possible", tight.loads / best, "×", 1.3, True,
            f"{tight.loads} loads for {len(tight.trace)} uses of 3 networks, at best {best}; pictures the same bits",
        ),
        Figure(
            "residency", "loads over models × batches", tight.loads / len(tight.trace), "×", 1.0, True,
            f"budget for 1.5 of them, {2 * _BATCHES} batches of two leases in turns",
        ),
        Figure(
            "residency", "the chain with room for 1.5 networks over all resident, on a processor",
            roomy.seconds / tight.seconds, "×", 0.8, False, f"{tight.seconds:.2f} against {roomy.seconds:.2f} CPU s",
        ),
    ]  # fmt: skip


class Recorded:
    """A run: what was used in what order, how often models were loaded, and what came out last."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.trace: list[str] = []
        self.sizes: dict[str, int] = {}
        self.loads = 0
        self.seconds = 0.0
        self.planes: tuple[np.ndarray, ...] = ()  # type: ignore[type-arg]


def run(specs: list[TaskSpec], budget_bytes: int) -> Recorded:
    """Two leases of one recipe in turns."""
    found = Recorded(budget_bytes)
    here = residents.with_budget("cpu", budget_bytes)
    chain = Chain([open_task(spec) for spec in specs], "cpu")
    chain.load()
    with _noting(here, found):
        batch: FrameBatch = random_batch(picture_format("yuv420p", 32, 24), count=2)
        inputs = [TaskInputs(7, 9, {}, {})] * len(specs)
        started = time.process_time()
        for left in range(_BATCHES, 0, -1):
            for lease in ("first", "second"):
                chain.expect(lease, left)
                found.planes = chain.render(batch, inputs).planes
        found.seconds = time.process_time() - started
        moves = here.pool.moves
        found.loads = moves.loads + moves.prefetches
        found.sizes = here.pool.sizes
    chain.release()
    residents._open.clear()
    return found


@contextmanager
def _noting(here: Residents, found: Recorded) -> Iterator[None]:
    """Note every use of the pool while the block runs."""
    plain = here.pool.use

    @contextmanager
    def use(*names: str) -> Iterator[None]:
        found.trace += names
        with plain(*names):
            yield

    here.pool.use = use  # type: ignore[method-assign]
    yield


def _spec(folder: Path, seed: int, depth: int) -> TaskSpec:
    torch.manual_seed(seed)
    path = folder / f"network-{seed}.safetensors"
    state = {name: (0.3 * tensor).contiguous() for name, tensor in SRVGGNet(2, depth, 32).state_dict().items()}
    save_file(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    weights = Weights("model", str(path), "srvgg", digest, path.name, path=str(path))
    return replace(parse_task(f"upscale:model={path}"), weights=(weights,))
