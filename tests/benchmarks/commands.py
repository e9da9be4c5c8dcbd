"""The commands that are measured: `reelyard` as a user starts it, and `ffmpeg` for the same work.

The console script is used where it is installed for this very tree, else `python -m cluster.cli`; both
start in a folder that holds nothing.
"""

import importlib.metadata
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av

from tests.benchmarks.machine import ROOT
from tests.benchmarks.meter import CommandFailed, Measured, measure

IN_PROCESS, RAY = "in process", "through Ray"


@dataclass(frozen=True)
class Run:
    """A measured command and the video it made."""

    measured: Measured
    output: Path
    report: Mapping[str, object]
    "The report.json of a reelyard command, empty for others."


def render(source: Path, folder: Path, where: str, options: Sequence[str] = (), *, memory: bool = False) -> Run:
    """`reelyard render SOURCE`, in process or through a local Ray, everything else by default."""
    output, report = folder / "output.mp4", folder / "report.json"
    argv = [*reelyard(), "render", str(source), "-o", str(output), "--report", str(report), "--overwrite"]
    argv += ["--verbose", *(["--in-process"] if where == IN_PROCESS else []), *options]
    measured = measure(argv, environment=reelyard_environment(), folder=folder, memory=memory)
    return Run(measured, output, json.loads(report.read_text()))


def reelyard() -> list[str]:
    """The command without its arguments."""
    script = shutil.which("reelyard", path=str(Path(sys.executable).parent))
    if script and _installed_from() == ROOT:
        return [script]
    return [sys.executable, "-m", "cluster.cli"]


def reelyard_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Lets the command find this tree."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])]
    return {"PYTHONPATH": os.pathsep.join(paths), **(more or {})}


def ffmpeg_identity(source: Path, like: Path, folder: Path) -> Run:
    """The `ffmpeg` command decoding and encoding with the settings that `like` was encoded with.

    One thread each for decoding and encoding, audio copied.

    Raises:
        CommandFailed: ffmpeg is missing, failed, or its x264 was set otherwise than that of `like`.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise CommandFailed("the ffmpeg command is not on this machine; install it to compare with it")
    wanted = x264_settings(like)
    names = {
        "keyint": "keyint",
        "keyint_min": "min-keyint",
        "stitchable": "stitchable",
        "open_gop": "open-gop",
    }
    params = ":".join(f"{name}={wanted[key]}" for key, name in names.items() if key in wanted)
    output = folder / "ffmpeg.mp4"
    argv = [ffmpeg, "-v", "error", "-y", "-threads", "1", "-i", str(source), "-map", "0", "-c", "copy"]
    argv += ["-c:v", "libx264", "-preset", "veryfast", "-crf", wanted["crf"], "-x264-params", params]
    measured = measure([*argv, "-threads", "1", str(output)], folder=folder)
    found = x264_settings(output)
    if found != wanted:
        other = sorted(key for key in wanted | found if wanted.get(key) != found.get(key))
        raise CommandFailed(f"ffmpeg's x264 was set otherwise than Reelyard's in {', '.join(other)}")
    return Run(measured, output, {})


def x264_settings(video: Path) -> dict[str, str]:
    """What x264 wrote of its settings into the first packet."""
    with av.open(str(video)) as container:
        first = next(packet for packet in container.demux(video=0) if packet.size)
        text = bytes(first).partition(b"options: ")[2].partition(b"\0")[0].decode(errors="replace")
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def _installed_from() -> Path | None:
    """The tree that the environment's reelyard was installed from as editable; None for any other."""
    try:
        direct = importlib.metadata.distribution("reelyard").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return None
    url = json.loads(direct).get("url", "") if direct else ""
    return Path(url.removeprefix("file://")).resolve() if url.startswith("file://") else None
