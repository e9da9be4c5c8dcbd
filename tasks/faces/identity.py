"""What tells people apart: one interface for the embedding that ships and for networks of the user's."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.faces.appearance import Appearance
from tasks.faces.people import Likeness
from tasks.faces.portraits import Portrait
from tasks.weights import Weights


class Embedding(Protocol):
    """Portraits to directions; equal people have like directions."""

    @property
    def name(self) -> str:
        """As the report says it."""
        ...

    @property
    def likeness(self) -> Likeness:
        """What cosines of its directions mean."""
        ...

    def embed(self, portraits: Sequence[Portrait]) -> NDArray[np.float32]:
        """(K, D) unit vectors; each depends on its own portrait alone."""
        ...


def open_embedding(weights: Weights | None) -> Embedding:
    """The embedding of some weights, ours where there are none.

    Raises:
        WeightsError: the file is of another network.
    """
    if weights is None:
        return Appearance()
    from tasks.faces.arcface import ArcFace

    return ArcFace(weights)
