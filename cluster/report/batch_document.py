"""The report of a run of many videos as one JSON document; `SCHEMA` counts up when a field changes its meaning.

schema, reelyard       version of this layout, and of Reelyard
run                    status (rendered | partial | failed | stopped | running: no end was told), when it was
                       started, the command to go on, seconds
totals                 videos by phase, frames and segments rendered, scanned, resumed; leases by outcome, duplicates
speed                  frames/s from the first lease to the last unit; shares of cells and of slots that were busy;
                       slot-seconds offered and leased, CPU seconds of workers where they told them
cost                   GPU-hours by kind of cell, price per GPU-hour, their product; null where no price is known
idle                   free slot-seconds by reason, "not explained" among them
cells                  per cell: node, kind, slots, seconds up, leases, frames, slot-seconds leased and idle by reason,
                       its lives with why each ended
videos                 per video: phase, source, output, frames, segments, seconds, leases, message, kind, remedy
failures               videos that are not there, the command that reproduces each alone, and why
retries                leases that failed or were lost, by kind, stage and outcome: count, the latest
decisions              what was chosen, and why, each with how often
steps                  work outside cells by step: count and seconds
curve                  seconds a bin; frames rendered and scanned, slot-seconds leased and offered in each
versions               Python, Reelyard and the libraries that decide pixels
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cluster.report.cells import CellState
from cluster.report.state import RunState
from cluster.report.videos import UNSUCCESSFUL, VideoState
from tasks.errors import JobError

SCHEMA = 1
#: The kind of a cell without a GPU: nothing is paid for it by GPU-hour.
CPU = "cpu"

Prices = Mapping[str, float]
"""Of a GPU-hour by kind of cell; `*` for every kind that is not named."""


def prices_of(texts: Sequence[str]) -> dict[str, float]:
    """`2.5` is the price of every kind that no `h100=3.2` names.

    Raises:
        JobError: a text is no price.
    """
    prices = {}
    for text in texts:
        kind, _, price = text.rpartition("=")
        try:
            prices[kind or "*"] = float(price)
        except ValueError:
            raise JobError(
                f"--price-per-gpu-hour {text}: expected a number, or a kind of GPU with one, as h100=3.2"
            ) from None
        if not 0 <= prices[kind or "*"] < math.inf:
            raise JobError(f"--price-per-gpu-hour {text}: expected a price that is not negative")
    return prices


def batch_document_of(state: RunState, prices: Prices, versions: Mapping[str, str]) -> dict[str, Any]:
    """The document, in plain types."""
    return {
        "schema": SCHEMA,
        "reelyard": versions.get("reelyard", ""),
        "run": {
            "status": state.status,
            "started_utc": state.began.started_utc if state.began else "",
            "command": state.began.command if state.began else "",
            "seconds": _round(state.now),
        },
        "totals": _totals(state),
        "speed": _speed(state),
        "cost": cost_of(state, prices),
        "idle": _seconds({**state.cells.idle, "not explained": state.cells.idle_unexplained}),
        "cells": [_cell(cell, state.now) for cell in state.cells.by_name.values()],
        "videos": [_video(video) for video in state.videos.by_name.values()],
        "failures": [_failure(v) for v in state.videos.by_name.values() if v.phase in UNSUCCESSFUL],
        "retries": _retries(state),
        "decisions": _decisions(state),
        "steps": {name: {"times": t.count, "seconds": _round(t.seconds)} for name, t in sorted(state.steps.items())},
        "curve": _curve(state),
        "versions": dict(versions),
    }


def cost_of(state: RunState, prices: Prices) -> dict[str, Any]:
    """GPU-hours are those that cells were up, busy or not."""
    hours: dict[str, float] = {}
    for cell in state.cells.by_name.values():
        if cell.kind != CPU:
            hours[cell.kind] = hours.get(cell.kind, 0.0) + cell.up_seconds(state.now) / 3600
    known = {kind: price for kind in hours if (price := prices.get(kind, prices.get("*"))) is not None}
    cost = sum(hours[kind] * price for kind, price in known.items()) if set(known) == set(hours) and hours else None
    return {
        "gpu_hours": {kind: round(value, 4) for kind, value in hours.items()},
        "price_per_gpu_hour": known,
        "cost": None if cost is None else round(cost, 4),
        "cost_per_1000_frames": (
            None if cost is None or not state.frames["render"] else round(1000 * cost / state.frames["render"], 6)
        ),
    }


def _totals(state: RunState) -> dict[str, Any]:
    videos = state.videos
    phases = {name: count for name, count in videos.phases.items() if count}
    if videos.waiting:
        phases["waiting"] = videos.waiting
    return {
        "videos": videos.total,
        "phases": phases,
        "frames_rendered": state.frames["render"],
        "segments_rendered": state.units["render"],
        "segments_resumed": sum(video.resumed for video in videos.by_name.values()),
        "frames_scanned": state.frames["scan"],
        "scan_units": state.units["scan"],
        "bytes_of_parts": state.bytes,
        "leases": state.leases,
        "leases_by_outcome": dict(state.outcomes),
        "duplicates": state.duplicates,
        "duplicates_done": state.duplicates_done,
    }


def _speed(state: RunState) -> dict[str, Any]:
    cells = state.cells
    return {
        "frames_per_second": round(state.frames_per_second, 2),
        "busy_share": round(cells.busy_share, 4),
        "slot_share": round(cells.slot_share, 4),
        "slot_seconds_offered": _round(cells.offered_seconds),
        "slot_seconds_leased": _round(cells.leased_seconds),
        "worker_cpu_seconds": _round(state.cpu_seconds),
        "first_lease_seconds": None if state.first_lease_at is None else _round(state.first_lease_at),
    }


def _cell(cell: CellState, now: float) -> dict[str, Any]:
    return {
        "name": cell.name, "node": cell.node, "kind": cell.kind, "slots": cell.slots, "status": cell.status,
        "seconds_up": _round(cell.up_seconds(now)), "slot_seconds_leased": _round(cell.leased_seconds),
        "leases": cell.leases, "failed_leases": cell.failed_leases, "frames": cell.frames,
        "idle": _seconds(cell.idle),
        "lives": [
            {"start_seconds": _round(life.start), "end_seconds": None if life.end is None else _round(life.end),
             "draining_seconds": None if life.draining is None else _round(life.draining), "reason": life.reason}
            for life in cell.lives
        ],
    }  # fmt: skip


def _video(video: VideoState) -> dict[str, Any]:
    return {
        "name": video.name, "phase": video.phase, "source": video.source, "output": video.output,
        "frames": video.frames, "duration_seconds": _round(video.duration_seconds), "segments": video.segments,
        "segments_resumed": video.resumed, "segments_rendered": video.segments_done,
        "seconds": None if video.seconds is None else _round(video.seconds),
        "leases": video.leases, "failed_leases": video.failed_leases,
        "kind": video.kind, "message": video.message, "remedy": video.remedy,
    }  # fmt: skip


def _failure(video: VideoState) -> dict[str, Any]:
    return {
        "video": video.name, "phase": video.phase, "remedy": video.remedy, "kind": video.kind,
        "message": video.message, "source": video.source,
    }  # fmt: skip


def _retries(state: RunState) -> list[dict[str, Any]]:
    found = sorted(state.retries.items(), key=lambda item: -item[1].count)
    return [
        {"kind": kind, "stage": stage, "outcome": outcome, "times": tally.count, "latest": tally.latest,
         "video": tally.video, "worker": tally.worker}
        for (kind, stage, outcome), tally in found
    ]  # fmt: skip


def _decisions(state: RunState) -> list[dict[str, Any]]:
    """Those of the run before those of its videos."""
    found = sorted(state.choices.items(), key=lambda item: (bool(item[1].video), -item[1].count))
    return [
        {"what": what, "choice": choice, "reason": reason, "times": tally.count, "video": tally.video}
        for (what, choice, reason), tally in found
    ]


def _curve(state: RunState) -> dict[str, Any]:
    """All curves in bins of one width: the widest of theirs."""
    curves = {
        "frames_rendered": state.curves["render"], "frames_scanned": state.curves["scan"],
        "slot_seconds_leased": state.cells.leased_curve, "slot_seconds_offered": state.cells.offered_curve,
    }  # fmt: skip
    width = max(curve.width_seconds for curve in curves.values())
    bins = {name: curve.at_width(width) for name, curve in curves.items()}
    count = max(map(len, bins.values()))
    return {"bin_seconds": width} | {
        name: [round(v, 2) for v in amounts] + [0.0] * (count - len(amounts)) for name, amounts in bins.items()
    }


def _seconds(amounts: Mapping[str, float]) -> dict[str, float]:
    """Largest first, without those that round to nothing."""
    return {name: _round(v) for name, v in sorted(amounts.items(), key=lambda item: -item[1]) if v >= 0.0005}


def _round(seconds: float) -> float:
    return round(seconds, 3)
