"""What a way of drawing mouths must do; the scan, the faces and the options are the task's and shared by all."""

from typing import Protocol

from tasks.device_batch import DeviceBatch
from tasks.lip_sync.cast import Cast
from tasks.lip_sync.seen import Scan
from tasks.residency.demand import Demand
from tasks.task import OutputFrames, TaskInputs, TaskPlan, Voice


class Backend(Protocol):
    """Draws mouths that speak; what it plans once it draws segment by segment."""

    vram_bytes: int
    arithmetic: str
    "How what draws is computed, once it is loaded; empty where nothing was to be chosen."

    @property
    def models(self) -> tuple[str, ...]:
        """Of the device's networks, those that a batch uses, in order."""

    def demands(self) -> tuple[Demand, ...]:
        """What each of them asks of the device."""

    def load(self, device: str) -> None:
        """Bring what it draws with onto the device.

        Raises:
            WeightsError: its weights are missing or of another network.
        """

    def plan(self, scan: Scan, output: OutputFrames, voice: Voice, cast: Cast, offset_seconds: float) -> TaskPlan:
        """What is drawn in each output frame, `offset_seconds` later than its voice; pure, over the whole video."""

    def render(self, batch: DeviceBatch, inputs: TaskInputs) -> None:
        """Draw every mouth of the batch."""

    def release(self) -> None:
        """Free the device."""
