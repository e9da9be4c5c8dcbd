"""The voices of several speakers as one sound: their sum, turned down as a whole where it would clip."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.audio.stream import AudioStream

from pipeline.audio import AudioFacts, audio_blocks
from pipeline.samples import Block, sound_frame
from pipeline.storage import Storage

#: The loudest sample of a mix: 0.1 dB below full scale.
CEILING: Final = 10 ** (-0.1 / 20)


@dataclass(frozen=True)
class Mix:
    """The sum of some voices in a local file."""

    path: Path
    gain: float
    "By which all of them were multiplied, at most 1."

    @property
    def line(self) -> str:
        """What the report says of it; empty where nothing was turned down."""
        if self.gain == 1:
            return ""
        return f"the voices together were turned down by {-20 * math.log10(self.gain):.1f} dB, so that they do not clip"


def mix_voices(storage: Storage, voices: Sequence[AudioFacts], path: Path) -> Mix:
    """The sum of the voices, all from time 0, as long as the longest; two passes, in blocks.

    Raises:
        SourceError: a voice cannot be read.
    """
    rate = max(voice.sample_rate for voice in voices)
    layout = "mono" if all(voice.channels == 1 for voice in voices) else "stereo"
    uris = [voice.uri for voice in voices]
    peak = max((float(np.abs(block).max(initial=0)) for block in _sums(storage, uris, rate, layout)), default=0.0)
    gain = min(1.0, CEILING / peak) if peak else 1.0
    with av.open(str(path), "w", format="matroska", options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream("pcm_f32le", rate=rate)
        assert isinstance(stream, AudioStream)
        stream.layout = layout
        resampler, at = av.AudioResampler(format="flt", layout=layout, rate=rate), 0
        for block in _sums(storage, uris, rate, layout):
            for frame in resampler.resample(sound_frame(block * np.float32(gain), layout, rate, at)):
                output.mux(stream.encode(frame))
            at += block.shape[1]
        output.mux(stream.encode(None))
    return Mix(path, gain)


def _sums(storage: Storage, uris: Sequence[str], rate: int, layout: str) -> Iterator[Block]:
    """(channels, n) blocks of the sum."""
    streams = [audio_blocks(storage, uri, rate=rate, mono=False, layout=layout) for uri in uris]
    for blocks in zip_longest(*streams):
        given = [block for block in blocks if block is not None]
        total = np.zeros((max(len(block) for block in given), given[0].shape[1]), np.float32)
        for block in given:
            total[: len(block)] += block
        yield np.ascontiguousarray(total.T)
