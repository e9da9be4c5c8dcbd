"""On what, when and with which versions figures were measured."""

import datetime
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_PACKAGES = ("av", "torch", "ray", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class Machine:
    """What stands above the table."""

    date: str
    processor: str
    cores: int
    memory_bytes: int
    system: str
    versions: tuple[tuple[str, str], ...]
    commit: str
    "Ends in `+` where files differ from the commit."

    @property
    def line(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions)
        memory = f"{self.memory_bytes / 2**30:.0f} GB"
        return (
            f"Measured {self.date} on {self.processor}, {self.cores} cores, {memory}, {self.system}, no GPU; "
            f"commit {self.commit}; {versions}."
        )


def this_machine() -> Machine:
    return Machine(
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=f"{platform.system()} {platform.machine()}",
        versions=_versions(),
        commit=_commit(),
    )


def load_average() -> float:
    """Of the last minute: what else keeps the machine busy."""
    return os.getloadavg()[0]


def _processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found.group(1) if found else platform.processor() or "unknown processor"


def _versions() -> tuple[tuple[str, str], ...]:
    import av

    found = [("Python", platform.python_version())]
    found += [(name, importlib.metadata.version(name)) for name in _PACKAGES]
    found.append(("libavcodec", ".".join(map(str, av.library_versions["libavcodec"]))))
    if ffmpeg := shutil.which("ffmpeg"):
        first = subprocess.run([ffmpeg, "-version"], capture_output=True, text=True, check=False).stdout
        found.append(("ffmpeg command", (first.split() + ["?"] * 3)[2].split("-")[0]))
    return tuple(found)


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    commit = git("rev-parse", "--short=10", "HEAD")
    if not commit:
        return "unknown"
    return commit + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
