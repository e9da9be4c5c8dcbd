"""Source frames by number, in any order they are asked for, as the decoder gives them.

Every frame asked for comes out exactly once for each time it is asked for: where the decoder
gives none, that is told, and the picture before it stands in.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt

from pipeline.deinterlace import deinterlaced
from pipeline.index import PTS, SourceIndex
from pipeline.packets import (
    AnyPacket,
    Packets,
    demuxed_packets,
    new_decoder,
    packets_of,
    prefixed,
    prepare_decoder,
    ranged_packets,
    starts_exactly,
)
from pipeline.runs import Run, plan_runs, rows_of, split_before, start_row
from pipeline.source import open_container, picture_stream
from pipeline.storage import Storage
from tasks.errors import SourceError

Frames = npt.NDArray[np.int64]
NewDecoder = Callable[[SourceIndex, int], "av.VideoCodecContext"]
"Of an index and a number of threads: a decoder of the index's packets."

#: Frames that may come out before one with a smaller number is given up.
_REORDER_FRAMES = 16
#: Split points gone back to find a picture to show in place of a damaged one.
_LOOK_BACK_SPLITS = 10
_DECODER_ERRORS = (
    av.error.InvalidDataError,
    av.error.ArgumentError,
    av.error.ExternalError,
    av.error.UnknownError,
)


@dataclass(frozen=True)
class Picture:
    """A source frame by number; `repeated` where it did not decode and `frame` is the one before it."""

    number: int
    frame: "av.VideoFrame | None"
    repeated: bool = False


@dataclass(frozen=True, eq=False)
class FrameReader:
    """Decodes one source; holds nothing but how to."""

    storage: Storage
    index: SourceIndex
    thread_count: int = 1
    deinterlace: bool = False
    new_decoder: NewDecoder = new_decoder

    def pictures(self, wanted: Frames) -> Iterator[Picture]:
        """One picture for each entry of `wanted`, in its order; held back at most one reversed window.

        Raises:
            SourceError: the source changed or cannot be read.
            ValueError: a linear source is asked to run backwards; it needs an intermediate.
        """
        if self.index.mode == "linear" and np.any(np.diff(wanted) < 0):
            raise ValueError(f"{self.index.uri} is read in one pass; render a reversed stretch from an intermediate")
        try:
            for run in plan_runs(wanted, self.index):
                yield from self._run(run, wanted[run.start : run.end])
        except av.error.FFmpegError as error:
            raise SourceError(
                f"{self.index.uri}: the container cannot be read as it was indexed ({error.strerror}); "
                "it changed or is damaged: copy it again"
            ) from error

    def _run(self, run: Run, wanted: Frames) -> Iterator[Picture]:
        numbers = np.unique(wanted)
        if run.backwards:
            held = {picture.number: picture for picture in self._ascending(numbers)}
            yield from (held[int(number)] for number in wanted)
            return
        position = 0
        for picture in self._ascending(numbers):
            while position < len(wanted) and wanted[position] == picture.number:
                yield picture
                position += 1

    def _ascending(self, numbers: Frames) -> Iterator[Picture]:
        """The pictures of ascending `numbers`, in one pass; gaps are filled."""
        if self.deinterlace:
            yield from deinterlaced(numbers, self.index.frames, self.index.format.field_order, self._filled)
        else:
            yield from self._filled(numbers)

    def _filled(self, numbers: Frames) -> Iterator[Picture]:
        """As the decoder gives them; a missing one is stood in for by the source frame before it."""
        before: Picture | None = None
        for number, frame in self._decoded(numbers):
            if frame is not None:
                before = Picture(number, frame)
            else:
                near = before is not None and before.number == number - 1
                before = Picture(number, before.frame if before and near else self._last_before(number), True)
            yield before

    def _last_before(self, number: int) -> "av.VideoFrame | None":
        """The last frame before `number` that decodes, from earlier split points.

        The same wherever the video is cut: what a run has decoded by chance plays no part.
        """
        high = number - 1
        for _ in range(_LOOK_BACK_SPLITS):
            if high < 0:
                return None
            low, last = split_before(self.index, high), None
            for _, frame in self._decoded(np.arange(low, high + 1)):
                last = frame if frame is not None else last
            if last is not None:
                return last
            high = low - 1
        return None

    def _decoded(self, numbers: Frames) -> "Iterator[tuple[int, av.VideoFrame | None]]":
        """(number, frame or None where it is missing) for ascending `numbers`."""
        wanted, waiting, next_ = numbers.tolist(), dict[int, av.VideoFrame](), 0
        with ExitStack() as stack:
            for number, frame in self._numbered(numbers, stack):
                if number >= wanted[next_]:
                    waiting[number] = frame
                while wanted[next_] in waiting or len(waiting) > _REORDER_FRAMES:
                    yield wanted[next_], waiting.pop(wanted[next_], None)
                    next_ += 1
                    if next_ == len(wanted):
                        return
                    for late in [n for n in waiting if n < wanted[next_]]:
                        del waiting[late]
            yield from ((number, waiting.get(number)) for number in wanted[next_:])

    def _numbered(self, numbers: Frames, stack: ExitStack) -> "Iterator[tuple[int, av.VideoFrame]]":
        """What the decoder gives from the split point before the first number on, with frame numbers."""
        if self.index.counted:
            yield from enumerate(self._counted(stack))
            return
        first, last = rows_of(self.index, int(numbers[0]), int(numbers[-1]))
        number_of = self.index.row_numbers
        decoder, packets = self._start(first, last, stack)
        for packet in packets:
            for frame in decode_or_skip(decoder, packet):
                if frame.pts is not None and number_of[frame.pts] >= 0:
                    yield int(number_of[frame.pts]), frame
        for frame in decode_or_skip(decoder, None):
            if frame.pts is not None and number_of[frame.pts] >= 0:
                yield int(number_of[frame.pts]), frame

    def _start(self, first: int, last: int, stack: ExitStack) -> "tuple[av.VideoCodecContext, Packets]":
        """A decoder and its packets, begun further back where row `first` is no exact start."""
        decoder, packets = self._open(first, last, stack)
        head = next(packets, None)
        while head is not None and first > 0 and not starts_exactly(self.index, head):
            earlier = start_row(self.index, first - 1, int(self.index.packets[first, PTS]))
            first = earlier if earlier < first else 0
            decoder, packets = self._open(first, last, stack)
            head = next(packets, None)
        if head is not None and first > 0 and self.index.prefix:
            head = prefixed(head, self.index.prefix)
        return decoder, _chain(head, packets)

    def _open(self, first: int, last: int, stack: ExitStack) -> "tuple[av.VideoCodecContext, Packets]":
        index = self.index
        if index.ranged:
            return self.new_decoder(index, self.thread_count), ranged_packets(self.storage, index, first, last)
        container = stack.enter_context(open_container(self.storage, index.uri, index.identity))
        decoder = picture_stream(container, index.stream.number).codec_context
        prepare_decoder(decoder, index.stream.codec, self.thread_count)
        return decoder, demuxed_packets(container, index, first, last)

    def _counted(self, stack: ExitStack) -> "Iterator[av.VideoFrame]":
        container = stack.enter_context(open_container(self.storage, self.index.uri, self.index.identity))
        stream = picture_stream(container, self.index.stream.number)
        prepare_decoder(stream.codec_context, self.index.stream.codec, self.thread_count)
        yield from all_frames(container, stream)


def all_frames(container: "av.container.InputContainer", stream: "av.VideoStream") -> "Iterator[av.VideoFrame]":
    """Every frame that decoding the stream from its start gives, in the decoder's order."""
    for packet in packets_of(container, stream):
        yield from decode_or_skip(stream.codec_context, packet if packet.size else None)


def decode_or_skip(
    decoder: "av.VideoCodecContext", packet: "AnyPacket | None", refused: list[int] | None = None
) -> "list[av.VideoFrame]":
    """The frames a packet brings out, none where it is damaged: what is missing shows in the numbers.

    `refused` gains the timestamp of a packet that the decoder does not take.
    """
    try:
        return decoder.decode(packet)
    except (*_DECODER_ERRORS, EOFError):
        if refused is not None and packet is not None and packet.pts is not None:
            refused.append(packet.pts)
        return []


def _chain(head: "AnyPacket | None", packets: Packets) -> Packets:
    if head is not None:
        yield head
        yield from packets
