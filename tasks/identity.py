"""The task that changes nothing: for trying a cell's whole chain without a network."""

from collections.abc import Iterable, Iterator

from tasks.device_batch import DeviceBatch
from tasks.picture import FrameBatch
from tasks.task import Needs, OutputFrames, TaskInputs, TaskPlan, TaskSpec, UnitMeasurement, Voice


class IdentityTask:
    """Every picture as it came."""

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec

    @property
    def needs(self) -> Needs:
        return Needs()

    def digest(self) -> str:
        return "identity-1"

    def load(self, device: str) -> None:
        """Nothing to bring."""

    def measure(self, start: int, batches: Iterator[FrameBatch]) -> UnitMeasurement:
        end = start + sum(len(batch) for batch in batches)
        return UnitMeasurement(start, end, {})

    def conclude(self, units: Iterable[UnitMeasurement], output: OutputFrames, voice: Voice | None) -> TaskPlan:
        return TaskPlan()

    def render(self, batch: DeviceBatch, inputs: TaskInputs) -> DeviceBatch:
        """Nothing is changed."""
        return batch

    def release(self) -> None:
        """Nothing to free."""
