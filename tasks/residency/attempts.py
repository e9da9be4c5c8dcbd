"""Renders that shrink until the device holds them: the pool and the ladder together; knows no torch.

How much is used at once is `ladder`'s choice; here stands who tries, who steps, and what was recorded.
"""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from tasks.errors import OutOfVram
from tasks.residency.ladder import Ladder, Setting, Step, after_shortage, after_success
from tasks.residency.pool import Pool

Result = TypeVar("Result")


class Attempts:
    """Where each model stands on the ladder, and every step taken; one for each pool, shared by its threads."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._ladders: dict[str, Ladder] = {}
        self.steps: list[tuple[str, Step]] = []
        "What gave way, in order, with the key of what was rendered."

    def render(
        self,
        key: str,
        names: Sequence[str],
        work: Callable[[Setting], Result],
        *,
        batch_frames: int,
        tile_sides: tuple[int, ...] = (),
    ) -> Result:
        """What `work` gives under the largest setting that the device allows; no frame is given up.

        `key` names the model and the resolution; `work` is done again after each step down, so it must
        change nothing before it returns.

        Raises:
            OutOfVram: it fails at the smallest setting: for another device.
        """
        start = Ladder.start(Setting(self._pool.wanted_bytes, batch_frames), tile_sides)
        while True:
            ladder = self._standing(key, start)
            try:
                with self._pool.use(*names):
                    self._pool.prefetch()
                    result = work(ladder.now)
            except OutOfVram as error:
                if not self._shrink(key, ladder, names, error.message):
                    raise
            else:
                self._prove(key, ladder)
                return result

    def _standing(self, key: str, start: Ladder) -> Ladder:
        with self._lock:
            return self._with_budget(self._ladders.get(key, start), self._pool.holding.budget_bytes)

    def _shrink(self, key: str, tried: Ladder, names: Sequence[str], reason: str) -> bool:
        """A step down, unless another thread took it meanwhile; false where nothing smaller is left."""
        with self._lock:
            if self._moved_on(key, tried) or self._pool.holding.budget_bytes < tried.now.budget_bytes:
                return True
            least_bytes = self._pool.least_bytes(names)
            ladder, step = after_shortage(tried, least_bytes=least_bytes, reason=reason)
            self._take(key, ladder, step)
            return step.kind != "elsewhere"

    def _prove(self, key: str, tried: Ladder) -> None:
        with self._lock:
            if not self._moved_on(key, tried):
                standing = self._with_budget(self._ladders.get(key, tried), tried.now.budget_bytes)
                self._take(key, *after_success(standing))

    def _with_budget(self, ladder: Ladder, budget_bytes: int) -> Ladder:
        return ladder.with_budget(min(budget_bytes, self._pool.wanted_bytes), self._pool.wanted_bytes)

    def _moved_on(self, key: str, tried: Ladder) -> bool:
        now = self._ladders.get(key, tried).now
        return (now.batch_frames, now.tile_side) != (tried.now.batch_frames, tried.now.tile_side)

    def _take(self, key: str, ladder: Ladder, step: Step | None) -> None:
        self._ladders[key] = ladder
        if step is None:
            return
        self.steps.append((key, step))
        if step.before.budget_bytes != step.after.budget_bytes:
            self._pool.limit(step.after.budget_bytes)
