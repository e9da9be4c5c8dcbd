"""Every item of a batch looked at as rendering would look at it; writes nothing, renders nothing."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from cluster.costs import frame_cost
from cluster.forecast import VideoForecast
from cluster.manifest.values import Item
from pipeline.facts import source_facts
from pipeline.index import SourceIndex
from pipeline.prepare import RenderPlan, prepare
from pipeline.steps import is_done
from pipeline.storage import Storage
from tasks.errors import ReelyardError

#: Transfers of HDR by ITU-T H.273.
_HDR = {16: "PQ", 18: "HLG"}
#: Sources looked at side by side: mostly waiting for storage.
_AT_ONCE = 8


def look_ahead(
    storage: Storage, items: Sequence[Item], told: Callable[[int], None] = lambda count: None
) -> tuple[VideoForecast, ...]:
    """A forecast of each item, in order; `told` is called with the number of those that are looked at."""
    looks: list[tuple[VideoForecast, str]] = []
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for look in threads.map(lambda item: _look(storage, item), items):
            looks.append(look)
            told(len(looks))
    return tuple(_with_duplicates(items, looks))


def _look(storage: Storage, item: Item) -> tuple[VideoForecast, str]:
    """The forecast, and what copies of the source have in common."""
    empty = VideoForecast(item.name, item.line, item.job.source, item.job.output, "refused")
    try:
        plan = prepare(storage, item.job, cached=False)
        done = is_done(storage, plan)
    except ReelyardError as error:
        return replace(empty, reason=error.message, kind=type(error).__name__), ""
    except Exception as error:
        return replace(empty, reason=f"{type(error).__name__}: {error}", kind="bug"), ""
    status = "already done" if done else "render"
    return replace(_forecast(empty, plan), status=status), plan.content


def _forecast(empty: VideoForecast, plan: RenderPlan) -> VideoForecast:
    frames, source = len(plan.timeline), source_facts(plan)
    cost = frame_cost(plan.format.width * plan.format.height, plan.encode, [spec.name for spec in plan.specs])
    before, after = (f"{format.width}x{format.height}" for format in (plan.formats[0], plan.format))
    return replace(
        empty,
        picture=f"{source['codec']} {before} {source['pixel_format']}"
        f" -> {plan.encode.encoder} {f'{after} ' if after != before else ''}{plan.encode.pixel_format}",
        frames=frames,
        seconds=float(plan.timeline.duration_seconds),
        segments=len(plan.segments),
        moving_seconds=frames * cost.moving / 1000,
        task_seconds=frames * cost.tasks / 1000,
        notes=(*_unusual(plan.index), *plan.notes),
    )


def _unusual(index: SourceIndex) -> Iterator[str]:
    """What a person may want to know of a source before it is rendered."""
    colour, turned = index.format.colour, index.format.orientation
    if index.mode == "linear":
        yield f"decoded in one pass: {index.reason}"
    if index.variable_rate and not index.still:
        yield "variable frame rate: kept"
    if turned is None or turned.transpose or turned.mirror_x or turned.mirror_y:
        yield "turned or mirrored by its display matrix"
    if colour.transfer in _HDR:
        yield f"HDR ({_HDR[colour.transfer]}): kept"
    if index.format.field_order != "progressive":
        yield f"interlaced ({index.format.field_order})"
    if not index.still and not any(stream.kind == "audio" for stream in index.streams):
        yield "no sound of its own"


def _with_duplicates(items: Sequence[Item], looks: Sequence[tuple[VideoForecast, str]]) -> Iterator[VideoForecast]:
    """The forecasts; of jobs that show the same in several places the later are told to be duplicates."""
    first: dict[object, str] = {}
    for item, (look, content) in zip(items, looks, strict=True):
        name = first.setdefault(_asked(item, content), item.name) if look.status == "render" else item.name
        yield look if name == item.name else replace(look, status="duplicate", reason=f"shows the same as {name}")


def _asked(item: Item, content: str) -> object:
    """Equal for jobs that ask for the same of copies of one source."""
    return content, replace(item.job, source="", output="", work=None), item.job.output.rpartition(".")[2]
