"""A first look at a job, ahead of its rendering: how much there is to do, and whether another job shows the same."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """What is known of a video before its turn."""

    frames: int
    megapixels: float
    duration_seconds: float
    segments: int
    done: bool = False
    "The output is there already, and nothing is left of the run that made it."
    content: str = ""
    "Equal for sources of equal packets and bytes, whatever they are called; empty where it was not looked at."
