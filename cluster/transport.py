"""How workers are called: the only file that knows Ray's streams, references and failures.

A stream is pulled: its producer stays `window` items ahead and waits.  A stream that is dropped
would run to its end, unthrottled, so it is always cancelled.
"""

import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import ray
import ray.exceptions

from cluster.host import host_class
from cluster.messages import Shared
from cluster.packages import own_code
from pipeline.stages import Stopped
from pipeline.work import Lease
from tasks.errors import JobError, ReelyardError, SegmentError, WorkerLost

#: A stream that gives nothing for so long has lost its end (ray #62535) or its worker.
IDLE_SECONDS = 900.0
#: What travels inside a message; Ray itself puts arguments of 100 KB and more into the object store.
_SMALL_BYTES = 50_000
#: How often a waiting caller looks whether it was told to stop.
_LOOK_SECONDS = 0.25
#: How long a call to a worker that is being restarted may take.
RESTART_SECONDS = 90.0

_LOST = (
    ray.exceptions.RayActorError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.OutOfMemoryError,
)
_FAILURES = (*_LOST, ray.exceptions.RayTaskError, ray.exceptions.TaskCancelledError)


@dataclass(frozen=True)
class Worker:
    """A worker as its callers know it."""

    stage: str
    "decode | render | encode"
    name: str
    handle: Any
    "Ray's actor handle of a Host."


def start_worker(
    target: str,
    stage: str,
    name: str,
    arguments: Mapping[str, object],
    *,
    calls: int,
    options: Mapping[str, object],
) -> Worker:
    """A worker of class `target` (module:Class) in a process of its own; returns before it stands."""
    code = own_code()
    actor = _remote_host(stage, calls).options(**options)
    return Worker(stage, name, actor.remote(code.root, code.digest, target, dict(arguments)))


@cache
def _remote_host(stage: str, calls: int) -> Any:
    """One class for all workers of a kind: Ray sends it to the cluster once."""
    remote: Any = ray.remote
    return remote(concurrency_groups={"work": calls, "ctl": 2}, max_restarts=-1, max_task_retries=0)(host_class(stage))


def share(value: object) -> Shared:
    """The value in the object store, once; every worker reads it without a copy."""
    return Shared(ray.put(value))


def enclosed(lease: Lease) -> Shared | Lease:
    """The lease itself where it is small: the object store and its bookkeeping cost the driver 2 ms a value."""
    return lease if len(pickle.dumps(lease, protocol=5)) < _SMALL_BYTES else share(lease)


def fetch(value: Any) -> Any:
    """What was shared, or the value itself where it was not."""
    return ray.get(value.reference) if isinstance(value, Shared) else value


def pull(
    worker: Worker, method: str, *arguments: object, window: int, stopped: Callable[[], bool] = lambda: False
) -> Iterator[Any]:
    """Items of a worker's generator, at most `window` made ahead.

    Raises:
        SegmentError: what the worker raised, or that it was lost.
        Stopped: `stopped` came true while waiting.
    """
    streamed = worker.handle.stream.options(
        num_returns="streaming", _generator_backpressure_num_objects=window, concurrency_group="work"
    )
    generator = streamed.remote(method, *arguments)
    try:
        while True:
            _wait(generator, worker, stopped)
            try:
                reference = next(generator)
            except StopIteration:
                return
            item = ray.get(reference)
            del reference
            yield item
            del item
    except _FAILURES as error:
        raise told(error, worker) from None
    finally:
        _cancel(generator)


async def answer(worker: Worker, method: str, *arguments: object, group: str = "work") -> Any:
    """As `call`, or with group `ctl` as `control`, in an event loop; has no time-out of its own.

    Raises:
        ReelyardError: what the worker raised; WorkerLost where it went away.
    """
    try:
        return await placed_answer(worker, method, *arguments, group=group)
    except SegmentError as error:
        raise _unplaced(error) from None


async def placed_answer(worker: Worker, method: str, *arguments: object, group: str = "work") -> Any:
    """As `answer`, with failures that say in which stage and worker they happened.

    A stream would tell of each item as it comes, at 2 ms of the driver's processor each; this is 2 ms in all.

    Raises:
        SegmentError: what the worker raised, or that it was lost.
    """
    remote = worker.handle.call if group == "work" else worker.handle.control
    try:
        return await remote.options(concurrency_group=group).remote(method, *arguments)
    except _FAILURES as error:
        raise told(error, worker) from None


def _wait(generator: Any, worker: Worker, stopped: Callable[[], bool]) -> None:
    deadline = time.monotonic() + IDLE_SECONDS
    while not ray.wait([generator], timeout=_LOOK_SECONDS, fetch_local=False)[0]:
        if stopped():
            raise Stopped
        if time.monotonic() > deadline:
            message = f"{worker.stage} worker {worker.name} gave nothing for {IDLE_SECONDS:.0f} s"
            raise SegmentError(message, worker.stage, worker.name, WorkerLost.__name__)


def _cancel(generator: Any) -> None:
    try:
        ray.cancel(generator)
    except Exception:  # Its worker or the whole of Ray is gone: there is nothing left to cancel.
        return


def call(worker: Worker, method: str, *arguments: object, stopped: Callable[[], bool] = lambda: False) -> Any:
    """The answer of a `work` call.

    Raises:
        ReelyardError: what the worker raised; WorkerLost where it went away.
        Stopped: `stopped` came true while waiting.
    """
    reference = worker.handle.call.options(concurrency_group="work").remote(method, *arguments)
    return _answer(reference, worker, stopped)


def control(worker: Worker, method: str, *arguments: object, timeout_seconds: float = RESTART_SECONDS) -> Any:
    """The answer of a call that is served while all work calls are busy.

    Raises:
        ReelyardError: as `call`; WorkerLost also where no answer came in time.
    """
    reference = worker.handle.control.options(concurrency_group="ctl").remote(method, *arguments)
    try:
        return ray.get(reference, timeout=timeout_seconds)
    except ray.exceptions.GetTimeoutError:
        raise WorkerLost(f"{worker.stage} worker {worker.name} gave no sign for {timeout_seconds:.0f} s") from None
    except (*_LOST, ray.exceptions.RayTaskError) as error:
        raise _unplaced(told(error, worker)) from None


def notify(worker: Worker, method: str, *arguments: object) -> None:
    """As `control`, without waiting for an answer."""
    worker.handle.control.options(concurrency_group="ctl").remote(method, *arguments)


def _answer(reference: Any, worker: Worker, stopped: Callable[[], bool]) -> Any:
    try:
        while not ray.wait([reference], timeout=_LOOK_SECONDS)[0]:
            if stopped():
                raise Stopped
        return ray.get(reference)
    except _FAILURES as error:
        raise _unplaced(told(error, worker)) from None


def told(error: Exception, worker: Worker) -> SegmentError:
    """A failure that came out of Ray, in our words.

    An actor's death inside another's call is both a RayTaskError and a RayActorError: what was
    raised by our own code is looked for first, then the loss of a worker.
    """
    cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else None
    if isinstance(cause, SegmentError):
        return cause
    if isinstance(cause, ReelyardError):
        return SegmentError(cause.message, worker.stage, worker.name, type(cause).__name__)
    if isinstance(error, ray.exceptions.ActorDiedError) and "error raised in its creation task" in str(error):
        return SegmentError(_failed_start(worker, error), worker.stage, worker.name, JobError.__name__)
    if isinstance(error, _LOST) or isinstance(cause, _LOST):
        reason = str(error).strip().splitlines()[0][:200]
        message = f"{worker.stage} worker {worker.name} was lost ({type(error).__name__}: {reason})"
        return SegmentError(message, worker.stage, worker.name, WorkerLost.__name__)
    if isinstance(cause, Stopped) or isinstance(error, ray.exceptions.TaskCancelledError):
        return SegmentError("stopped", worker.stage, worker.name, Stopped.__name__)
    found = cause or error
    message = f"{worker.stage} failed: {type(found).__name__}: {found}"
    return SegmentError(message, worker.stage, worker.name, "bug")


def _failed_start(worker: Worker, error: Exception) -> str:
    told_lines = [line.strip() for line in str(error).splitlines() if "Error:" in line]
    reason = told_lines[-1] if told_lines else str(error)
    return (
        f"{worker.stage} worker {worker.name} did not start: {reason}; every node needs the same reelyard as the driver"
    )


def _unplaced(error: SegmentError) -> ReelyardError:
    """The error of its own class where a call was no part of a segment."""
    from tasks import errors

    kind = getattr(errors, error.kind, None)
    if isinstance(kind, type) and issubclass(kind, ReelyardError) and kind is not SegmentError:
        return kind(error.message)
    return error


def kill(worker: Worker, *, restart: bool = False) -> None:
    """End the worker's process: for good, or so that Ray starts it anew."""
    try:
        ray.kill(worker.handle, no_restart=not restart)
    except Exception:  # Already gone with its node or with Ray.
        return
