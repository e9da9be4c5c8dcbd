"""The words of a batch's progress and end: one line a thing; pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from cluster.cli.console import seconds
from cluster.events import CellDraining, CellStarted, CellStopped, Event, Noted, VideoChanged
from cluster.report.state import RunState

#: That the last lines name one by one.
_FAILURES = 20


def summary_of(state: RunState, now: float, eta_seconds: float | None) -> str:
    """`34 of 200 videos (2 failed), 5 rendering, 812.3 frames/s, 8 cells 97 % at work, 14:20 left`."""
    videos, cells = state.videos, state.cells
    bad = f" ({videos.unsuccessful} failed)" if videos.unsuccessful else ""
    parts = [f"{videos.finished} of {videos.total} videos{bad}"]
    parts += [f"{count} {phase}" for phase, count in open_phases(state).items() if phase != "waiting"]
    parts += [f"{rate:.1f} frames/s" for rate in [state.recent_rate("render", now)] if rate]
    parts += [f"{rate:.1f} frames/s scanned" for rate in [state.recent_rate("scan", now)] if rate]
    parts.append(f"{counted(cells.up, 'cell')} {cells.busy_share:.0%} at work".replace("%", " %"))
    if eta_seconds is not None and videos.finished < videos.total:
        parts.append(f"{seconds(eta_seconds)} left")
    return ", ".join(parts)


def open_phases(state: RunState) -> dict[str, int]:
    """Videos by phase, of those that are not over, in the order of the journey."""
    order = ("waiting", "probing", "scanning", "rendering", "stitching")
    counts = {phase: state.videos.phases[phase] for phase in order} | {"waiting": state.videos.waiting}
    return {phase: count for phase, count in counts.items() if count}


def lines_of(event: Event, state: RunState) -> Iterator[str]:
    """What a person is told of one event, which `state` has taken; most say nothing."""
    match event:
        case VideoChanged(phase="rendered", video=name):
            video = state.videos.by_name[name]
            took = "" if video.seconds is None else f" in {seconds(video.seconds)}"
            yield f"rendered: {name} ({counted(video.frames, 'frame')}{took})" + _at(video.output)
        case VideoChanged(phase="already done" | "duplicate" as phase, video=name, message=message):
            yield f"{phase}: {name}" + (f" ({message})" if message else "")
        case VideoChanged(phase="refused" | "failed" as phase, video=name):
            yield f"{phase}: {name}: {event.message or event.kind}"
            if event.remedy:
                yield f"  that one alone: {event.remedy}"
        case CellStarted():
            yield f"{event.cell} is up: {event.kind} on {event.node}, {counted(event.slots, 'slot')}"
        case CellDraining():
            yield f"{event.cell} takes no more work: its node goes in {seconds(event.deadline_seconds)}"
        case CellStopped():
            yield f"{event.cell} is gone: {event.reason}"
        case Noted(video=""):
            yield f"{event.what}: {event.choice} ({event.reason})"


def ending_of(document: Mapping[str, Any], report: str = "", page: str = "") -> Iterator[str]:
    """The last lines of a batch."""
    totals, speed, cost = document["totals"], document["speed"], document["cost"]
    for failure in document["failures"][:_FAILURES]:
        yield f"{failure['phase']}: {failure['video']}: {failure['message'] or failure['kind']}"
        if failure["remedy"]:
            yield f"  that one alone: {failure['remedy']}"
    if len(document["failures"]) > _FAILURES:
        yield f"and {len(document['failures']) - _FAILURES} more; the report names them all"
    phases = ", ".join(f"{count} {phase}" for phase, count in totals["phases"].items())
    rate = f", {speed['frames_per_second']:.1f} frames/s" if speed["frames_per_second"] else ""
    took = seconds(document["run"]["seconds"])
    yield f"{document['run']['status']}: {counted(totals['videos'], 'video')} ({phases}) in {took}{rate}"
    if totals["leases"]:
        idle = ", ".join(f"{reason} {amount:.1f}" for reason, amount in list(document["idle"].items())[:3])
        yield f"cells: {speed['busy_share']:.1%} at work".replace("%", " %") + (
            f"; free slot-seconds: {idle}" if idle else ""
        )
    if cost["cost"] is not None:
        yield f"cost: {cost['cost']:.2f} for {sum(cost['gpu_hours'].values()):.2f} GPU-hours"
    if report:
        yield f"report: {report}, page {page}"


def counted(count: int, name: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def _at(output: str) -> str:
    return f" -> {output}" if output else ""
