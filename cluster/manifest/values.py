"""What a manifest holds: entries as written, items as checked, and what is wrong with it; no file, no storage."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.job import RenderJob
from tasks.errors import JobError

#: Problems told one by one; the rest is counted.
_TOLD = 50


@dataclass(frozen=True)
class Entry:
    """One job as written, its fields not yet checked."""

    line: int
    "Where it begins, from 1; 0 where no manifest was written."
    fields: Mapping[str, object]
    crossed: bool = False
    "Made of one of `videos` and one of `audios`."


@dataclass(frozen=True)
class Item:
    """One video of a run."""

    name: str
    "Unique in the run: the output below its prefix, or the whole output."
    line: int
    job: RenderJob
    priority: int = 0
    "Higher goes first, always."
    group: str = ""
    "Whose work it is: groups share the cluster fairly."
    weight: float = 1.0
    "Share of its group."


@dataclass(frozen=True)
class Manifest:
    """A checked manifest: every item can be started."""

    uri: str
    items: tuple[Item, ...]


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong, and on which line; line 0 is the whole."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else self.text


class ManifestError(JobError):
    """Everything that is wrong with a manifest, at once; nothing was started."""

    def __init__(self, uri: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(_told(uri, problems))
        self.uri = uri
        self.problems = problems

    def __reduce__(self) -> tuple[type["ManifestError"], tuple[str, tuple[Problem, ...]]]:
        return type(self), (self.uri, self.problems)


def _told(uri: str, problems: tuple[Problem, ...]) -> str:
    if len(problems) == 1:
        return f"{uri}: {problems[0]}"
    more = [f"and {len(problems) - _TOLD} more"] if len(problems) > _TOLD else []
    lines = [f"{uri}: {len(problems)} problems; nothing was started", *map(str, problems[:_TOLD]), *more]
    return "\n  ".join(lines)


def raise_problems(uri: str, problems: list[Problem]) -> None:
    """Nothing, if there are none.

    Raises:
        ManifestError: there are; each once, in the order of their lines.
    """
    if problems:
        raise ManifestError(uri, tuple(sorted(dict.fromkeys(problems))))
