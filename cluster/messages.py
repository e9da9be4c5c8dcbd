"""What travels inside a cell besides pictures; small values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.packages import Code
from pipeline.part import Part
from pipeline.segments import ScanUnit
from pipeline.work import Lease
from tasks.errors import SegmentError
from tasks.picture import FrameBatch
from tasks.runtime.choice import ANY_PROCESSOR, Machine
from tasks.task import TaskSpec


@dataclass(frozen=True)
class Shared:
    """A value put once into the object store; travels as a reference and is read without a copy."""

    reference: Any
    "ObjectRef; wrapped, so that Ray passes it on instead of the value."


@dataclass(frozen=True)
class Order:
    """A lease to a cell: what every stage of its pull chain is given."""

    number: int
    "Of this attempt; a stop names it."
    index: Shared
    "A SourceIndex."
    lease: Shared | Lease
    "In the object store where it is large."
    specs: tuple[TaskSpec, ...]
    device: str
    window: int
    "Batches made ahead on each hop."


@dataclass(frozen=True)
class Carried:
    """A batch on its way, with what had been counted and used when it left, so that the part can tell it."""

    batch: FrameBatch
    counts: Mapping[int, Mapping[str, int]]
    "By segment: frames repeated …"
    seconds: Mapping[str, float]
    "CPU seconds by stage since the order began."


@dataclass(frozen=True)
class SoFar:
    """What the worker that was given an order has done of it."""

    frames: int
    "That went through, those of finished segments among them."
    results: tuple[Part | ScanUnit, ...]
    "In the order in which they were done; those that the asker knows already are left out."
    error: SegmentError | None = None
    "Why it ended before all was done."


@dataclass(frozen=True)
class FoundDevice:
    """What a worker computes on."""

    device: str
    "cpu, cuda:0 …"
    reason: str
    memory_bytes: int
    "Of a GPU; 0 for the CPU."
    machine: Machine = ANY_PROCESSOR
    "What it offers to networks."

    @property
    def device_class(self) -> str:
        """The kind of device: part of every part's key."""
        return f"{self.device.split(':')[0]}-fp32"


@dataclass(frozen=True)
class WorkerFacts:
    """What a worker says of itself."""

    name: str
    "Stage, number, node and process: render-0@10.0.0.7:4242."
    code: Code
    cpu_seconds: float
    peak_memory_bytes: int
    "Of the process, pictures that it maps from the object store among them."
    gpu: str = ""
    "What it saw of its GPU, in words; empty without one."
