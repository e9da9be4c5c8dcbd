"""Decoded sound as blocks of float samples on a clock without gaps; knows frames, no files."""

from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from tasks.errors import SourceError

Block = npt.NDArray[np.float32]

#: A step of the clock smaller than this is jitter of the container, not a gap.
JITTER_SECONDS = Fraction(1, 20)
#: A longer gap is a broken clock.
LONGEST_GAP_SECONDS = 600


class SampleClock:
    """Puts decoded frames on one clock from `start_seconds`: gaps become silence, overlaps are cut.

    Blocks are (channels, n) float32, contiguous in time; the first sample is at `start_seconds`,
    none is at or after `end_seconds`.
    """

    def __init__(self, rate: int, layout: str, start_seconds: Fraction, end_seconds: Fraction | None = None) -> None:
        self.rate, self.layout = rate, layout
        self.channels = av.AudioLayout(layout).nb_channels
        self.count = 0
        self._start = start_seconds
        self._limit = None if end_seconds is None else max(0, round((end_seconds - start_seconds) * rate))
        self._floats: av.AudioResampler | None = None
        self._setup: tuple[Any, ...] = ()

    def place(self, frame: "av.AudioFrame") -> list[Block]:
        """The frame's samples, silence before them where time was skipped.

        Raises:
            SourceError: time jumps by more than ten minutes.
        """
        at = None
        if frame.pts is not None and frame.time_base is not None:
            at = round((frame.pts * frame.time_base - self._start) * self.rate)
        blocks = [self._block(f) for f in self._resampled(frame)]
        if at is None:
            return self._kept(blocks)
        gap = at - self.count
        if self.count and gap > LONGEST_GAP_SECONDS * self.rate:
            raise SourceError(f"audio jumps by {gap / self.rate:.0f} s; expected a continuous clock; repair the file")
        # The first sample lies where it lies; later only a step beyond jitter is one.
        if gap > (0 if self.count == 0 else JITTER_SECONDS * self.rate):
            blocks = [*self._silence(gap), *blocks]
        elif gap < (0 if self.count == 0 else -JITTER_SECONDS * self.rate):
            blocks = _without_first(blocks, -gap)
        return self._kept(blocks)

    def rest(self) -> list[Block]:
        """Samples still inside the converter, at the end of the stream."""
        return self._kept([self._block(f) for f in self._floats.resample(None)]) if self._floats is not None else []

    @property
    def full(self) -> bool:
        """Whether `end_seconds` is reached."""
        return self._limit is not None and self.count >= self._limit

    def _resampled(self, frame: "av.AudioFrame") -> "list[av.AudioFrame]":
        """The frame as planar floats; a stream that changes its rate or layout goes on in the first's."""
        setup = (frame.sample_rate, frame.layout.name, frame.format.name)
        out = []
        if self._floats is None or setup != self._setup:
            out = self._floats.resample(None) if self._floats is not None else []
            self._floats, self._setup = (
                av.AudioResampler(format="fltp", layout=self.layout, rate=self.rate),
                setup,
            )
        return [*out, *self._floats.resample(frame)]

    def _silence(self, samples: int) -> list[Block]:
        """Blocks of a second, all of them one array: a long silence takes no memory."""
        second = np.zeros((self.channels, self.rate), np.float32)
        whole, rest = divmod(samples, self.rate)
        return [*[second] * whole, second[:, :rest]]

    def _block(self, frame: "av.AudioFrame") -> Block:
        return np.asarray(frame.to_ndarray(), np.float32).reshape(self.channels, -1)

    def _kept(self, blocks: list[Block]) -> list[Block]:
        kept = []
        for block in blocks:
            if self._limit is not None:
                block = block[:, : max(0, self._limit - self.count)]
            self.count += block.shape[1]
            if block.shape[1]:
                kept.append(block)
        return kept


def _without_first(blocks: list[Block], samples: int) -> list[Block]:
    """The blocks without their first samples."""
    rest = []
    for block in blocks:
        cut = min(samples, block.shape[1])
        samples -= cut
        rest.append(block[:, cut:])
    return rest


def sound_frame(block: Block, layout: str, rate: int, at: int) -> "av.AudioFrame":
    """Samples as a frame that begins at sample `at`."""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
    return frame
