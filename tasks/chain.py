"""A job's tasks, one after the other over the same planes on one device; knows no files or time."""

import time
from collections.abc import Sequence

import cv2
import torch

from tasks.device_batch import DeviceBatch
from tasks.picture import FrameBatch, PictureFormat
from tasks.quality import SelfChecking
from tasks.residency.demand import Demand
from tasks.residency.residents import residents_on
from tasks.residency.shortage import told_as_out_of_vram
from tasks.runtime.built import Built
from tasks.task import Arrays, Computing, Pooled, Task, TaskInputs


class Chain:
    """Tasks that stay loaded from `load` to `release`; each batch crosses to the device once."""

    def __init__(self, tasks: Sequence[Task], device: str, built: Built | None = None) -> None:
        """`built`: where what is built for networks is kept; where that stays as it was on the device if not given."""
        self.tasks = tuple(tasks)
        self.device = device
        self._built = built
        self.seconds = [0.0] * len(self.tasks)
        "Wall time in each task's `render` so far; on a GPU its own work is waited for."
        self._looks: list[tuple[int, Arrays]] = []

    def load(self) -> None:
        """Bring every task onto the device; those already there are freed again where one fails."""
        if not self.tasks:
            return
        settle_arithmetic()
        if self._built is not None:
            residents_on(self.device).built = self._built
        for position, task in enumerate(self.tasks):
            try:
                task.load(self.device)
            except BaseException:
                for loaded in self.tasks[:position]:
                    loaded.release()
                raise

    def render(
        self,
        batch: FrameBatch,
        inputs: Sequence[TaskInputs],
        *,
        owned: bool = False,
        watched: Sequence[int] | None = None,
    ) -> FrameBatch:
        """The batch after all tasks: the same object where none of them changed a sample.

        `inputs` holds one entry for each task, over the batch's frames.  With `owned` the caller gives
        the planes up: they are written in place where numpy says that they are writeable.  Pictures
        `watched` (indexes into the batch) are looked at by tasks that check themselves, with others that they chose;
        None: nobody asks.

        Raises:
            OutOfVram: a task ran out of the device's memory; on a GPU the batch is as it was.
        """
        if len(inputs) != len(self.tasks):
            raise ValueError(f"{len(inputs)} inputs for {len(self.tasks)} tasks")
        if not self.tasks:
            return batch
        pictures = DeviceBatch.from_frames(batch, self.device, owned=owned)
        for position, (task, values) in enumerate(zip(self.tasks, inputs, strict=True)):
            started = time.perf_counter()
            checking = task if isinstance(task, SelfChecking) else None
            before = None if checking is None or watched is None else checking.look_before(pictures, values, watched)
            pictures = self._render_one(task, pictures, values)
            if checking is not None and watched is not None:
                self._looks.append((position, checking.look_after(before, pictures, values)))
            self.seconds[position] += time.perf_counter() - started
        return pictures.to_frames()

    def _render_one(self, task: Task, pictures: DeviceBatch, values: TaskInputs) -> DeviceBatch:
        size = f"{pictures.format.width}x{pictures.format.height}"
        what = f"task {task.spec.name} ran out of memory on {self.device} with {len(pictures)} pictures of {size}"
        with told_as_out_of_vram(what):
            rendered = task.render(pictures, values)
            if pictures.device.type == "cuda":
                torch.cuda.synchronize(pictures.device)
        return rendered

    def expect(self, lease: object, batches: int) -> None:
        """Tell the device's networks that a lease has so many batches before it, the next one now; 0: it is over."""
        models = [name for task in self.tasks if isinstance(task, Pooled) for name in task.models]
        if models:
            residents_on(self.device).expect(lease, models, batches)

    def demands(self, formats: Sequence[PictureFormat]) -> tuple[Demand, ...]:
        """What the networks of all tasks ask of the device for pictures of what enters each task."""
        return tuple(
            demand
            for task, format in zip(self.tasks, formats, strict=False)
            if isinstance(task, Pooled)
            for demand in task.demands(format)
        )

    def steps_since_told(self) -> tuple[str, ...]:
        """What was chosen for the device and gave way there since this was last asked, in words of the report."""
        return residents_on(self.device).steps_since_told()

    @property
    def arithmetic(self) -> tuple[str, ...]:
        """What is counted of every frame that the tasks draw, where it is not fp32."""
        return tuple(task.arithmetic for task in self.tasks if isinstance(task, Computing) and task.arithmetic)

    def looks_since_told(self) -> list[tuple[int, Arrays]]:
        """What was seen of watched pictures since this was last asked, each with its task's place in the chain."""
        looks, self._looks = self._looks, []
        return looks

    def release(self) -> None:
        """Free the device; every task is asked, the first failure is raised at the end."""
        failures: list[Exception] = []
        for task in self.tasks:
            try:
                task.release()
            except Exception as error:
                failures.append(error)
        if failures:
            raise failures[0]


def settle_arithmetic() -> None:
    """One thread and one choice of algorithms for this process: the same frames from any segmentation.

    Cores are kept busy by threads of the pipeline; torch's own would change how sums are split.
    A process that measures without a chain calls this too.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
