"""Frames of all attempts, asked for once a cell, and attempts that give no sign of life."""

import asyncio
from collections.abc import Callable, Collection

from cluster import transport
from cluster.fleet.attempt import RunningAttempt
from cluster.fleet.standing import StandingCell
from cluster.fleet.values import RenderWork
from tasks.errors import ReelyardError

#: How often a cell is asked for its frames: until the first frame of the run, then, and at the longest.
_FIRST_SECONDS, _ASK_SECONDS, _MOST_SECONDS = 0.1, 0.5, 20.0
#: How often it is looked which cells are to be asked.
_TURN_SECONDS = 2.5
#: Of the time since the first frame, that passes before a cell is asked again: the bar of a long run moves slowly.
_ASK_SHARE = 0.2
#: An encoder that leaves a question unanswered for so long is stuck, whatever its stream waits for.
SILENT_SECONDS = 90.0
#: Calls a second, whatever the number of cells, before the first frame and after it, each of which costs the driver
#: about a millisecond: parts tell of frames for nothing; and at most, where cells are so many that each would wait too
#: long to be known to live.
_FIRST_ASKS_PER_SECOND, _ASKS_PER_SECOND, _MOST_ASKS_PER_SECOND = 20, 0.5, 100


async def watch_progress(attempts: Callable[[], Collection[RunningAttempt]], idle_seconds: float) -> None:
    """Runs until it is cancelled; an attempt without a frame or result for `idle_seconds` hangs."""
    asking: set[str] = set()
    asked: dict[str, float] = {}
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
        pause = _pause(None if first is None else clock() - first, len(cells))
        await asyncio.sleep(min(pause, _TURN_SECONDS))
        for cell, running in cells:
            if cell.name not in asking and clock() - max(asked.get(cell.name, 0.0), _silent_since(running)) >= pause:
                asking.add(cell.name)
                asked[cell.name] = clock()
                task = asyncio.create_task(ask(cell, running))
                beside.add(task)
                task.add_done_callback(beside.discard)
        _end_idle(attempts(), idle_seconds)


def _pause(age: float | None, cells: int) -> float:
    """Seconds between two questions to a cell, `age` seconds after the first frame of the run if there was one."""
    if age is None:
        return max(_FIRST_SECONDS, cells / _FIRST_ASKS_PER_SECOND)
    usual = max(_ASK_SECONDS, _ASK_SHARE * age, (cells - 1) / _ASKS_PER_SECOND)
    return max(min(_MOST_SECONDS, usual), cells / _MOST_ASKS_PER_SECOND)


def _silent_since(running: list[RunningAttempt]) -> float:
    """When the one that was silent longest gave its last sign: parts tell of frames too, and cost no question."""
    return min(attempt.last_sign for attempt in running)


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
