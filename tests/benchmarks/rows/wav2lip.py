"""The Wav2Lip backend: what stands around the network costs, and what a second voice for the same video saves.

The weights are random (speed does not depend on values), one thread, fp32.  The task measures, crops, runs the
network, masks and pastes pictures that were decoded before; the bare network draws as many faces in batches of the
same shape.  Both are CPU seconds of one process, taken in turns.  The second voice is the shipped backend's, whose
plan is the dearer one: the scan stage of a render, with all that it plans, on a source that was scanned before.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from pipeline.decode import decode_source_frames
from pipeline.job import RenderJob
from pipeline.probe import probe
from pipeline.render import render_in_process
from pipeline.storage import Storage
from tasks.device_batch import DeviceBatch
from tasks.lip_sync.task import LipSyncTask
from tasks.lip_sync.wav2lip.network import Generator
from tasks.mel import mel_spectrogram
from tasks.picture import FrameBatch, frames_per_batch
from tasks.runtime.machine import machine_of
from tasks.table import parse_task
from tasks.task import OutputFrames, TaskPlan, Voice
from tasks.weights import Weights
from tests.benchmarks.settings import Settings, new_folder, say
from tests.benchmarks.sources import FRAME_RATE, Source, looped_voice, video
from tests.benchmarks.table import Figure
from tests.tasks.lip_sync.generators import at_hand, random_weights, save

T = TypeVar("T")

SIZES = ((1920, 1080), (1280, 720))
FRAMES = 60


def measure_wav2lip(settings: Settings) -> list[Figure]:
    """Shares of the bare network's speed, and of a scan's time that a second voice saves."""
    torch.set_num_threads(1)
    with new_folder() as folder:
        weights = at_hand(save(folder / "random.pth", random_weights()))
        task = LipSyncTask(replace(parse_task("lip-sync:model=wav2lip,precision=fp32"), weights=(weights,)))
        task.load("cpu")
        bare = Generator(weights, "cpu", precision="fp32")
        shares = [_share(settings, task, bare, *size) for size in SIZES]
        return [*shares, *_in_bf16(settings, bare, weights), _second_voice(settings, folder)]


def _in_bf16(settings: Settings, bare: Generator, weights: Weights) -> list[Figure]:
    """The network alone in both arithmetics, where the processor has bf16; no figure where it has not."""
    if "bf16" not in machine_of("cpu").half:
        say("wav2lip: no figure for bf16, which this processor computes in software")
        return []
    rough = Generator(weights, "cpu", precision="bf16")
    mel, faces = torch.rand(FRAMES, 1, 80, 16) * 8 - 4, torch.rand(FRAMES, 3, 96, 96)
    fine_seconds, rough_seconds, apart = [], [], 0.0
    for _ in range(settings.repeats + 1):  # the first of each is slower
        seconds, wanted = _timed(lambda: bare.draw(mel, faces))
        fine_seconds.append(seconds)
        seconds, drawn = _timed(lambda: rough.draw(mel, faces))
        rough_seconds.append(seconds)
        apart = float((drawn - wanted).abs().max())
    return [bf16_figure(min(fine_seconds) / FRAMES, min(rough_seconds) / FRAMES, apart)]


def bf16_figure(fine_seconds: float, rough_seconds: float, apart: float) -> Figure:
    """CPU seconds a face in fp32 and bf16, and by how much they differ at most."""
    return Figure(
        "wav2lip", "Wav2Lip's network on one thread: bf16 over fp32", fine_seconds / rough_seconds, "×", 2.0, False,
        f"{1000 * rough_seconds:.0f} against {1000 * fine_seconds:.0f} CPU ms a face; they differ by "
        f"{255 * apart:.1f} of 255 at most",
    )  # fmt: skip


def _share(settings: Settings, task: LipSyncTask, bare: Generator, width: int, height: int) -> Figure:
    batches = _decoded(video(Source("portrait", width, height, settings.seconds), settings.photo))
    frames = sum(len(batch) for batch in batches)
    mel, faces = torch.zeros(frames, 1, 80, 16), torch.rand(frames, 3, 96, 96)
    bare.draw(mel[: bare.batch], faces[: bare.batch])
    n = np.arange(frames)
    shown = OutputFrames(n, n / FRAME_RATE, np.full(frames, 1 / FRAME_RATE), batches[0].format)
    voice = Voice(mel_spectrogram(np.random.default_rng(0).random(16_000 * 4, np.float32)), 4.0)
    alone, whole, scan = [], [], []
    for _ in range(settings.repeats):
        seconds, _ = _timed(lambda: bare.draw(mel, faces))
        alone.append(seconds)
        seconds, unit = _timed(lambda: task.measure(0, iter(batches)))
        scan.append(seconds)
        plan = task.conclude([unit], shown, voice)
        assert plan.kept_by_reason(0, frames) == {}
        seconds, _ = _timed(partial(_draw, task, plan, batches))
        whole.append(scan[-1] + seconds)
    figure = min(alone) / min(whole)
    say(f"wav2lip {height}p: {figure:.2f} of the bare network's speed")
    return Figure(
        "wav2lip", f"Wav2Lip {height}p on one thread in fp32: scan, crop, mask and paste in the bare network's speed",
        figure, "×", 0.8, False,
        f"task: {1000 * min(whole) / frames:.0f} CPU ms a frame, of them the scan {1000 * min(scan) / frames:.1f}; "
        f"network alone: {1000 * min(alone) / frames:.0f}",
    )  # fmt: skip


def _decoded(path: Path) -> list[FrameBatch]:
    index = probe(Storage(), str(path))
    count = frames_per_batch(index.format.frame_bytes)
    return list(decode_source_frames(Storage(), index, 0, FRAMES, count))


def _draw(task: LipSyncTask, plan: TaskPlan, batches: list[FrameBatch]) -> None:
    start = 0
    for batch in batches:
        task.render(DeviceBatch.from_frames(batch, "cpu"), plan.slice(start, start + len(batch)))
        start += len(batch)


def _second_voice(settings: Settings, folder: Path) -> Figure:
    source = video(Source("portrait", 1280, 720, settings.seconds), settings.photo)
    voice = looped_voice(settings.voice, settings.seconds)
    first, second = (
        _scan_seconds(RenderJob(str(source), str(folder / name), (parse_task(task),), str(voice), "video"))
        for name, task in (("first.mp4", "lip-sync"), ("second.mp4", "lip-sync:sync_offset=40"))
    )
    say(f"second voice: {second:.2f} s instead of {first:.2f} s")
    return Figure(
        "wav2lip", "second voice for a scanned video: share of the scan's time saved", 100 * (1 - second / first),
        "%", 90.0, False,
        f"{settings.seconds} s of 720p: {first:.2f} s the first time, {second:.2f} s with another voice",
    )  # fmt: skip


def _scan_seconds(job: RenderJob) -> float:
    """The wall time of the stage that looks at faces and plans."""
    report = render_in_process(job)
    return sum(span.end_seconds - span.start_seconds for span in report.stages if span.name == "scan")


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    """CPU seconds, and what came of them."""
    begun = time.process_time()
    made = work()
    return time.process_time() - begun, made
