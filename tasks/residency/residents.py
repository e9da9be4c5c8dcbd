"""The networks of this process on one device: one budget and one ladder for all tasks of all chains there."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import psutil
import torch
from torch import nn

from tasks.residency.attempts import Attempts
from tasks.residency.ladder import Setting
from tasks.residency.mover import TorchMover
from tasks.residency.policy import Budget
from tasks.residency.pool import Pool
from tasks.residency.upcoming import Coming, queue_of

log = logging.getLogger("reelyard")

Result = TypeVar("Result")

#: Of a device's free memory that is left to pictures and to what networks compute with.
_FOR_RENDERING: Final = 0.5


class Residents:
    """Networks by name, each shared by all who add it under that name, from their `add` to their `remove`."""

    def __init__(self, device: str, budget_bytes: int) -> None:
        self._mover = TorchMover(device)
        self._pool = Pool(self._mover, budget_bytes)
        self._attempts = Attempts(self._pool)
        self._networks: dict[str, nn.Module] = {}
        self._users: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._coming: dict[object, Coming] = {}
        self._told = 0
        self._notes: list[str] = []
        self._noted: set[str] = set()

    @property
    def pool(self) -> Pool:
        return self._pool

    def add(self, name: str, made: Callable[[], nn.Module]) -> nn.Module:
        """The network of that name, made only if nobody added it yet; it comes to the device when first used."""
        with self._lock:
            if name not in self._networks:
                network = made()
                self._pool.add(name, self._mover.add(name, network))
                self._networks[name] = network
            self._users[name] += 1
            return self._networks[name]

    def remove(self, name: str) -> None:
        """The last of its users gives it up; nobody renders with it."""
        with self._lock:
            self._users[name] -= 1
            if not self._users[name]:
                self._pool.remove(name)
                self._mover.remove(name)
                del self._networks[name]

    def expect(self, lease: object, models: Sequence[str], batches: int) -> None:
        """Tell that a lease will use these models in so many batches more; 0: it is over.

        Told before each batch, which is then the lease's last turn for now: others come before its next.
        """
        with self._lock:
            now = Coming(tuple(models), min(batches, 1))
            self._coming.pop(lease, None)
            others = tuple(self._coming.values())
            if batches > 1:
                self._coming[lease] = Coming(tuple(models), batches - 1)
            self._pool.expect(queue_of([now]) + queue_of([*others, *([self._coming[lease]] if batches > 1 else [])]))

    def render(
        self,
        key: str,
        names: Sequence[str],
        work: Callable[[Setting], Result],
        *,
        batch_frames: int,
        tile_sides: tuple[int, ...] = (),
    ) -> Result:
        """As `Attempts.render`."""
        return self._attempts.render(key, names, work, batch_frames=batch_frames, tile_sides=tile_sides)

    def tell(self, choice: str) -> None:
        """Have a choice stand in the report, once for this process."""
        if choice not in self._noted:
            self._noted.add(choice)
            self._notes.append(choice)
            log.info("%s", choice)

    def steps_since_told(self) -> tuple[str, ...]:
        """What was chosen and what gave way since this was last asked, in words of the report."""
        notes, self._notes = self._notes, []
        steps = self._attempts.steps[self._told :]
        self._told += len(steps)
        for key, step in steps:
            log.warning("%s: %s", key, step)
        return (*notes, *(f"{key}: {step.words}" for key, step in steps))


_open: dict[str, Residents] = {}
_opening = threading.Lock()


def residents_on(device: str) -> Residents:
    """Those of this process on a device, by torch's name of it."""
    with _opening:
        if device not in _open:
            _open[device] = Residents(device, budget_of(device).model_bytes)
        return _open[device]


def with_budget(device: str, budget_bytes: int) -> Residents:
    """Residents with a budget of their own from now on, empty; for whoever knows better than the free memory."""
    with _opening:
        _open[device] = Residents(device, budget_bytes)
        return _open[device]


def budget_of(device: str) -> Budget:
    """What models may take of a device's memory that is free now."""
    if torch.device(device).type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = psutil.virtual_memory().available
    return Budget(free, int(free * _FOR_RENDERING))
