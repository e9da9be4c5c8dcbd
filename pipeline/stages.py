"""The stages of a lease as iterators, and how they are joined; used in process and by actors alike."""

import queue
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from pipeline.decode import Counts
from pipeline.quality import LooksOfSegment, Put, watched_pictures
from pipeline.work import Lease
from tasks.errors import OutOfVram, ReelyardError, SegmentError
from tasks.heap import return_freed_planes
from tasks.picture import FrameBatch
from tasks.side_by_side import cpu_seconds
from tasks.upright import upright_batch

if TYPE_CHECKING:
    from tasks.chain import Chain

T = TypeVar("T")

_END = object()
#: How often a waiting stage looks whether its run was stopped.
_LOOK_SECONDS = 0.1


class Stopped(Exception):
    """Raised inside a stage when its run was stopped; never leaves a pool."""


def in_thread(items: Iterator[T], name: str, stop: threading.Event) -> Iterator[T]:
    """The same items, made one ahead in a thread of their own; errors come out where they belong.

    Dropping the iterator ends the thread and closes `items`.
    """
    ahead = _Ahead[T](stop)
    threading.Thread(target=ahead.fill, args=(items,), name=name, daemon=True).start()
    try:
        yield from ahead.taken()
    finally:
        ahead.dropped.set()


class _Ahead(Generic[T]):
    """Room for one item between two threads; both give up once the run is stopped."""

    def __init__(self, stop: threading.Event) -> None:
        self.dropped = threading.Event()
        self._stop = stop
        self._room: queue.Queue[object] = queue.Queue(maxsize=1)

    def fill(self, items: Iterator[T]) -> None:
        """Everything of `items`, then its end or its error; closes it."""
        try:
            for item in items:
                self._put(item)
                del item
            self._put(_END)
        except Stopped:
            pass
        except BaseException as error:
            with suppress(Stopped):
                self._put(error)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    def _put(self, item: object) -> None:
        while not (self._stop.is_set() or self.dropped.is_set()):
            try:
                return self._room.put(item, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
        raise Stopped

    def taken(self) -> Iterator[T]:
        """What `fill` puts, until its end."""
        while not self._stop.is_set():
            try:
                item = self._room.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            yield cast(T, item)
            del item
        raise Stopped


class StageSeconds:
    """CPU seconds of a lease by stage, taken where each runs; asked once a part.

    A stage that runs ahead is told of the batches it has made, so of a lease of several parts the
    seconds of up to two batches are told with the part before.
    """

    def __init__(self) -> None:
        self._used: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._begun = time.monotonic()

    def timed(self, items: Iterator[T], stage: str) -> Iterator[T]:
        """The same items; what making them takes of this thread is added to the stage."""
        while True:
            begun = cpu_seconds()
            item: T | object = next(items, _END)
            self._used[stage] = self._used.get(stage, 0.0) + cpu_seconds() - begun
            if item is _END:
                return
            yield cast(T, item)
            del item

    def since_told(self) -> dict[str, float]:
        """CPU seconds by stage, and wall seconds (`wall`), since this was last asked."""
        now = {**self._used, "wall": time.monotonic() - self._begun}
        since = {name: round(value - self._told.get(name, 0.0), 3) for name, value in now.items()}
        self._told = now
        return since


def staged(items: Iterator[T], stage: str, worker: str) -> Iterator[T]:
    """The same items; a failure is told as a SegmentError with its stage and worker."""
    try:
        yield from items
    except (SegmentError, Stopped):
        raise
    except ReelyardError as error:
        raise SegmentError(error.message, stage, worker, type(error).__name__) from error
    except Exception as error:
        message = f"{stage} failed: {type(error).__name__}: {error}"
        raise SegmentError(message, stage, worker, _kind(error)) from error


def _kind(error: Exception) -> str:
    """`OutOfVram` also where torch itself says so: while a chain is loaded or a scan measured."""
    torch = sys.modules.get("torch")
    return OutOfVram.__name__ if torch and isinstance(error, torch.OutOfMemoryError) else "bug"


def render_batches(
    chain: "Chain | None",
    lease: Lease,
    batches: Iterator[FrameBatch],
    device_lock: AbstractContextManager[object] | None = None,
    counts: Counts | None = None,
    put: Put | None = None,
) -> Iterator[FrameBatch]:
    """Batches after all tasks of the chain, one at a time on the device; none crosses a work's border.

    `counts` gains, by segment, what gave way on the device for want of memory.  Works that ask for it have what is
    seen of their drawn pictures `put` into storage, before their last batch leaves.
    """
    return_freed_planes()
    lock = device_lock or nullcontext()
    works = iter(lease.works)
    work, seen, turn = next(works), LooksOfSegment(), _Turn(chain, lease)
    try:
        for batch in batches:
            while batch.first_frame >= work.segment.end:
                work = next(works)
            first, last = batch.first_frame, batch.first_frame + len(batch)
            inputs = [task_inputs.narrow(first, last) for task_inputs in work.inputs]
            with lock:
                turn.take(len(batch))
                watched = watched_pictures(work.segment, first, last) if work.quality_uri else None
                rendered = batch if chain is None else chain.render(batch, inputs, owned=True, watched=watched)
                steps = () if chain is None else chain.steps_since_told()
                seen.add(() if chain is None else chain.looks_since_told())
            if counts is not None:
                found = counts.setdefault(work.segment.number, {})
                found.update({step: found.get(step, 0) + 1 for step in steps})
                for words in () if chain is None else chain.arithmetic:
                    found[f"frames {words}"] = found.get(f"frames {words}", 0) + len(batch)
            if put is not None and work.quality_uri and last == work.segment.end:
                seen.store(put, work.quality_uri)
            yield upright_batch(rendered) if lease.bake_rotation else rendered
            del batch, rendered
    finally:
        turn.end()


class _Turn:
    """What a lease still has before it, told to its chain so that the device's networks are there in time."""

    def __init__(self, chain: "Chain | None", lease: Lease) -> None:
        self._chain = chain
        self._batch_frames = lease.batch_frames
        self._frames = sum(work.segment.end - work.segment.start for work in lease.works)

    def take(self, frames: int) -> None:
        """A batch of so many frames is rendered now."""
        if self._chain is not None:
            self._chain.expect(self, -(-self._frames // self._batch_frames))
        self._frames -= frames

    def end(self) -> None:
        if self._chain is not None:
            self._chain.expect(self, 0)


def split_at(batches: Iterator[FrameBatch], borders: Sequence[int]) -> Iterator[FrameBatch]:
    """The same frames; no batch crosses one of `borders` (source frame numbers, rising)."""
    for batch in batches:
        numbers = batch.source_frames
        inner = [int((numbers < border).sum()) for border in borders if numbers[0] < border <= numbers[-1]]
        if not inner:
            yield batch
            continue
        for a, b in pairwise([0, *inner, len(batch)]):
            yield FrameBatch(
                batch.format,
                tuple(plane[a:b] for plane in batch.planes),
                batch.first_frame + a,
                batch.pts[a:b],
                numbers[a:b],
            )
