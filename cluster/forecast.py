"""What a batch will do and cost, before it does it: one line a video, totals by kind of machine; pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

#: Assumed beside each GPU, for decoding and encoding: what a cell reserves (`cluster.fleet.plan.CELL_CPUS`).
CORES_A_GPU = 4
#: Segments of one video that are rendered side by side end with one that is alone.
_TAIL_SEGMENTS = 1


@dataclass(frozen=True)
class VideoForecast:
    """What will become of one item."""

    name: str
    line: int
    source: str
    output: str
    status: str
    "render | already done | duplicate | refused"
    reason: str = ""
    "Why it is refused, or whose duplicate it is."
    kind: str = ""
    "Of a refusal: the class of its error."
    picture: str = ""
    "Codec, size and encoder in words."
    frames: int = 0
    seconds: float = 0.0
    segments: int = 0
    moving_seconds: float = 0.0
    "Of one processor thread: decoding and encoding."
    task_seconds: float = 0.0
    "Of one processor thread: the tasks, which a GPU takes over."
    notes: tuple[str, ...] = ()
    "What is converted, lost or unusual."


@dataclass(frozen=True)
class Machines:
    """On what the batch is thought to run."""

    gpus: int = 0
    "0: processors alone."
    cores: int = 1
    "Of this machine; read where there is no GPU."
    kind: str = ""
    gpu_speed: float = 1.0
    "How many threads of a processor one GPU stands for, in tasks."
    price_per_gpu_hour: float | None = None


@dataclass(frozen=True)
class Totals:
    """Sums over the videos that will be rendered."""

    counts: tuple[tuple[str, int], ...]
    frames: int
    segments: int
    video_seconds: float
    processor_hours: float
    "Without a GPU."
    gpu_hours: float
    "Held, busy or waiting for a cell's processors; 0 without GPUs."
    finish_seconds: float
    cost: float | None


def totals_of(videos: Sequence[VideoForecast], machines: Machines) -> Totals:
    """The sums; start-up and uneven ends are left out, but the longest segment is not."""
    rendered = [video for video in videos if video.status == "render"]
    processor_seconds = sum(video.moving_seconds + video.task_seconds for video in rendered)
    held = [cell_seconds(video, machines) for video in rendered]
    cells = machines.gpus or 1
    longest = max((s / max(1, v.segments) * _TAIL_SEGMENTS for s, v in zip(held, rendered, strict=True)), default=0.0)
    finish = max(sum(held) / cells, longest)
    gpu_hours = finish * machines.gpus / 3600
    price = machines.price_per_gpu_hour
    return Totals(
        counts=tuple(Counter(video.status for video in videos).items()),
        frames=sum(video.frames for video in rendered),
        segments=sum(video.segments for video in rendered),
        video_seconds=sum(video.seconds for video in rendered),
        processor_hours=processor_seconds / 3600,
        gpu_hours=gpu_hours,
        finish_seconds=finish,
        cost=gpu_hours * price if price is not None and machines.gpus else None,
    )


def cell_seconds(video: VideoForecast, machines: Machines) -> float:
    """Of one cell: its slower side where a GPU works beside processors, else all its cores."""
    if not machines.gpus:
        return (video.moving_seconds + video.task_seconds) / max(1, machines.cores)
    return max(video.moving_seconds / CORES_A_GPU, video.task_seconds / machines.gpu_speed)
