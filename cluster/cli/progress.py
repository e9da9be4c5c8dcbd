"""The progress of a run on stderr: bars on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cluster.cli.console import say, seconds

if TYPE_CHECKING:
    from cluster.watch import RunWatch

#: Between two plain lines of a stage.
_LINE_SECONDS = 5.0
_NAMES = {"scan": "looking at faces", "render": "rendering", "resumed": "already rendered"}


@contextmanager
def shown_progress(watch: "RunWatch", quiet: bool) -> Iterator[None]:
    """Shows what goes on in a run for the time of the block."""
    if quiet:
        yield
    elif sys.stderr.isatty():
        with _bars(watch):
            yield
    else:
        watch.listener = PlainLines()
        yield


@contextmanager
def _bars(watch: "RunWatch") -> Iterator[None]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Task as Row
    from rich.text import Text

    class FramesPerSecond(ProgressColumn):
        def render(self, task: Row) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f} frames/s" if speed else "")

    columns = (
        TextColumn("{task.description:<17}"),
        BarColumn(),
        MofNCompleteColumn(),
        FramesPerSecond(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        rows: dict[str, int] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage == "probe":
                return
            if stage not in rows:
                rows[stage] = progress.add_task(_NAMES.get(stage, stage), total=None)
            progress.update(rows[stage], completed=min(done, total or done), total=total or done or None)  # type: ignore[arg-type]

        watch.listener = show
        yield


class PlainLines:
    """Called as a listener of a RunWatch; says at most one line a stage every few seconds."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self._said: dict[str, float] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        self._begun.setdefault(stage, now)
        ended = bool(total) and done >= total
        if not done or (not ended and now - self._said.get(stage, self._begun[stage]) < _LINE_SECONDS):
            return
        self._said[stage] = now
        say(line_of(stage, done, total, now - self._begun[stage]))


def line_of(stage: str, done: int, total: int, elapsed_seconds: float) -> str:
    """`rendering: 120 of 480 frames, 24.0 frames/s, 15.0 s left`."""
    name = _NAMES.get(stage, stage)
    if not total:
        return f"{name}: {done} frames"
    speed = done / elapsed_seconds if elapsed_seconds > 0 else 0.0
    left = f", {speed:.1f} frames/s" if speed else ""
    if speed and done < total:
        left += f", {seconds((total - done) / speed)} left"
    return f"{name}: {min(done, total)} of {total} frames{left}"
