"""What travels inside a cell besides pictures; small values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.index import SourceIndex
from pipeline.work import Lease
from tasks.picture import FrameBatch


@dataclass(frozen=True)
class Shared:
    """A value put once into the object store; travels as a reference and is read without a copy."""

    reference: Any
    "ObjectRef; wrapped, so that Ray passes it on instead of the value."


@dataclass(frozen=True)
class Order:
    """A lease to a cell: what every stage of its pull chain is given."""

    index: Shared
    lease: Shared
    window: int
    "Batches made ahead on each hop."


@dataclass(frozen=True)
class Opened:
    """An order whose values were read from the store of this node."""

    index: SourceIndex
    lease: Lease
    window: int


@dataclass(frozen=True)
class Carried:
    """A batch on its way, with what had been counted when it left (frames repeated …)."""

    batch: FrameBatch
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Went:
    """Frames that went through the encoder since the last message; drives the progress bar."""

    frames: int


@dataclass(frozen=True)
class WorkerFacts:
    """What a worker says of itself once it stands."""

    name: str
    node: str
    process: int
    code: Any
    "cluster.packages.Code"
    peak_memory_bytes: int = 0
    cpu_seconds: float = 0.0
