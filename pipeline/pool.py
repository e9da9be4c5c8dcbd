"""Where leases and scan units are worked on: the seam between the journey and the machines.

`pipeline.engine.InProcessPool` works in threads of this process, the cluster's pool on Ray.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.index import SourceIndex
from pipeline.part import Part
from pipeline.segments import ScanUnit
from pipeline.work import Decoding, Lease, UnitWork
from tasks.runtime.choice import Machine
from tasks.task import TaskSpec

#: Called from any thread with the number of frames that went on: (stage, frames).
Progress = Callable[[str, int], None]
#: A step of the journey that any process can do: a module-level function of (storage, scratch, arguments …).
Step = Callable[..., Any]


@dataclass(frozen=True)
class Decision:
    """A choice that was made for the user, and why; shown in the log and the report."""

    what: str
    choice: str
    reason: str


class Pool(Protocol):
    """Workers of one run; all calls block or iterate in the caller's thread."""

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What was chosen so far."""

    @property
    def device_class(self) -> str:
        """cpu or cuda: part of every part's key."""

    @property
    def machine(self) -> Machine:
        """What all workers choose their precision by; may import torch, and wait for the first of them."""

    def do(self, step: Step, *arguments: object) -> Any:
        """`step(storage, scratch, *arguments)`, where it disturbs least; `scratch` is a folder of the call alone.

        Raises:
            ReelyardError: what the step raised.
        """

    def measure(
        self, index: SourceIndex, spec: TaskSpec, works: Sequence[UnitWork], decoding: Decoding
    ) -> Iterator[ScanUnit]:
        """Units as their measurements are stored, in any order."""

    def render(self, index: SourceIndex, specs: Sequence[TaskSpec], leases: Sequence[Lease]) -> Iterator[Part]:
        """Parts as they are committed.

        Raises:
            SegmentError: a segment failed; all other leases of the call were stopped first.
        """

    def close(self) -> None:
        """Stop all work and free the workers; safe to call twice."""
