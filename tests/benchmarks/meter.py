"""A command run to its end and measured: wall time, CPU seconds, memory, and when it said what.

The meter looks at the process tree ten times a second (memory twice a second, and only where asked for:
walking page tables disturbs the wall clock).  Exact totals of a command without daemons come from wait4;
the sampled ones tell daemons from workers and give the CPU seconds at any moment of the run.
"""

import bisect
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.benchmarks.memory import tree_bytes
from tests.benchmarks.tree import ProcessTree, Row

_TICK_SECONDS = 0.1
_MEMORY_SECONDS = 0.5


class CommandFailed(Exception):
    """A measured command did not end well; its last words are in the message."""


@dataclass(frozen=True)
class Sample:
    """CPU seconds of the tree at one moment."""

    seconds: float
    "Since the command was started."
    cpu_seconds: float
    daemon_cpu_seconds: float


@dataclass(frozen=True)
class Line:
    """A line that the command wrote, and when."""

    seconds: float
    text: str


@dataclass(frozen=True)
class Measured:
    """One run of one command."""

    argv: tuple[str, ...]
    wall_seconds: float
    exact_cpu_seconds: float
    "Of the command and every child it waited for, by wait4; holds Ray's daemons where it waited for them."
    samples: tuple[Sample, ...]
    lines: tuple[Line, ...]
    "Standard error and output, in order."
    peak_bytes: int = 0
    "PSS summed; 0 where memory was not measured."
    rows: tuple[Row, ...] = ()

    @property
    def cpu_seconds(self) -> float:
        """Of the whole run, Ray's daemons left out."""
        return self.samples[-1].cpu_seconds

    def cpu_seconds_at(self, seconds: float) -> float:
        """CPU seconds up to a moment, on a straight line between two samples."""
        times = [sample.seconds for sample in self.samples]
        i = bisect.bisect_left(times, seconds)
        if i == 0:
            return self.samples[0].cpu_seconds * seconds / max(times[0], 1e-9)
        if i == len(times):
            return self.samples[-1].cpu_seconds
        a, b = self.samples[i - 1], self.samples[i]
        share = (seconds - a.seconds) / (b.seconds - a.seconds)
        return a.cpu_seconds + (b.cpu_seconds - a.cpu_seconds) * share

    def first_line(self, words: str) -> float | None:
        """When a line with these words came first."""
        return next((line.seconds for line in self.lines if words in line.text), None)


def measure(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    memory: bool = False,
    timeout_seconds: float = 3600.0,
) -> Measured:
    """The command, run to its end.

    Raises:
        CommandFailed: its exit status was not 0, or the time was up.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        argv,
        env={**os.environ, **(environment or {})},
        cwd=folder or tempfile.gettempdir(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    lines: list[Line] = []
    reader = threading.Thread(target=_read_lines, args=(process.stdout, started, lines), daemon=True)
    reader.start()
    watch = _Watch(process.pid, started, memory)
    watch.until_end(process, started + timeout_seconds)
    reader.join(timeout=5)
    if process.returncode:
        last = "\n".join(line.text for line in lines[-15:])
        raise CommandFailed(
            f"{' '.join(argv)} ended with {process.returncode} after {watch.wall_seconds:.1f} s:\n{last}"
        )
    return Measured(
        tuple(argv), watch.wall_seconds, watch.exact_cpu_seconds, tuple(watch.samples), tuple(lines),
        watch.peak_bytes, tuple(watch.tree.rows.values()),
    )  # fmt: skip


class _Watch:
    """Looks at a running command until it ends."""

    def __init__(self, pid: int, started: float, memory: bool) -> None:
        self.tree = ProcessTree(pid)
        self.samples: list[Sample] = []
        self.peak_bytes = 0
        self.wall_seconds = 0.0
        self.exact_cpu_seconds = 0.0
        self._started = started
        self._next_memory = 0.0 if memory else float("inf")
        self._ended = threading.Event()

    def until_end(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        waiting = threading.Thread(target=self._wait_for, args=(process.pid,), daemon=True)
        waiting.start()
        while not self._ended.wait(_TICK_SECONDS):
            self._look()
            if time.monotonic() > deadline:
                process.kill()
        self._look()
        _, status, usage = os.wait4(process.pid, 0)
        self.exact_cpu_seconds = usage.ru_utime + usage.ru_stime
        process.returncode = os.waitstatus_to_exitcode(status)
        self.tree.reap()

    def _wait_for(self, pid: int) -> None:
        # Not reaped here: as a zombie it can be looked at once more.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        self.wall_seconds = time.monotonic() - self._started
        self._ended.set()

    def _look(self) -> None:
        self.tree.refresh()
        now = time.monotonic() - self._started
        self.samples.append(Sample(now, self.tree.cpu_seconds(daemons=False), self.tree.cpu_seconds(daemons=True)))
        if now >= self._next_memory:
            self.peak_bytes = max(self.peak_bytes, tree_bytes(self.tree.living()))
            self._next_memory = now + _MEMORY_SECONDS


def _read_lines(pipe: IO[bytes], started: float, lines: list[Line]) -> None:
    for raw in pipe:
        text = raw.decode(errors="replace").rstrip("\r\n")
        lines.append(Line(time.monotonic() - started, text))
