"""Which models are used in what order: recorded from the chains that cells run; and the fewest loads they need."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from tasks.chain import Chain
from tasks.device_batch import DeviceBatch
from tasks.identity import IdentityTask
from tasks.picture import FrameBatch
from tasks.table import task_spec
from tasks.task import TaskInputs
from tests.tasks.pictures import picture_format, random_batch

#: Megabytes, in the proportions of the real ones: generator, landmarks, restorer, compact, dense, detector.
SIZES = {"lips": 36, "marks": 1, "faces": 86, "compact": 3, "dense": 17, "boxes": 22}


class Noted(IdentityTask):
    """A task that notes the models it uses."""

    def __init__(self, models: Sequence[str], notes: list[str]) -> None:
        super().__init__(task_spec("identity", {}))
        self.uses, self.notes = models, notes

    def render(self, batch: DeviceBatch, inputs: TaskInputs) -> DeviceBatch:
        self.notes += self.uses
        return batch


def recorded(jobs: Sequence[Sequence[Sequence[str]]], batches: int, segments: int) -> list[str]:
    """Uses when a cell renders segments of these jobs' chains in turn, each of so many batches."""
    notes: list[str] = []
    batch: FrameBatch = random_batch(picture_format())
    empty = TaskInputs(0, len(batch), {}, {})
    chains = [Chain([Noted(models, notes) for models in job], "cpu") for job in jobs]
    for segment in range(segments):
        chain = chains[segment % len(chains)]
        for _ in range(batches):
            chain.render(batch, [empty] * len(chain.tasks))
    return notes


LIPS, FACES, BIG, SMALL = ["boxes", "marks", "lips"], ["marks", "faces"], ["dense"], ["compact"]
TRACES = {
    "one chain of three": recorded([[LIPS, FACES, BIG]], 8, 4),
    "two videos in turn": recorded([[LIPS, SMALL], [FACES, BIG]], 6, 6),
    "three videos in turn": recorded([[LIPS], [FACES, SMALL], [BIG]], 5, 9),
    "one model at a time": recorded([[BIG], [SMALL]], 10, 6),
    "in no order": [str(name) for name in np.random.default_rng(5).choice(sorted(SIZES), 150)],
}


def fewest_loads(trace: Sequence[str], sizes: Mapping[str, int], budget: int) -> int:
    """The optimum for models of any sizes: every holding that fits is tried, use by use."""
    fitting = [
        frozenset(some)
        for count in range(len(sizes) + 1)
        for some in combinations(sorted(sizes), count)
        if sum(sizes[name] for name in some) <= budget
    ]
    costs = {frozenset[str](): 0}
    for name in trace:
        after: dict[frozenset[str], int] = {}
        for held, cost in costs.items():
            if name in held:
                after[held] = min(after.get(held, cost), cost)
                continue
            for kept in fitting:
                if name in kept and kept - {name} <= held:
                    after[kept] = min(after.get(kept, cost + 1), cost + 1)
        costs = after
    return min(costs.values())
