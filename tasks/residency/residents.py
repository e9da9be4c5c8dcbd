"""The networks of this process on one device: one budget and one ladder for all tasks of all chains there."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import psutil
import torch

from tasks.residency.attempts import Attempts
from tasks.residency.ladder import Setting
from tasks.residency.mover import TorchMover
from tasks.residency.policy import Budget
from tasks.residency.pool import Pool
from tasks.residency.upcoming import Coming, queue_of
from tasks.runtime.built import Built, NothingKept
from tasks.runtime.onnx import OnnxNetwork
from tasks.runtime.run import Held

log = logging.getLogger("reelyard")

Result = TypeVar("Result")

#: Of a device's free memory: the most that is kept from models for what networks compute with.  Where that is not
#: enough the ladder makes batches smaller, which models cannot be.
_MOST_FOR_RENDERING: Final = 0.5


class Residents:
    """Networks by name, each shared by all who add it under that name, from their `add` to their `remove`."""

    def __init__(self, device: str, budget: Budget | int, host_bytes: int | None = None) -> None:
        """`host_bytes`: of host memory for networks; half of what is free now where not given."""
        self._device = torch.device(device)
        self._budget = budget
        self._activations: dict[str, _Activation] = {}
        self.host_bytes = _free_host_bytes() // 2 if host_bytes is None else host_bytes
        self._mover = TorchMover(device, self.host_bytes, self.tell)
        self._pool = Pool(self._mover, _model_bytes(budget))
        self._attempts = Attempts(self._pool)
        self._networks: dict[str, Held] = {}
        self._users: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._coming: dict[object, Coming] = {}
        self._told = 0
        self._notes: list[str] = []
        self._noted: set[str] = set()
        self.built: Built = NothingKept()
        "Where what is built for networks of this device is kept."

    @property
    def budget(self) -> Budget | int:
        """Of models, as it is now; a number where it was given as one."""
        with self._lock:
            return self._budget

    @property
    def pool(self) -> Pool:
        return self._pool

    def add(self, name: str, made: Callable[[], Held]) -> Held:
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
                self._activations = {k: one for k, one in self._activations.items() if name not in one.models}

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
        activation_bytes: int = 0,
    ) -> Result:
        """As `Attempts.render`; `activation_bytes` is what `work` is thought to take besides the models at first."""
        self._note(key, names, activation_bytes, measured=False)
        # What other libraries allocate, torch does not count: there the estimate stays.
        counted = not any(isinstance(self._networks.get(name), OnnxNetwork) for name in names)

        def measured(setting: Setting) -> Result:
            if self._device.type != "cuda" or not counted:
                return work(setting)
            torch.cuda.reset_peak_memory_stats(self._device)
            before = torch.cuda.memory_allocated(self._device)
            result = work(setting)
            self._note(key, names, torch.cuda.max_memory_allocated(self._device) - before, measured=True)
            return result

        return self._attempts.render(key, names, measured, batch_frames=batch_frames, tile_sides=tile_sides)

    def _note(self, key: str, names: Sequence[str], size_bytes: int, *, measured: bool) -> None:
        """Keep from models what the largest batch takes: as thought at first, then the most that was measured."""
        with self._lock:
            old = self._activations.get(key)
            if old is not None and (not measured or (old.measured and size_bytes <= old.size_bytes)):
                return
            self._activations[key] = _Activation(frozenset(names), size_bytes, measured)
            if isinstance(self._budget, int):
                return
            most = max(one.size_bytes for one in self._activations.values())
            self._budget = kept_from(self._budget, most)
            log.info("%s: %s", self._device, self._budget)
            self._pool.want(self._budget.model_bytes)

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


@dataclass(frozen=True)
class _Activation:
    """What one model at one resolution takes besides itself."""

    models: frozenset[str]
    size_bytes: int
    measured: bool


def kept_from(budget: Budget, activation_bytes: int) -> Budget:
    """The budget with so much kept from models, at most half of what is free."""
    most = int(budget.free_bytes * budget.share * _MOST_FOR_RENDERING)
    return replace(budget, activation_bytes=min(activation_bytes, most))


def _model_bytes(budget: Budget | int) -> int:
    return budget if isinstance(budget, int) else budget.model_bytes


_open: dict[str, Residents] = {}
_opening = threading.Lock()


def residents_on(device: str) -> Residents:
    """Those of this process on a device, by torch's name of it."""
    with _opening:
        if device not in _open:
            _open[device] = Residents(device, budget_of(device))
        return _open[device]


def with_budget(device: str, budget: Budget | int, host_bytes: int | None = None) -> Residents:
    """Residents with a budget of their own from now on, empty; for whoever knows better than the free memory."""
    with _opening:
        _open[device] = Residents(device, budget, host_bytes)
        return _open[device]


def budget_of(device: str) -> Budget:
    """What models may take of a device's memory that is free now, as long as nothing is rendered."""
    if torch.device(device).type == "cuda":
        return Budget(torch.cuda.mem_get_info(device)[0], 0)
    return Budget(_free_host_bytes(), 0)


def _free_host_bytes() -> int:
    return int(psutil.virtual_memory().available)
