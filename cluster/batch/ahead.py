"""Items are looked at ahead of their turns: what an earlier run made is recalled, all else is planned once."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from cluster.batch.admission import Admission, Turn
from cluster.batch.journeys import Journey, Means
from cluster.manifest.values import Item
from pipeline.look import Look
from pipeline.receipts import recalled
from pipeline.stages import Stopped
from pipeline.steps import look_at
from tasks.errors import ReelyardError, StorageError, WorkerLost

T = TypeVar("T")

log = logging.getLogger("reelyard")

#: Looks made side by side; each is a call to a worker outside the cells.
_LOOKS = 8
#: Outputs of an earlier run that one such call recalls.
_RECALLED_AT_ONCE = 32
#: How long the first look waits for such calls: what is recalled later was looked at meanwhile.
_RECALL_SECONDS = 60.0
#: Of an item that was refused at its first look.
_NOTHING = Look(0, 0.0, 0.0, 0)


class LookAhead:
    """Looks at the items of an admission, which `turns` guards and tells of changes."""

    def __init__(self, means: Means, admission: Admission, turns: threading.Condition) -> None:
        self._means = means
        self._admission = admission
        self._turns = turns
        self._made = iter(_groups(admission.seem_done))
        self._looks = (item for item in admission.in_order if not admission.knows(item))
        self._all_recalled = threading.Barrier(_LOOKS)
        self._stop = threading.Event()

    def begin(self) -> list[threading.Thread]:
        """Look, in threads of their own, which end when all was looked at."""
        threads = [threading.Thread(target=self._look_ahead, daemon=True, name="look") for _ in range(_LOOKS)]
        for thread in threads:
            thread.start()
        return threads

    def stop(self) -> None:
        """Look at nothing more."""
        self._stop.set()
        self._all_recalled.abort()

    def _look_ahead(self) -> None:
        while (group := self._next_of(self._made)) is not None:
            self._recall(group)
        with contextlib.suppress(threading.BrokenBarrierError):
            self._all_recalled.wait(timeout=_RECALL_SECONDS)
        while (item := self._next_of(self._looks)) is not None:
            self._look(item)

    def _next_of(self, ahead: Iterator[T]) -> T | None:
        with self._turns:
            return None if self._stop.is_set() else next(ahead, None)

    def _recall(self, group: Sequence[Item]) -> None:
        """Items whose outputs an earlier run made are done; those of whom that is not sure are looked at later."""
        try:
            looks, _ = self._means.fleet.do(recalled, [item.job for item in group], stopped=self._stop.is_set)
        except Stopped:
            return
        except ReelyardError as error:
            log.warning("%d outputs are looked at one by one: %s", len(group), error.message)
            return
        for item, look in zip(group, looks, strict=True):
            if look is not None and not self._admission.knows(item):
                self._already_done(item, look)

    def _look(self, item: Item) -> None:
        try:
            look, _ = self._means.fleet.do(look_at, item.job, stopped=self._stop.is_set)
        except Stopped:
            return
        except (StorageError, WorkerLost) as error:
            log.warning("%s: looked at in vain, its journey will try again: %s", item.name, error.message)
            look = _NOTHING
        except Exception as error:
            known = error if isinstance(error, ReelyardError) else ReelyardError(f"{type(error).__name__}: {error}")
            Journey(self._means, Turn(item, _NOTHING)).failed(known)
            self._settle(lambda: self._admission.refused(item))
            return
        if look.done:
            self._already_done(item, look)
        else:
            self._settle(lambda: self._admission.looked(item, look))

    def _already_done(self, item: Item, look: Look) -> None:
        Journey(self._means, Turn(item, look)).tell("already done", frames=look.frames, segments=look.segments)
        self._settle(lambda: self._admission.recalled(item, look))

    def _settle(self, change: Callable[[], None]) -> None:
        with self._turns:
            change()
            self._turns.notify_all()


def _groups(items: Sequence[Item]) -> list[Sequence[Item]]:
    return [items[i : i + _RECALLED_AT_ONCE] for i in range(0, len(items), _RECALLED_AT_ONCE)]
