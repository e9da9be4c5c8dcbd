"""What goes over from the source beside its pictures: other streams, chapters, titles; by packets."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
from av.container.output import OutputContainer

from pipeline.index import Chapter
from pipeline.storage import Storage

#: Seconds at which a packet is decoded, and the packet, ready for the output.
Timed = tuple[float, "av.Packet[Any]"]


@dataclass(frozen=True)
class CarriedStream:
    """A stream of the source that goes over, and how."""

    number: int
    kind: str
    codec: str
    how: str = "copy"
    "copy, or the codec that it is converted to."
    language: str = ""
    title: str = ""
    disposition: int = 0


@dataclass(frozen=True)
class CarryPlan:
    """All that goes over; times are the source's clock until they are written."""

    source: str = ""
    streams: tuple[CarriedStream, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    "In output time, clipped."
    metadata: tuple[tuple[str, str], ...] = ()
    start_seconds: Fraction = Fraction(0)
    "Time on the source's clock that lies at output time 0."
    end_seconds: Fraction | None = None
    "Time on the source's clock where streams are cut; None: to their end."
    display_matrix: tuple[int, ...] | None = None
    picture: CarriedStream | None = None
    "Language, title and disposition of the picture stream."
    lines: tuple[str, ...] = ()
    "What is dropped or converted, in words for the report."


class Feed(Protocol):
    """Packets of one further input, in its order."""

    def packets(self) -> Iterator[Timed]: ...

    def lines(self) -> tuple[str, ...]: ...


def add_carried(
    output: OutputContainer, storage: Storage, plan: CarryPlan, voice: Path | None, container: str, shift: Fraction,
    stack: ExitStack,
) -> "list[Feed]":  # fmt: skip
    return []


def tag_output(
    output: OutputContainer, plan: CarryPlan, container: str, statement: str, shift: Fraction
) -> tuple[str, ...]:
    return ()
