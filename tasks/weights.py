"""Weights that a task is given by a name or a file: known by their content, found on this node; knows no network."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Weights:
    """One file of weights, as it travels with a task's specification."""

    option: str
    "Of the task, which named it."
    name: str
    "As it was asked for."
    architecture: str
    "The network that it fits."
    sha256: str
    file: str
    "Its bare name; the suffix says how it is read."
    key: str = ""
    "Under which the weights sit in the file; empty: the usual ones are tried."
    uris: tuple[str, ...] = ()
    "Where nodes fetch it, in this order; empty for a file that is where it was named."
    page: str = ""
    "For people, where no address of the file itself is known."
    size_bytes: int | None = None
    terms: str = ""
    "What its licence forbids, as a sentence; empty where nothing is."
    path: str = ""
    "On this node; empty where it is not needed here or was not fetched yet."
