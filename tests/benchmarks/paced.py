"""A batch of a paced task on pretended GPUs of this machine, in a process of its own: prints its figures as JSON.

The task holds its device for a stated time a frame and uses no processor meanwhile, as a GPU would;
what is lost to leases, streams, commits and the driver shows as time beyond that.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np

from cluster.address import Place
from cluster.batch.start import BatchRequest, run_batch
from cluster.events import Event, FramesPassed, LeaseBegan, SlotsIdle, UnitDone
from cluster.fleet import progress
from cluster.manifest.values import Item
from pipeline.job import EncodeRequest, RenderJob
from tasks.table import task_spec

_RAY = {
    "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_SCHEDULER_EVENTS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}  # fmt: skip
_RATE, _WIDTH, _HEIGHT = 25, 320, 180


@contextmanager
def gpus(count: int) -> Iterator[str]:
    """The address of a Ray on this machine with so many GPUs that are only said to be there."""
    os.environ.update(_RAY)
    from ray.cluster_utils import Cluster

    scratch = Path(tempfile.mkdtemp(prefix="rb-", dir="/tmp"))
    made: Any = Cluster(
        initialize_head=True, shutdown_at_exit=False,
        head_node_args={"num_cpus": 4 * count, "num_gpus": count, "include_dashboard": False,
                        "temp_dir": str(scratch), "object_store_memory": 600 << 20},
    )  # fmt: skip
    try:
        yield made.address
    finally:
        made.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)


def idle_milliseconds(address: str, seconds: float = 10.0) -> float:
    """CPU time that a driver takes a second which joined this Ray and does nothing, once it is there."""
    import ray

    ray.init(address=address, log_to_driver=False)
    try:
        time.sleep(2.0)
        began = time.process_time()
        time.sleep(seconds)
        return 1000 * (time.process_time() - began) / seconds
    finally:
        ray.shutdown()


def write_clip(path: Path, seconds: int, number: int) -> Path:
    """A clip with a keyframe a second; other pictures for each number, for equal sources are rendered once."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=_RATE, options={"g": str(_RATE), "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        rows = np.arange(_HEIGHT * 3 // 2)[:, None]
        for frame in range(seconds * _RATE):
            planes = ((rows + np.arange(_WIDTH)[None] + 3 * frame + number) % 200 + 20).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, "yuv420p")))
        container.mux(stream.encode(None))
    return path


class Watch:
    """From when every cell has passed frames, models loaded, to the last segment; and what the driver used meanwhile.

    Until then cells are asked for their frames twice a second, so that what was done before is known to half a second.
    """

    def __init__(self, cells: int) -> None:
        self._cells = cells
        self._working: set[str] = set()
        self._cell_of: dict[int, str] = {}
        self._asked = progress._ASK_SHARE, progress._ASKS_PER_SECOND
        progress._ASK_SHARE, progress._ASKS_PER_SECOND = 0.0, progress._MOST_ASKS_PER_SECOND
        self.begun: float | None = None
        self.cpu_begun = self.cpu_ended = 0.0
        self.ended = 0.0
        self.units = self.leases = self.frames = self.passed = self.frames_before = 0
        self.idle: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, LeaseBegan):
            self._cell_of[event.attempt] = event.cell
            self.leases += self.begun is not None
        elif isinstance(event, FramesPassed):
            self.passed += event.frames
            self._working.add(self._cell_of[event.attempt])
            if self.begun is None and len(self._working) == self._cells:
                self.begun, self.cpu_begun, self.frames_before = event.at, time.process_time(), self.passed
                progress._ASK_SHARE, progress._ASKS_PER_SECOND = self._asked
        elif isinstance(event, UnitDone):
            self.frames += event.frames
            self.ended, self.cpu_ended = event.at, time.process_time()
            self.units += self.begun is not None
        elif isinstance(event, SlotsIdle) and self.begun is not None:
            self.idle[event.reason] = self.idle.get(event.reason, 0.0) + event.slot_seconds


def run(
    count: int, milliseconds: float, clips: Sequence[Path], segment_seconds: float, slower: float = 1.0
) -> dict[str, Any]:
    """Figures of one batch of clips; one of the GPUs is `slower` times slower."""
    with gpus(count) as address, tempfile.TemporaryDirectory(prefix="reelyard-paced-") as folder:
        options = {"slower": str(slower), "slower_file": f"{folder}/slower"} if slower > 1 else {}
        spec = task_spec("rehearsal", {"milliseconds": str(milliseconds), **options})
        encode = EncodeRequest(crf=20, preset="ultrafast")
        items = []
        for line, path in enumerate(clips, 1):
            output = f"{folder}/{path.name}"
            job = RenderJob(str(path), output, (spec,), segment_seconds=segment_seconds, encode=encode)
            items.append(Item(path.name, line, job))
        idle_ms = idle_milliseconds(address)
        watch = Watch(count)
        end = run_batch(items, BatchRequest(folder, Place("joined", address, "benchmark"), "cpu:0"), watch)
    if watch.begun is None or set(end.phases.values()) != {"rendered"}:
        raise RuntimeError(f"not every cell worked, or not every clip was rendered: {end.document['failures']}")
    frames = watch.frames - watch.frames_before
    seconds = watch.ended - watch.begun
    return {
        "seconds": seconds,
        "frames": frames,
        "ideal_seconds": frames * milliseconds / 1000 / count,
        "driver_ms_a_segment": 1000 * (watch.cpu_ended - watch.cpu_begun) / watch.units,
        "idle_driver_ms_a_segment": idle_ms * seconds / watch.units,
        "segments": watch.units,
        "leases": watch.leases,
        "idle": watch.idle,
        "busy_share": end.document["speed"]["busy_share"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpus", type=int, required=True)
    parser.add_argument("--milliseconds", type=float, default=40.0)
    parser.add_argument("--clip-seconds", type=int, nargs="+", required=True, help="the length of each clip")
    parser.add_argument("--segment-seconds", type=float, default=10.0)
    parser.add_argument("--slower", type=float, default=1.0, help="how many times slower one of the GPUs is")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reelyard-paced-source-") as folder:
        clips = [write_clip(Path(folder) / f"clip-{n}.mp4", long, n) for n, long in enumerate(given.clip_seconds)]
        figures = run(given.gpus, given.milliseconds, clips, given.segment_seconds, given.slower)
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main()
