"""Whole renders: how much of the time the device works, what want of memory does to pictures, and hardware codecs."""

import tempfile
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

from pipeline.decode import decode_lease
from pipeline.encoders import working_hardware_encoders
from pipeline.frames import FrameReader
from pipeline.hardware_decode import distrust, new_nvdec, nvdec_fault, trial_fault
from pipeline.index import SourceIndex
from pipeline.job import EncodeRequest, RenderJob
from pipeline.prepare import prepare
from pipeline.probe import probe
from pipeline.render import leases, render_in_process, segment_works
from pipeline.stages import in_thread, render_batches
from pipeline.storage import Storage
from tasks.chain import Chain
from tasks.picture import FrameBatch
from tasks.table import open_task, parse_task
from tasks.task import TaskPlan
from tests.benchmarks.settings import say
from tests.benchmarks.table import Figure
from tests.gpu.scale import Scale

_TASKS = ("upscale", "upscale")


def measure_busy(device: str, scale: Scale) -> list[Figure]:
    """A chain over decoded pictures, encoded and not: the share of the time in which the device had work."""
    with tempfile.TemporaryDirectory() as folder:
        source = _clip(Path(folder) / "clip.mp4", scale)
        job = RenderJob(
            str(source), f"{folder}/out.mp4", tuple(map(parse_task, _TASKS)), encode=EncodeRequest(preset="ultrafast")
        )
        free = _share(job, device)
        started = time.perf_counter()
        report = render_in_process(job, device=device)
        whole = time.perf_counter() - started
    rendering = sum(span.end_seconds - span.start_seconds for span in report.stages if span.name == "render")
    worked = free.worked / free.frames * report.counts["frames"]
    return [
        Figure("busy", "device at work during a chain, nothing encoded", 100 * free.worked / free.seconds, "%", 90.0,
               False, f"{free.worked:.2f} of {free.seconds:.2f} s, {free.frames} frames"),
        Figure("busy", "device at work during the same chain, encoded by x264", 100 * worked / rendering, "%", None,
               False, f"{worked:.2f} of {rendering:.2f} s; {whole:.2f} s in all"),
    ]  # fmt: skip


class _Share:
    """Seconds that a chain worked, of how many."""

    def __init__(self, worked: float, seconds: float, frames: int) -> None:
        self.worked, self.seconds, self.frames = worked, seconds, frames


def _share(job: RenderJob, device: str) -> _Share:
    storage, stop = Storage(), threading.Event()
    plan = prepare(storage, job, cached=False)
    works = segment_works(plan, [TaskPlan()] * len(plan.specs), "measured")
    chain = Chain([open_task(spec) for spec in plan.specs], device)
    chain.load()
    frames = 0
    try:
        for counted in (False, True):  # The first round brings networks and finds algorithms.
            chain.seconds, frames, started = [0.0] * len(plan.specs), 0, time.perf_counter()
            for lease in leases(plan, works):
                decoded: Iterator[FrameBatch] = in_thread(decode_lease(storage, plan.index, lease), "decode", stop)
                frames += sum(len(batch) for batch in render_batches(chain, lease, decoded))
            seconds = time.perf_counter() - started
            say(f"{'counted' if counted else 'first'} round: {sum(chain.seconds):.2f} of {seconds:.2f} s")
        return _Share(sum(chain.seconds), seconds, frames)
    finally:
        chain.release()


def measure_ladder(device: str, scale: Scale) -> list[Figure]:
    """The same pictures on a device that has hardly room: by how much they differ, and in how many steps."""
    with tempfile.TemporaryDirectory() as folder:
        source = _clip(Path(folder) / "clip.mp4", scale, frames=8)
        pictures, steps = [], 0
        for name in ("wide", "narrow"):
            output = Path(folder) / f"{name}.mkv"
            job = RenderJob(str(source), str(output), (parse_task("upscale"),), encode=EncodeRequest("ffv1"))
            with _narrowed(device, scale) if name == "narrow" else _as_it_is():
                report = render_in_process(job, device=device)
            steps = sum(n for what, n in report.counts.items() if what.startswith("upscale embedded of"))
            pictures.append(_frames(output))
    apart = max(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in zip(*pictures, strict=True))
    return [
        Figure("ladder", "pictures on a device with hardly room, against the same with room", float(apart),
               "codes of 255", 1.0, True, f"{len(pictures[1])} of {len(pictures[0])} frames, {steps} steps down")
    ]  # fmt: skip


class _as_it_is:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class _narrowed(_as_it_is):
    """On a GPU so little memory that whole pictures do not fit; a processor has no such bound."""

    def __init__(self, device: str, scale: Scale) -> None:
        self._device, self._bytes = device, 12 * 4 * 16 * scale.height * scale.width

    def __enter__(self) -> None:
        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()
            held = torch.cuda.memory_reserved(self._device) + self._bytes
            torch.cuda.set_per_process_memory_fraction(held / torch.cuda.mem_get_info(self._device)[1], self._device)

    def __exit__(self, *_: object) -> None:
        if self._device.startswith("cuda"):
            torch.cuda.set_per_process_memory_fraction(1.0, self._device)


def measure_codecs(device: str, scale: Scale) -> list[Figure]:
    """Which hardware codecs open, and what NVDEC gains where its frames are software's."""
    encoders = working_hardware_encoders()
    working = [name for name, fault in encoders.items() if not fault]
    nvdec = nvdec_fault()
    say(f"nvdec: {nvdec or 'works'}; encoders: {encoders}")
    figures = [
        Figure("codecs", "hardware encoders that encode a frame", float(len(working)), "encoders", None, False,
               ", ".join(working) or "none"),
        Figure("codecs", "NVDEC gives a clip bit for bit as software does", float(not nvdec), "of 1", None, False,
               nvdec or "it does"),
    ]  # fmt: skip
    if nvdec:
        return figures
    with tempfile.TemporaryDirectory() as folder:
        index = probe(Storage(), str(_clip(Path(folder) / "clip.mp4", scale)))
        if fault := trial_fault(Storage(), index):
            distrust(index, fault)
            return [*figures, Figure("codecs", "NVDEC over software", 0.0, "×", None, False, fault)]
        seconds = [_decoding(index, made) for made in (None, new_nvdec)]
    words = f"{index.frames / seconds[1]:.0f} against {index.frames / seconds[0]:.0f} frames/s of one thread"
    return [*figures, Figure("codecs", "NVDEC over software", seconds[0] / seconds[1], "×", None, False, words)]


def _decoding(index: SourceIndex, made: object) -> float:
    reader = FrameReader(Storage(), index) if made is None else FrameReader(Storage(), index, new_decoder=new_nvdec)
    started = time.perf_counter()
    assert sum(1 for _ in reader.pictures(np.arange(index.frames))) == index.frames
    return time.perf_counter() - started


def _clip(path: Path, scale: Scale, frames: int = 0) -> Path:
    """A moving slope with some noise, of the scale's size."""
    chance = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = scale.width, scale.height, "yuv420p"
        slope = np.add.outer(np.arange(scale.height * 3 // 2), np.arange(scale.width)) // 2
        for number in range(frames or scale.frames):
            noise = chance.integers(0, 9, slope.shape)
            frame = av.VideoFrame.from_ndarray((slope + 3 * number + noise).astype(np.uint8), "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]
