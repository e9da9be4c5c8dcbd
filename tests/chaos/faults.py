"""What goes wrong, and when: one fault every few seconds, drawn from a seed."""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil

from tests.chaos.store import Door

#: Faults and how often each is drawn.
FAULTS = {"decode": 3, "render": 3, "encode": 3, "side": 1, "node": 1, "driver": 2, "store": 2}
#: How long a store that answers errors does so.
_SHUT_SECONDS = (2.0, 12.0)


class Faults:
    """Runs in a thread of its own from `start` to `stop`."""

    def __init__(self, door: Door, nodes: "Nodes", kill_driver: Callable[[], bool], every: float, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.log: list[tuple[float, str]] = []
        self._door, self._nodes, self._kill_driver, self._every = door, nodes, kill_driver, every
        self._random = random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._begun = time.monotonic()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(timeout=60)

    def _run(self) -> None:
        names, weights = list(FAULTS), list(FAULTS.values())
        while not self._over.wait(self._every * self._random.uniform(0.5, 1.5)):
            name = self._random.choices(names, weights)[0]
            if self._cause(name):
                self.done[name] += 1
                self.log.append((time.monotonic() - self._begun, name))

    def _cause(self, name: str) -> bool:
        if name == "driver":
            return self._kill_driver()
        if name == "node":
            return self._nodes.lose_one(self._random)
        if name == "store":
            self._door.shut(self._random.uniform(*_SHUT_SECONDS))
            return True
        found = workers_of(name, self._nodes.session)
        if not found:
            return False
        with contextlib.suppress(psutil.Error):
            self._random.choice(found).kill()
            return True
        return False


def workers_of(stage: str, session: str) -> list[psutil.Process]:
    """Our workers, told by the name that Ray shows (ray::Decode.stream) and the session of the raylet above them."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or [""]
        if words[0].lower().startswith(f"ray::{stage}"):
            with contextlib.suppress(psutil.Error):
                parent = process.parent()
                if parent is not None and any(session in word for word in parent.cmdline()):
                    found.append(process)
    return found


class Nodes:
    """Nodes of a cluster of one machine: one is lost now and then, another takes its place later."""

    def __init__(self, cluster: Any, session: str, add: Callable[[], Any], count: int, back_after: float) -> None:
        self.session = session
        self._cluster = cluster
        self._add = add
        self._back_after = back_after
        self._lock = threading.Lock()
        self.alive = [add() for _ in range(count)]

    def lose_one(self, random_of: random.Random) -> bool:
        with self._lock:
            if len(self.alive) < 2:
                return False
            lost = self.alive.pop(random_of.randrange(len(self.alive)))
            self._cluster.remove_node(lost, allow_graceful=False)
        threading.Timer(self._back_after, self._bring_back).start()
        return True

    def _bring_back(self) -> None:
        with self._lock, contextlib.suppress(Exception):  # The run may be over.
            self.alive.append(self._add())
