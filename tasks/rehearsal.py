"""A task that draws nothing and takes its time: to rehearse a cluster, its faults and its pace, without a model.

It holds the device for a stated time a picture, as a network on a GPU would, and uses no processor
meanwhile.  On request it fails where a real task might: at a picture, or for want of memory.
One process of all may be slower, as a lesser GPU would be.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.device_batch import DeviceBatch
from tasks.errors import OutOfVram
from tasks.picture import FrameBatch
from tasks.task import Needs, OutputFrames, TaskInputs, TaskPlan, TaskSpec, UnitMeasurement, Voice


class RehearsalTask:
    """Every picture as it came, later."""

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec
        self._seconds = self._usual_seconds = float(spec.option("milliseconds")) / 1000
        self._slower = float(spec.option("slower"))
        self._slower_file = spec.option("slower_file")
        self._fails_at = int(float(spec.option("fail_at")))
        self._too_large_for = spec.option("too_large_for")
        self._device = ""
        self._free_at = 0.0

    @property
    def needs(self) -> Needs:
        return Needs()

    def digest(self) -> str:
        return "rehearsal-1"

    def load(self, device: str) -> None:
        self._device = device
        slow = self._slower_file != "none" and _is_the_one(Path(self._slower_file))
        self._seconds = self._usual_seconds * (self._slower if slow else 1.0)

    def measure(self, start: int, batches: Iterator[FrameBatch]) -> UnitMeasurement:
        return UnitMeasurement(start, start + sum(len(batch) for batch in batches), {})

    def conclude(self, units: Iterable[UnitMeasurement], output: OutputFrames, voice: Voice | None) -> TaskPlan:
        return TaskPlan()

    def render(self, batch: DeviceBatch, inputs: TaskInputs) -> DeviceBatch:
        """Nothing is changed.

        Raises:
            OutOfVram: the device is one that the rehearsal is too large for.
            RuntimeError: the picture that is to fail is among these.
        """
        if self._too_large_for == "all" or (self._too_large_for == "gpu" and self._device != "cpu"):
            raise OutOfVram(f"task rehearsal was asked to run out of memory on {self._device}")
        if inputs.start <= self._fails_at < inputs.end:
            raise RuntimeError(f"task rehearsal was asked to fail at frame {self._fails_at}")
        self._pace(inputs.end - inputs.start)
        return batch

    def _pace(self, pictures: int) -> None:
        """Back at the time when a device that works without a break would be done with these."""
        now = time.monotonic()
        self._free_at = max(self._free_at, now) + pictures * self._seconds
        time.sleep(max(0.0, self._free_at - now))

    def release(self) -> None:
        """Nothing to free."""


def _is_the_one(file: Path) -> bool:
    """True in the process that made the file: the first of all that tried."""
    with contextlib.suppress(FileExistsError), file.open("x") as made:
        made.write(str(os.getpid()))
    return file.read_text() == str(os.getpid())
