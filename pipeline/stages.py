"""The stages of a lease as iterators, and how they are joined; used in process and by actors alike."""

import queue
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from pipeline.work import Lease
from tasks.errors import OutOfVram, ReelyardError, SegmentError
from tasks.picture import FrameBatch
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
    ahead: queue.Queue[object] = queue.Queue(maxsize=1)
    dropped = threading.Event()

    def put(item: object) -> None:
        while not (stop.is_set() or dropped.is_set()):
            try:
                return ahead.put(item, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
        raise Stopped

    def run() -> None:
        try:
            for item in items:
                put(item)
                del item
            put(_END)
        except Stopped:
            pass
        except BaseException as error:
            with suppress(Stopped):
                put(error)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        while True:
            if stop.is_set():
                raise Stopped
            try:
                item = ahead.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            yield item  # type: ignore[misc]
            del item
    finally:
        dropped.set()


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
) -> Iterator[FrameBatch]:
    """Batches after all tasks of the chain, one at a time on the device; none crosses a work's border."""
    lock = device_lock or nullcontext()
    works = iter(lease.works)
    work = next(works)
    for batch in batches:
        while batch.first_frame >= work.segment.end:
            work = next(works)
        first, last = batch.first_frame, batch.first_frame + len(batch)
        inputs = [task_inputs.narrow(first, last) for task_inputs in work.inputs]
        with lock:
            rendered = batch if chain is None else chain.render(batch, inputs, owned=True)
        yield upright_batch(rendered) if lease.bake_rotation else rendered
        del batch, rendered


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
