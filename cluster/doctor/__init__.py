"""Examinations of a machine: each gives checks with what was found and a remedy; none changes anything."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: str
    "ok | note | broken; only `broken` makes the doctor fail."
    found: str
    remedy: str = ""


Examination = Callable[[], Iterator[Check]]


def examine(examinations: tuple[Examination, ...]) -> Iterator[Check]:
    """Every check; an examination that fails itself is a broken check, never the end of the others."""
    for examination in examinations:
        try:
            yield from examination()
        except Exception as error:
            name = getattr(examination, "__name__", "storage").replace("_", " ")
            yield Check(
                name,
                "broken",
                f"{type(error).__name__}: {error}",
                "reinstall Reelyard with its constraints file",
            )
