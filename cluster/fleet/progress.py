"""Frames of all attempts, asked for once a cell, and attempts that give no sign of life."""

import asyncio
from collections.abc import Callable, Collection

from cluster import transport
from cluster.fleet.attempt import RunningAttempt
from cluster.fleet.standing import StandingCell
from cluster.fleet.values import RenderWork
from tasks.errors import ReelyardError

#: How often a cell is asked for its frames: until the first frame of the run, then, and at the longest.
_FIRST_SECONDS, _ASK_SECONDS, _MOST_SECONDS = 0.1, 0.5, 10.0
#: Of the time since the first frame, that passes before a cell is asked again: the bar of a long run moves slowly.
_ASK_SHARE = 0.2
#: An encoder that leaves a question unanswered for so long is stuck, whatever its stream waits for.
SILENT_SECONDS = 90.0
#: Calls a second at most, whatever the number of cells: each costs the driver about half a millisecond.
_ASKS_PER_SECOND = 100


async def watch_progress(attempts: Callable[[], Collection[RunningAttempt]], idle_seconds: float) -> None:
    """Runs until it is cancelled; an attempt without a frame or result for `idle_seconds` hangs."""
    asking: set[str] = set()
    clock = asyncio.get_running_loop().time
    first: float | None = None

    async def ask(cell: StandingCell, running: list[RunningAttempt]) -> None:
        nonlocal first
        try:
            passed = await asyncio.wait_for(transport.answer(cell.encode, "passed", group="ctl"), SILENT_SECONDS)
        except TimeoutError:
            for attempt in running:
                attempt.hang(f"encode worker {cell.encode.name} gave no sign for {SILENT_SECONDS:.0f} s")
        except ReelyardError:  # Its attempts are told by their own streams.
            pass
        else:
            for attempt in running:
                attempt.pass_frames(passed.get(attempt.attempt.number, 0))
            if first is None and any(passed.values()):
                first = clock()
        finally:
            asking.discard(cell.name)

    beside: set[asyncio.Task[None]] = set()
    while True:
        cells = _rendering(attempts())
        await asyncio.sleep(_FIRST_SECONDS if first is None else _pause(clock() - first, len(cells)))
        for cell, running in cells:
            if cell.name not in asking:
                asking.add(cell.name)
                task = asyncio.create_task(ask(cell, running))
                beside.add(task)
                task.add_done_callback(beside.discard)
        _end_idle(attempts(), idle_seconds)


def _pause(age: float, cells: int) -> float:
    """Seconds between two questions to a cell, `age` seconds after the first frame of the run."""
    return max(min(_MOST_SECONDS, max(_ASK_SECONDS, _ASK_SHARE * age)), cells / _ASKS_PER_SECOND)


def _rendering(attempts: Collection[RunningAttempt]) -> list[tuple[StandingCell, list[RunningAttempt]]]:
    """Cells whose encoders are at work, with their attempts."""
    found: dict[str, tuple[StandingCell, list[RunningAttempt]]] = {}
    for attempt in attempts:
        if isinstance(attempt.work, RenderWork) and attempt.root is not None:
            found.setdefault(attempt.cell.name, (attempt.cell, []))[1].append(attempt)
    return list(found.values())


def _end_idle(attempts: Collection[RunningAttempt], idle_seconds: float) -> None:
    now = asyncio.get_running_loop().time()
    for attempt in list(attempts):
        if attempt.root is not None and now - attempt.last_sign > idle_seconds:
            attempt.hang(f"{attempt.root.stage} worker {attempt.root.name} gave nothing for {idle_seconds:.0f} s")
