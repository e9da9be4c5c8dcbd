"""What must hold when a chaos run is over; every breach is one line."""

import contextlib
import hashlib
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.chaos.videos import Clip

#: Seconds in which the objects of a worker that was killed must be freed.
_FREED_WITHIN = 30.0
#: Bytes of a node's store that the allocator keeps for itself.
_OVERHEAD = 1 << 16


def digests(path: Path) -> list[str]:
    """md5 of the samples of every decoded frame, in presentation order."""
    found: list[tuple[Fraction, str]] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            sha = hashlib.md5()
            for plane in frame.planes:
                width = plane.width * (2 if frame.format.components[0].bits > 8 else 1)
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, :width]
                sha.update(rows.tobytes())
            found.append((frame.pts * stream.time_base, sha.hexdigest()))
    return [digest for _, digest in sorted(found)]


def faults_of_outputs(clips: Sequence[Clip], sources: Path, outputs: Path) -> list[str]:
    """Outputs that are missing, too many, or hold other frames than their source: nothing may be lost or changed."""
    found = []
    for clip in clips:
        output = outputs / f"{Path(clip.name).stem}.mp4"
        if clip.bad:
            if output.exists():
                found.append(f"{clip.name}: is bad, and yet has an output")
        elif not output.exists():
            found.append(f"{clip.name}: no output")
        elif digests(output) != digests(sources / clip.name):
            found.append(f"{clip.name}: other frames than its source")
    return found


def faults_of_report(clips: Sequence[Clip], report: dict[str, Any]) -> list[str]:
    """Bad videos that are not told, or not with their own reason."""
    told = {Path(failure["source"]).name: failure for failure in report["failures"]}
    found = [f"{name}: told as failed, and is good: {told[name]['message']}" for name in told if not _bad(clips, name)]
    for clip in clips:
        if clip.bad and told.get(clip.name, {}).get("kind") != clip.bad:
            found.append(f"{clip.name}: expected {clip.bad}, told {told.get(clip.name)}")
    return found


def _bad(clips: Sequence[Clip], name: str) -> bool:
    return any(clip.bad for clip in clips if clip.name == name)


def faults_of_store(client: Any, clips: Sequence[Clip]) -> list[str]:
    """Objects that nobody asked for: parts, scratch, halves of uploads.  Videos that failed keep their parts."""
    kept = {f"out/{Path(clip.name).stem}.mp4.work/" for clip in clips if clip.bad}
    names = [
        entry["Key"]
        for page in client.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix="out/")
        for entry in page.get("Contents", [])
    ]
    strays = [name for name in names if ".work/" in name and not any(name.startswith(prefix) for prefix in kept)]
    uploads = client.list_multipart_uploads(Bucket="bucket").get("Uploads", [])
    return [*(f"left behind: {name}" for name in strays), *(f"upload never ended: {one['Key']}" for one in uploads)]


def faults_of_cluster(address: str) -> list[str]:
    """Actors, places and objects that outlived the run."""
    import ray
    from ray._private import state
    from ray.util import placement_group_table

    untyped: Any = ray
    untyped.init(address=address, log_to_driver=False, logging_level="ERROR")
    try:
        actors: Any = state.actors()  # type: ignore[attr-defined]
        found = [f"actor alive: {a['ActorClassName']} {a['State']}" for a in actors.values() if a["State"] != "DEAD"]
        groups: Any = placement_group_table()
        found += [f"place held: {key}" for key, group in groups.items() if group["state"] != "REMOVED"]
        return found + _faults_of_objects(state.state)  # type: ignore[attr-defined]
    finally:
        untyped.shutdown()


def _faults_of_objects(global_state: Any) -> list[str]:
    """Objects that still hold memory: those of a worker that was killed are freed once its node knows of it.

    Ray never frees the copy of a pull that ended after the object was freed: it makes way when room is needed.  So
    where something is left that no node counts as needed, room is asked for, and the store must be empty after that.
    """
    if _left(global_state) is None:
        return []
    _ask_for_room(global_state)
    left = _left(global_state)
    return [left] if left else []


def _left(global_state: Any) -> str | None:
    """What the stores of all nodes hold when there was time to free it; None once they are empty."""
    import grpc
    from ray._private.internal_api import get_memory_info_reply

    until = time.monotonic() + _FREED_WITHIN
    left = "object store: no node answers"
    while time.monotonic() < until:
        with contextlib.suppress(grpc.RpcError):  # The node that is asked may have been lost just now.
            used = get_memory_info_reply(global_state).store_stats
            if used.object_store_bytes_used == 0:
                return None
            left = (
                f"object store: {used.num_local_objects} objects, {used.object_store_bytes_used} bytes, of them "
                f"{used.object_store_bytes_primary_copy} not freed"
            )
        time.sleep(0.5)
    return left


def _ask_for_room(global_state: Any) -> None:
    """An object as large as the store, on every node, for a moment."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    untyped: Any = ray

    def fill(size: int) -> int:
        return len(untyped.put(np.zeros(size, np.uint8)).hex())

    remote = untyped.remote(num_cpus=0, max_retries=0)(fill)
    for node in global_state.node_table():
        if node["Alive"]:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            size = int(node["Resources"]["object_store_memory"]) - _OVERHEAD
            with contextlib.suppress(ray.exceptions.RayError):
                ray.get(remote.options(scheduling_strategy=there).remote(size), timeout=_FREED_WITHIN)
