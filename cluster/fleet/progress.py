"""How far attempts are, asked of the workers that were given them; and attempts that give no sign of life."""

import asyncio
from collections.abc import Callable, Collection

from cluster import transport
from cluster.fleet.attempt import RunningAttempt
from cluster.fleet.values import RenderWork
from cluster.messages import SoFar
from tasks.errors import ReelyardError

#: How often a worker is asked how far it is: until the first frame of the run, then, and at the longest.
_FIRST_SECONDS, _ASK_SECONDS, _MOST_SECONDS = 0.1, 0.5, 25.0
#: How often it is looked which are to be asked.
_TURN_SECONDS = 2.5
#: So many pauses may an attempt be silent beside others of its worker that end.
_BESIDE_PAUSES = 2
#: Of the time since the first frame, that passes before a worker is asked again: the bar of a long run moves slowly.
_ASK_SHARE = 0.2
#: A worker that leaves a question unanswered for so long is stuck, whatever it works on.
SILENT_SECONDS = 90.0
#: Calls a second, whatever the number of workers, each of which costs the driver about two milliseconds: before the
#: first frame of the run, after it, and when nothing waits, so that whoever is slow is found out.  And at most, where
#: workers are so many that each would wait too long to be known to live.
_FIRST_ASKS_PER_SECOND, _ASKS_PER_SECOND, _LAST_ASKS_PER_SECOND, _MOST_ASKS_PER_SECOND = 20, 0.2, 1.0, 100


async def watch_progress(
    attempts: Callable[[], Collection[RunningAttempt]], waits: Callable[[], bool], idle_seconds: float
) -> None:
    """Runs until it is cancelled; an attempt without a frame or result for `idle_seconds` hangs.

    `waits`: there is work that no attempt does yet.
    """
    questions, clock = _Questions(), asyncio.get_running_loop().time
    while True:
        roots = _roots(attempts())
        pause = _pause(None if questions.first is None else clock() - questions.first, len(roots), waits())
        await asyncio.sleep(min(pause, _TURN_SECONDS))
        for root, running in roots:
            questions.ask(root, running, pause)
        _end_idle(attempts(), idle_seconds)


class _Questions:
    """Those that are on their way, one a worker, and when each was asked last."""

    def __init__(self) -> None:
        self.first: float | None = None
        "When the first rendered frame of the run was told."
        self._asked: dict[str, float] = {}
        self._open: dict[str, asyncio.Task[None]] = {}
        self._clock = asyncio.get_running_loop().time

    def ask(self, root: transport.Worker, running: list[RunningAttempt], pause: float) -> None:
        """Ask a worker whose time has come, without waiting for its answer."""
        name, now = root.name, self._clock()
        if name in self._open or now < _next_ask(self._asked.get(name, 0.0), running, pause):
            return
        self._asked[name] = now
        self._open[name] = task = asyncio.create_task(self._answered(root, running))
        task.add_done_callback(lambda done: self._open.pop(name))

    async def _answered(self, root: transport.Worker, running: list[RunningAttempt]) -> None:
        known = {attempt.attempt.number: attempt.known for attempt in running}
        try:
            told: dict[int, SoFar] = await asyncio.wait_for(
                transport.answer(root, "so_far", known, group="ctl"), SILENT_SECONDS
            )
        except TimeoutError:
            for attempt in running:
                attempt.hang(f"{root.stage} worker {root.name} gave no sign for {SILENT_SECONDS:.0f} s")
            return
        except ReelyardError:  # Its attempts hear of it themselves.
            return
        for attempt in running:
            if (so_far := told.get(attempt.attempt.number)) is not None:
                attempt.note(so_far)
                if self.first is None and so_far.frames and isinstance(attempt.work, RenderWork):
                    self.first = self._clock()


def _pause(age: float | None, workers: int, waits: bool) -> float:
    """Seconds between two questions to a worker, `age` seconds after the first frame of the run if there was one."""
    if age is None:
        return max(_FIRST_SECONDS, workers / _FIRST_ASKS_PER_SECOND)
    often = _ASKS_PER_SECOND if waits else _LAST_ASKS_PER_SECOND
    usual = max(_ASK_SECONDS, _ASK_SHARE * age if waits else 0.0, (workers - 1) / often)
    return max(min(_MOST_SECONDS, usual), workers / _MOST_ASKS_PER_SECOND)


def _next_ask(asked: float, running: list[RunningAttempt], pause: float) -> float:
    """When to ask a worker again: leases that end tell of frames too and cost no question, but only of their own."""
    signs = [attempt.last_sign for attempt in running]
    return max(asked + pause, min(max(signs) + pause, min(signs) + _BESIDE_PAUSES * pause))


def _roots(attempts: Collection[RunningAttempt]) -> list[tuple[transport.Worker, list[RunningAttempt]]]:
    """Workers that were given attempts, with them."""
    found: dict[str, tuple[transport.Worker, list[RunningAttempt]]] = {}
    for attempt in attempts:
        if attempt.root is not None:
            found.setdefault(attempt.root.name, (attempt.root, []))[1].append(attempt)
    return list(found.values())


def _end_idle(attempts: Collection[RunningAttempt], idle_seconds: float) -> None:
    now = asyncio.get_running_loop().time()
    for attempt in list(attempts):
        if attempt.root is not None and now - attempt.last_sign > idle_seconds:
            attempt.hang(f"{attempt.root.stage} worker {attempt.root.name} gave nothing for {idle_seconds:.0f} s")
