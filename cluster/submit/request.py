"""From a command that was parsed here to the job that runs it there."""

import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.packages import own_code
from cluster.submit.jobs import content_hash
from cluster.submit.places import Reads, local_path, refuse_secrets, seen_from_cluster
from cluster.submit.shipping import START, carried_name, copy_code
from cluster.submit.spelling import spelled


@dataclass(frozen=True)
class Request:
    """A command as the cluster is to run it."""

    arguments: tuple[str, ...]
    "Its name, and its words in their canonical spelling."
    content: str
    "Hash of what is asked for: equal requests have equal ones, however they were typed."
    carried: tuple[tuple[str, str], ...]
    "(path here, name there) of the small files that travel with it."


@dataclass(frozen=True)
class Start:
    """How the job finds Reelyard on the cluster."""

    words: tuple[str, ...]
    reason: str
    ship: bool = False


def request_of(
    command: Any,
    values: Mapping[str, object],
    reads: Reads,
    *,
    one_machine: bool,
    stage: Callable[[str], str] | None,
) -> Request:
    """The request of a parsed command (of click's kind).

    Raises:
        JobError: it holds a secret, or names what the cluster cannot reach.
    """
    refuse_secrets(values)
    files = _lists(values, reads)
    seen = seen_from_cluster(values, reads, tuple(files), one_machine=one_machine, stage=stage)
    names = {name: carried_name(path) for name, path in files.items()}
    if not one_machine:
        seen |= names
    arguments = (str(command.name), *spelled(command, seen))
    carried = () if one_machine else tuple((files[name], names[name]) for name in files)
    return Request(arguments, content_hash((*arguments, *names.values())), carried)


def _lists(values: Mapping[str, object], reads: Reads) -> dict[str, str]:
    """Paths of the lists that are files here; a pattern or a URI in the place of one stays what it is."""
    paths = {name: local_path(str(values[name])) for name in reads.lists if values.get(name)}
    return {name: path for name, path in paths.items() if path is not None and Path(path).is_file()}


def choose_start(ship: bool, python: str | None, *, one_machine: bool) -> Start:
    """Our code sent along, this very installation where the cluster is this machine, else what its image holds."""
    interpreter = python or (sys.executable if one_machine else "python")
    if ship:
        return Start((interpreter, START), "this machine's Reelyard is sent along (--ship)", ship=True)
    if one_machine:
        return Start(
            (interpreter, str(Path(own_code().root) / START)), "this installation: the cluster is this machine"
        )
    if python:
        return Start((python, "-m", "reelyard"), f"the Reelyard of {python} on the cluster (--python)")
    return Start(("reelyard",), "the `reelyard` command on the cluster")


def entrypoint(start: Start, request: Request) -> str:
    """One line for the shell that runs the job's driver."""
    return shlex.join((*start.words, *request.arguments))


@contextmanager
def working_folder(start: Start, request: Request) -> Iterator[str | None]:
    """A folder with all that travels, None where nothing does; gone after the block."""
    if not start.ship and not request.carried:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="reelyard-submit-") as scratch:
        folder = Path(scratch) / "job"
        folder.mkdir()
        if start.ship:
            copy_code(folder)
        for path, name in request.carried:
            shutil.copyfile(path, folder / name)
        yield str(folder)
