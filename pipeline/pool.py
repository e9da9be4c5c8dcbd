"""Where leases and scan units are worked on: the seam between the journey and the machines.

`pipeline.engine.InProcessPool` works in threads of this process, the cluster's pool on Ray.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.index import SourceIndex
from pipeline.part import Part
from pipeline.segments import ScanUnit
from pipeline.work import Decoding, Lease
from tasks.task import TaskSpec, UnitMeasurement

#: Called from any thread with the number of frames that went on: (stage, frames).
Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Decision:
    """A choice that was made for the user, and why; shown in the log and the report."""

    what: str
    choice: str
    reason: str


class Pool(Protocol):
    """Workers of one run; all calls block or iterate in the caller's thread."""

    decisions: tuple[Decision, ...]

    @property
    def device_class(self) -> str:
        """cpu, or cuda with the precision: part of every part's key."""

    def probe(self, uri: str, cache_prefix: str | None) -> SourceIndex:
        """The index of a source.

        Raises:
            SourceError: the source cannot be read or holds no picture.
        """

    def measure(
        self, index: SourceIndex, spec: TaskSpec, units: Sequence[ScanUnit], decoding: Decoding
    ) -> Iterator[UnitMeasurement]:
        """Measurements of the units, in any order."""

    def render(self, index: SourceIndex, specs: Sequence[TaskSpec], leases: Sequence[Lease]) -> Iterator[Part]:
        """Parts as they are committed.

        Raises:
            SegmentError: a segment failed; all other leases of the call were stopped first.
        """

    def close(self) -> None:
        """Stop all work and free the workers; safe to call twice."""
