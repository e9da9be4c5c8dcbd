"""What is done about a failed unit: tried again, where and when, or given up; a function of its past alone."""

from dataclasses import dataclass

from cluster.retry import jittered, retry_of, wait_before
from cluster.scheduling.settings import SchedulerSettings
from cluster.scheduling.state import CellState, Record
from cluster.scheduling.values import Failure

#: No trial elsewhere can help against these.
_FINAL = frozenset({"JobError", "SourceError", "WeightsError", "ResourceShortage", "StitchError"})


@dataclass(frozen=True, slots=True)
class Again:
    """Tried again after a wait, on the cells that suit its record."""

    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Given up."""

    quarantined: bool


def answer(
    record: Record,
    failure: Failure,
    cell: CellState,
    *,
    on_cpu: bool,
    cells_up: int,
    key: str,
    settings: SchedulerSettings,
) -> Again | Stop:
    """Notes the failure in the record, and says what becomes of the unit.  `key` names it, for the jitter."""
    record.failures.append(failure)
    if failure.kind in _FINAL:
        return Stop(quarantined=False)
    if failure.kind == "OutOfVram":
        if on_cpu or not cell.cell.memory_bytes:
            return Stop(quarantined=False)
        record.memory_bytes = max(record.memory_bytes, cell.cell.memory_bytes)
        return Again(0.0)
    if failure.kind == "StorageError":
        record.storage += 1
        wait = wait_before("StorageError", record.storage)
        return Stop(quarantined=False) if wait is None else Again(jittered(wait, key))
    return _suspicious(record, failure, cell, cells_up, key, settings)


def _suspicious(
    record: Record, failure: Failure, cell: CellState, cells_up: int, key: str, settings: SchedulerSettings
) -> Again | Stop:
    """A lost worker or an error that names no reason: tried elsewhere, until it failed too often."""
    wait = 0.0
    if failure.kind == "WorkerLost":
        record.losses += 1
        wait = jittered(retry_of("WorkerLost").wait_seconds * 2 ** (min(record.losses, 4) - 1), key)
    if failure.kind != "WorkerLost" or record.losses > settings.free_losses:
        record.counted += 1
        record.cells.add(cell.cell.name)
    spread = len(record.cells) >= settings.quarantine_cells or cells_up <= 1
    if (record.counted >= settings.quarantine_failures and spread) or record.counted >= settings.most_failures:
        return Stop(quarantined=True)
    return Again(wait)
