"""The metrics of a run, read off its state; pure.

Labels have few values: phases, kinds of cells and errors, reasons, steps; never a video, a node or a path.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cluster.events import FINAL_PHASES
from cluster.report.state import RunState


@dataclass(frozen=True)
class Metric:
    """What is measured; a counter only grows in the time of a driver."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()


METRICS = {
    metric.name: metric
    for metric in (
        Metric("reelyard_videos", "gauge", "Videos of the run by phase.", ("phase",)),
        Metric("reelyard_frames_total", "counter", "Frames of segments committed, or measured.", ("work",)),
        Metric("reelyard_units_total", "counter", "Segments committed, or scan units measured.", ("work",)),
        Metric("reelyard_part_bytes_total", "counter", "Bytes of parts committed."),
        Metric("reelyard_frames_per_second", "gauge", "Frames a second over the last half minute.", ("work",)),
        Metric("reelyard_remaining_seconds", "gauge", "Time left by the speed of now; absent where unknown."),
        Metric("reelyard_leases_total", "counter", "Leases that ended, by outcome.", ("outcome",)),
        Metric("reelyard_lease_failures_total", "counter", "Leases that failed or were lost.", ("kind", "stage")),
        Metric("reelyard_duplicates_total", "counter", "Leases that speculated on the tail of another."),
        Metric("reelyard_cells", "gauge", "Cells by kind and status.", ("kind", "status")),
        Metric("reelyard_slots", "gauge", "Slots of cells that are up, leased or free.", ("state",)),
        Metric("reelyard_cell_seconds_total", "counter", "Time that cells were up.", ("kind",)),
        Metric("reelyard_slot_seconds_offered_total", "counter", "Slot-seconds of cells that were up."),
        Metric("reelyard_slot_seconds_leased_total", "counter", "Slot-seconds with a lease."),
        Metric("reelyard_slot_seconds_idle_total", "counter", "Slot-seconds without a lease, by reason.", ("reason",)),
        Metric("reelyard_steps_total", "counter", "Steps outside cells that ended.", ("step",)),
        Metric("reelyard_step_seconds_total", "counter", "Time of steps outside cells.", ("step",)),
    )
}
_OPEN_PHASES = ("waiting", "probing", "scanning", "rendering", "stitching")
_STATUSES = ("working", "free", "draining", "gone")


@dataclass(frozen=True)
class Sample:
    """One value of a metric as of now."""

    metric: Metric
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def samples_of(state: RunState) -> Iterator[Sample]:
    """All values; a gauge that fell to zero is told too."""
    for name, value, *labels in _values(state):
        metric = METRICS[name]
        yield Sample(metric, float(value), dict(zip(metric.labels, labels, strict=True)))


def _values(state: RunState) -> Iterator[tuple[str, float, *tuple[str, ...]]]:
    """(metric, value, labels in the metric's order)."""
    for phase in (*_OPEN_PHASES, *FINAL_PHASES):
        count = state.videos.waiting if phase == "waiting" else state.videos.phases[phase]
        yield "reelyard_videos", count, phase
    for work in ("render", "scan"):
        yield "reelyard_frames_total", state.frames[work], work
        yield "reelyard_units_total", state.units[work], work
        yield "reelyard_frames_per_second", state.recent_rate(work), work
    yield "reelyard_part_bytes_total", state.bytes
    if (left := state.remaining_seconds()) is not None:
        yield "reelyard_remaining_seconds", left
    for outcome, count in state.outcomes.items():
        yield "reelyard_leases_total", count, outcome
    failures: dict[tuple[str, str], int] = {}
    for (kind, stage, _), tally in state.retries.items():
        failures[kind, stage] = failures.get((kind, stage), 0) + tally.count
    for (kind, stage), count in failures.items():
        yield "reelyard_lease_failures_total", count, kind, stage
    yield "reelyard_duplicates_total", state.duplicates
    for step, tally in state.steps.items():
        yield "reelyard_steps_total", tally.count, step
        yield "reelyard_step_seconds_total", tally.seconds, step
    yield from _of_cells(state)


def _of_cells(state: RunState) -> Iterator[tuple[str, float, *tuple[str, ...]]]:
    cells = state.cells
    kinds: dict[str, float] = {}
    counts: dict[tuple[str, str], int] = {}
    for cell in cells.by_name.values():
        kinds[cell.kind] = kinds.get(cell.kind, 0.0) + cell.up_seconds(state.now)
        counts[cell.kind, cell.status] = counts.get((cell.kind, cell.status), 0) + 1
    for kind, seconds in kinds.items():
        yield "reelyard_cell_seconds_total", seconds, kind
        for status in _STATUSES:
            yield "reelyard_cells", counts.get((kind, status), 0), kind, status
    yield "reelyard_slots", len(cells.open), "leased"
    yield "reelyard_slots", max(0, cells.slots - len(cells.open)), "free"
    yield "reelyard_slot_seconds_offered_total", cells.offered_seconds
    yield "reelyard_slot_seconds_leased_total", cells.leased_seconds
    for reason, seconds in cells.idle.items():
        yield "reelyard_slot_seconds_idle_total", seconds, reason
