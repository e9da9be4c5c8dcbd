"""The videos of a chaos run: mixed kinds, 2 to 20 s, each frame numbered; and four that are bad on purpose."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tests.sources import encode

_X264 = {"preset": "ultrafast", "crf": "26"}
#: ending, codec, options of `tests.sources.encode`
_KINDS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("mp4", "libx264", {"options": _X264 | {"g": "25", "bf": "2"}}),
    ("mp4", "libx264", {"options": _X264 | {"x264-params": "keyint=48:bframes=3:open-gop=1:scenecut=0"}}),
    ("mkv", "libx264", {"options": _X264 | {"g": "50"}, "rate": Fraction(30000, 1001)}),
    ("ts", "libx264", {"options": _X264 | {"g": "24", "bf": "2"}}),
    ("mov", "prores_ks", {"options": {"profile": "0"}, "pixel_format": "yuv422p10le"}),
    ("mp4", "libx264", {"options": _X264 | {"g": "12"}, "ticks": lambda n: n * 700 + (n % 3) * 90,
                        "time_base": Fraction(1, 15360), "audio": None}),
    ("mp4", "libx264", {"options": _X264 | {"x264-params": "keyint=48:intra-refresh=1:bframes=0"}, "audio": None}),
    ("avi", "mpeg4", {"options": {"g": "30", "bf": "2"}, "audio": None}),
)  # fmt: skip


@dataclass(frozen=True)
class Clip:
    """One video of the run."""

    name: str
    frames: int
    task: str = ""
    "Of its manifest line; empty for the run's own."
    bad: str = ""
    "Class of the error that it must end with; empty for a good one."


def plan_clips(count: int, seed: int, longest_seconds: float) -> tuple[Clip, ...]:
    """`count` clips in all, the four bad ones and the one that ends on the CPU among them."""
    random_of = random.Random(seed)
    seconds = [random_of.uniform(2.0, longest_seconds) for _ in range(count)]
    clips = [
        Clip(f"{n:03d}.{_KINDS[n % len(_KINDS)][0]}", int(25 * length)) for n, length in enumerate(seconds[: count - 5])
    ]
    return (
        *clips,
        Clip("corrupt.mp4", 300, bad="SourceError"),
        Clip("raises.mp4", 200, "rehearsal:fail_at=120", bad="bug"),
        Clip("too-large-for-gpu.mp4", 100, "rehearsal:too_large_for=gpu"),
        Clip("too-large.mp4", 100, "rehearsal:too_large_for=all", bad="OutOfVram"),
        Clip("no-video.mp4", 0, bad="SourceError"),
    )


def make_clip(clip: Clip, folder: Path, seed: int) -> Path:
    """The file of a clip."""
    path = folder / clip.name
    if clip.name == "no-video.mp4":
        path.write_bytes(b"this is no video" * 100)
        return path
    number = int(path.stem) if path.stem.isdecimal() else 0
    _, codec, options = _KINDS[number % len(_KINDS)]
    make: Callable[..., Path] = encode
    make(path, codec, frames=range(clip.frames), salt=(seed + number) % 7, **options)
    if clip.bad == "SourceError":
        content = bytearray(path.read_bytes())
        content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
        path.write_bytes(content)
    return path
