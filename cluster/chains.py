"""The chains of tasks that a worker keeps loaded, on its share of a device."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import av.logging

from cluster.gpus.sharing import CardShare
from pipeline.storage import Storage
from tasks.task import TaskSpec

if TYPE_CHECKING:
    from tasks.chain import Chain


class Chains:
    """The chains of tasks that are loaded: those in use, and the last that was."""

    def __init__(self, storage: Storage, share: CardShare) -> None:
        self._storage, self._share = storage, share
        self._changing = threading.Lock()
        self._loaded: dict[tuple[object, ...], Chain] = {}
        self._users: Counter[tuple[object, ...]] = Counter()

    @contextmanager
    def held(self, specs: tuple[TaskSpec, ...], device: str, built: str = "") -> Iterator["Chain"]:
        """The chain, loaded, and so for the time of the block; chains that nobody uses make room for it.

        `built`: where its nodes keep what they build for each other.
        """
        wanted = (specs, device)
        with self._changing:
            chain = self._loaded.get(wanted) or self._load(wanted, specs, device, built)
            self._users[wanted] += 1
        try:
            yield chain
        finally:
            with self._changing:
                self._users[wanted] -= 1

    def _load(self, wanted: tuple[object, ...], specs: tuple[TaskSpec, ...], device: str, built: str) -> "Chain":
        from pipeline.built import BuiltFiles
        from pipeline.weights import open_here
        from tasks.chain import Chain

        for idle in [loaded for loaded in self._loaded if not self._users[loaded]]:
            self._loaded.pop(idle).release()
        one_thread_each()
        self._share.settle(device)
        tasks = [open_here(self._storage, spec) for spec in specs]
        chain = Chain(tasks, device, BuiltFiles(self._storage, built))
        chain.load()
        self._loaded[wanted] = chain
        av.logging.set_level(None)
        return chain


def one_thread_each() -> None:
    """Cores are shared out by processes, and one thread makes the same sums everywhere."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
