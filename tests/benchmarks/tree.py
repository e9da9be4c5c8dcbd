"""The processes that a command starts, and what each of them takes; read from /proc, knows no Ray API.

CPU seconds are the process's own (user and system), without its children's: a child counts once, as
itself.  A process that ended keeps the last value seen, so that a dead worker is not forgotten.  Every
process is looked at once a tick: of one that ends between two ticks, at most a tick's work is missed.
Orphans are known by their new parent: this process, which adopts them (Linux's child subreaper).
"""

import contextlib
import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
#: What Ray's own processes are called, before and after they rename themselves; workers are other `ray::…`.
_DAEMONS = (
    "raylet/raylet",
    "gcs/gcs_server",
    "dashboard/dashboard.py",
    "dashboard/agent.py",
    "runtime_env/agent/main.py",
    "_private/log_monitor.py",
    "autoscaler/_private/monitor.py",
    "autoscaler/v2/monitor.py",
    "ray::DashboardAgent",
    "ray::RuntimeEnvAgent",
)
_PR_SET_CHILD_SUBREAPER = 36
#: For so many ticks a new process is asked for its name again: it may not have called exec yet.
_SETTLING_TICKS = 20


@dataclass
class Row:
    """One process of the tree."""

    pid: int
    name: str = ""
    daemon: bool = False
    cpu_seconds: float = 0.0
    ticks_seen: int = 0
    alive: bool = True


class ProcessTree:
    """A process and everything that came of it, those included that were adopted by another parent."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.rows: dict[int, Row] = {root: Row(root)}
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        me = os.getpid()
        self._foreign = {pid for pid in _present() if _parent(pid) == me} - {root}

    def refresh(self) -> None:
        """Find new processes, and read every living one's CPU seconds."""
        present = _present()
        self._foreign &= present
        self._adopt(present - self._foreign - self.rows.keys())
        for row in self.rows.values():
            if row.alive:
                self._read(row)

    def cpu_seconds(self, *, daemons: bool) -> float:
        """Since the start of each process, over the living and the dead."""
        return sum(row.cpu_seconds for row in self.rows.values() if row.daemon == daemons)

    def reap(self) -> None:
        """Bury the adopted orphans that have ended."""
        for pid in self.rows.keys() - {self.root}:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    def living(self) -> list[Row]:
        return [row for row in self.rows.values() if row.alive]

    def _adopt(self, new: set[int]) -> None:
        parents = {pid: parent for pid in sorted(new) if (parent := _parent(pid)) is not None}
        found = True
        while found:
            family = {os.getpid(), *self.rows}
            found = {pid for pid, parent in parents.items() if parent in family} - self.rows.keys()
            self.rows |= {pid: Row(pid) for pid in found}
        self._foreign |= parents.keys() - self.rows.keys()

    @staticmethod
    def _read(row: Row) -> None:
        fields = _fields(row.pid)
        row.alive = fields is not None and fields[0] not in "ZX"
        if fields is None:
            return
        # A zombie still tells its last figures.
        row.cpu_seconds = (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND
        row.ticks_seen += 1
        if row.ticks_seen <= _SETTLING_TICKS:
            row.name = _name(row.pid) or row.name
            row.daemon = row.daemon or any(daemon in row.name for daemon in _DAEMONS)


def _present() -> set[int]:
    return {int(entry) for entry in os.listdir(PROC) if entry.isdigit()}


def _fields(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on: state, parent …; the second may hold blanks."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return None


def _parent(pid: int) -> int | None:
    fields = _fields(pid)
    return int(fields[1]) if fields else None


def _name(pid: int) -> str:
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()
