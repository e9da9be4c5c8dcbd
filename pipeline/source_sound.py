"""What the source itself sounds like in a few stretches of the frames that are shown; mel features, kept with a scan.

Two minutes at most, whatever the length of the source: all of a short one, stretches spread over a long one, each
reached by a seek.  A source of one pass is heard from where it begins to be shown.  Sound that cannot be had is none:
whoever asks says so.
"""

import io
import logging
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final

import av
import numpy as np
import numpy.typing as npt

from pipeline.audio import audio_stream, known_layout
from pipeline.index import SourceIndex
from pipeline.keys import digest_of
from pipeline.samples import Block, SampleClock, sound_frame
from pipeline.source import open_container
from pipeline.storage import Storage
from pipeline.storage_errors import NotFound
from pipeline.voice import VOICE_RATE
from tasks.errors import SourceError
from tasks.mel import mel_spectrogram
from tasks.task import SoundStretch

log = logging.getLogger("reelyard")

#: Bumped by hand when other sound is heard of the same source.
VERSION: Final = 1
#: As much is listened to in all, in so many stretches where the source is longer.
LISTENED_SECONDS: Final = 120
STRETCHES: Final = 4
#: Heard before and after a stretch: as far as sound may lie from its picture, and what the voice networks look around.
AROUND_SECONDS: Final = Fraction(3, 4)


def source_sound_key(index: SourceIndex, source_frames: npt.NDArray[np.int64]) -> str:
    """By which the sound of these frames of a source is known again."""
    return digest_of(VERSION, index.identity.key, _stretches(index, source_frames))


def kept_source_sound(
    storage: Storage, index: SourceIndex, source_frames: npt.NDArray[np.int64], uri: str
) -> tuple[SoundStretch, ...]:
    """The sound of stretches of the frames that are shown; decoded once, then read from `uri`."""
    if index.still or not any(stream.kind == "audio" for stream in index.streams):
        return ()
    try:
        return _read(storage.read(uri))
    except NotFound:
        heard = listen(storage, index, source_frames)
    storage.put_bytes(_written(heard), uri)
    return heard


def listen(storage: Storage, index: SourceIndex, source_frames: npt.NDArray[np.int64]) -> tuple[SoundStretch, ...]:
    """The same, decoded; what cannot be decoded is left out and logged."""
    heard = []
    for start, end in _stretches(index, source_frames):
        try:
            heard.append(_stretch(storage, index, start, end))
        except (SourceError, av.FFmpegError) as error:
            log.info("%s: no sound heard of frames %d to %d: %s", index.uri, start, end, error)
    return tuple(heard)


def _stretches(index: SourceIndex, source_frames: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """[start, end) source frames of each stretch, in order."""
    first, last = int(source_frames.min()), int(source_frames.max())
    seconds = (index.frame_pts[first : last + 1] - index.frame_pts[first]) * float(index.stream.time_base)
    if seconds[-1] <= LISTENED_SECONDS or index.mode == "linear":
        return [(first, first + int(np.searchsorted(seconds, LISTENED_SECONDS, "right")))]
    long = LISTENED_SECONDS / STRETCHES
    begins = [k * (float(seconds[-1]) - long) / (STRETCHES - 1) for k in range(STRETCHES)]
    edges = [np.searchsorted(seconds, (begin, begin + long)) for begin in begins]
    return [(first + int(low), first + int(high)) for low, high in edges]


def _stretch(storage: Storage, index: SourceIndex, start: int, end: int) -> SoundStretch:
    base = index.stream.time_base
    begins = int(index.frame_pts[start]) * base - AROUND_SECONDS
    ends = int(index.frame_pts[end - 1]) * base + AROUND_SECONDS
    shown = index.frame_pts[start:end].astype(np.float64) * float(base) - float(begins)
    pieces = list(_mono(storage, index, begins, ends, seek=start > 0 and index.mode == "random"))
    samples = np.concatenate([np.zeros(0, np.float32), *pieces])
    if not len(samples):
        raise SourceError(f"{index.uri}: found no sound from {float(begins):.1f} to {float(ends):.1f} s")
    return SoundStretch(start, shown, mel_spectrogram(samples))


def _mono(storage: Storage, index: SourceIndex, begins: Fraction, ends: Fraction, *, seek: bool) -> Iterator[Block]:
    """(n,) samples of the default sound between two times of the container's clock, silence where it has none."""
    with open_container(storage, index.uri, index.identity) as container:
        stream = audio_stream(container, index.uri)
        context = stream.codec_context
        clock = SampleClock(context.sample_rate, known_layout(context.layout), begins, ends)
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=VOICE_RATE)
        if seek and stream.time_base:
            container.seek(max(0, int((begins - 1) / stream.time_base)), stream=stream, backward=True)
        given = 0
        for block in _placed(container.decode(stream), clock):
            for frame in resampler.resample(sound_frame(block, clock.layout, clock.rate, given)):
                yield np.asarray(frame.to_ndarray(), np.float32)[0]
            given += block.shape[1]
        for frame in resampler.resample(None) if given else ():
            yield np.asarray(frame.to_ndarray(), np.float32)[0]


def _placed(frames: "Iterator[av.AudioFrame]", clock: SampleClock) -> Iterator[Block]:
    for frame in frames:
        yield from clock.place(frame)
        if clock.full:
            return
    yield from clock.rest()


def _written(heard: Sequence[SoundStretch]) -> bytes:
    buffer = io.BytesIO()
    arrays = {f"{i}/{name}": np.asarray(value) for i, one in enumerate(heard) for name, value in vars(one).items()}
    np.savez(buffer, count=np.array(len(heard)), **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _read(data: bytes) -> tuple[SoundStretch, ...]:
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return tuple(
            SoundStretch(int(stored[f"{i}/start"]), stored[f"{i}/seconds"], stored[f"{i}/mel"])
            for i in range(int(stored["count"]))
        )
