"""The whole Wav2Lip task over the upstream method (tests/benchmarks/upstream.py), same weights, 1080p, one thread each.

Speed: CPU seconds a frame from the source's file to drawn pictures; encoding and sound are left out on both sides.
Upstream: decode, S3FD at full size (the network alone, its boxes not even read), crop, Wav2Lip in a batch of 16 (no
larger one is faster), paste: timed on one to three frames and one batch, so it is scaled.  Ours: decode, scan, crop,
Wav2Lip, mask and paste of some 60 frames.  Memory: PSS at its peak of upstream's method over the whole clip, detection
stubbed, and of `reelyard render` over its first seconds: it does not grow with length (row `memory`).

`python -m tests.benchmarks --rows upstream --repeats 1` is its real size, a minute of 1080p: minutes on two
quiet cores, and ten GB, as every frame lies in upstream's memory.  `--seconds 6` tries it; its memory says nothing.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pipeline.decode import decode_source_frames
from pipeline.probe import probe
from pipeline.storage import Storage
from tasks.device_batch import DeviceBatch
from tasks.lip_sync.task import LipSyncTask
from tasks.mel import mel_spectrogram
from tasks.picture import frames_per_batch
from tasks.table import parse_task
from tasks.task import OutputFrames, Voice
from tests.benchmarks import upstream
from tests.benchmarks.commands import IN_PROCESS, render
from tests.benchmarks.machine import ROOT
from tests.benchmarks.meter import measure
from tests.benchmarks.settings import Settings, new_folder, say
from tests.benchmarks.sources import FRAME_RATE, Source, looped_voice, video
from tests.benchmarks.table import Figure
from tests.tasks.lip_sync.generators import at_hand, random_weights, save

WIDTH, HEIGHT = 1920, 1080
#: Frames of ours, crops of upstream's batch, seconds of ours for its memory.
FRAMES, CROPS, SECONDS = 60, 16, 4


def measure_upstream(settings: Settings) -> list[Figure]:
    """How many times as fast, and which share of the memory."""
    torch.set_num_threads(1)
    clip = video(Source("portrait", WIDTH, HEIGHT, settings.seconds), settings.photo)
    with new_folder() as folder:
        weights = save(folder / "random.pth", random_weights())
        theirs, ours = _theirs(clip, weights, min(settings.repeats, 3)), _ours(clip, weights, settings)
        return [speed_figure(theirs, ours), _memory(clip, weights, folder, settings)]


def speed_figure(theirs: float, ours: float) -> Figure:
    """CPU seconds a frame of both."""
    say(f"upstream {theirs:.1f} CPU s a frame, ours {ours:.3f}")
    return Figure(
        "upstream", f"Wav2Lip {HEIGHT}p, whole task over the upstream method, one thread, fp32", theirs / ours, "×",
        100.0, False, f"upstream, timed on a few frames: {theirs:.1f} CPU s a frame; ours: {1000 * ours:.0f} CPU ms",
    )  # fmt: skip


def memory_figure(theirs: int, ours: int, seconds: int) -> Figure:
    """Bytes at the peak of both."""
    return Figure(
        "upstream", f"its peak memory in that of the upstream method, {seconds} s of {HEIGHT}p", ours / theirs, "×",
        0.1, True, f"{ours / 1e9:.2f} GB against {theirs / 1e9:.2f} GB with its detection stubbed",
    )  # fmt: skip


def _theirs(clip: Path, checkpoint: Path, frames: int) -> float:
    """CPU seconds a frame."""
    network, finder = upstream.generator(checkpoint), upstream.detector()
    index = probe(Storage(), str(clip))
    decoded = _seconds(lambda: list(decode_source_frames(Storage(), index, 0, FRAMES, 8))) / FRAMES
    picture = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    found = min(_seconds(lambda: upstream.detect(finder, picture)) for _ in range(frames))
    pictures = [picture] * CROPS
    crops, copies = next(upstream.batches(pictures))
    upstream.draw(network, crops[:2])
    drawing = _seconds(lambda: upstream.paste(upstream.draw(network, crops), copies)) / CROPS
    return decoded + found + drawing


def _ours(clip: Path, checkpoint: Path, settings: Settings) -> float:
    """CPU seconds a frame."""
    spec = replace(parse_task("lip-sync:model=wav2lip,precision=fp32"), weights=(at_hand(checkpoint),))
    task = LipSyncTask(spec)
    task.load("cpu")
    return min(_seconds(lambda: _whole(task, clip)) for _ in range(settings.repeats)) / FRAMES


def _whole(task: LipSyncTask, clip: Path) -> None:
    index = probe(Storage(), str(clip))
    count = frames_per_batch(index.format.frame_bytes)
    unit = task.measure(0, decode_source_frames(Storage(), index, 0, FRAMES, count))
    n = np.arange(FRAMES)
    shown = OutputFrames(n, n / FRAME_RATE, np.full(FRAMES, 1 / FRAME_RATE), index.format)
    sound = np.random.default_rng(0).random(16_000 * 4, np.float32)
    plan = task.conclude([unit], shown, Voice(mel_spectrogram(sound), 4.0))
    assert plan.kept_by_reason(0, FRAMES) == {}
    start = 0
    for batch in decode_source_frames(Storage(), index, 0, FRAMES, count):
        task.render(DeviceBatch.from_frames(batch, "cpu", owned=True), plan.slice(start, start + len(batch)))
        start += len(batch)


def _memory(clip: Path, checkpoint: Path, folder: Path, settings: Settings) -> Figure:
    theirs = measure(
        [sys.executable, "-m", "tests.benchmarks.upstream", str(clip), str(checkpoint)], folder=ROOT, memory=True,
        environment={"OMP_NUM_THREADS": "1"},
    ).peak_bytes  # fmt: skip
    voice = looped_voice(settings.voice, settings.seconds)
    asked = ["--task", f"lip-sync:model={checkpoint},precision=fp32", "--audio", str(voice), "--fit", "video"]
    run = render(clip, folder, IN_PROCESS, [*asked, "--trim", f"0:{SECONDS}"], memory=True)
    say(f"memory: upstream {theirs / 1e9:.2f} GB, ours {run.measured.peak_bytes / 1e9:.2f} GB")
    return memory_figure(theirs, run.measured.peak_bytes, settings.seconds)


def _seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    begun = time.process_time()
    work()
    return time.process_time() - begun
