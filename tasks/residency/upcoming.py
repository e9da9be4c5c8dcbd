"""What will be used on a device and when, from the leases that render there; pure, knows no torch.

Leases take turns, batch by batch, so the queue is theirs in turns too: whoever rendered last comes last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

#: Uses that are looked ahead: several rounds of the longest chain; knowing more changes no choice.
FAR: Final = 64


@dataclass(frozen=True)
class Coming:
    """What a lease has before it."""

    models: tuple[str, ...]
    "That each of its batches uses, in order."
    batches: int


def queue_of(leases: Sequence[Coming], *, far: int = FAR) -> tuple[str, ...]:
    """The models in the order in which they will be used, the first `far` uses; the first of `leases` is next."""
    turns = [[lease.models] * min(lease.batches, far) for lease in leases]
    uses: list[str] = []
    for turn in zip_longest(*turns, fillvalue=()):
        uses += [name for models in turn for name in models]
        if len(uses) >= far:
            break
    return tuple(uses[:far])
