"""Reads what a fleet tells, and looks at what Ray still holds."""

import time
from collections.abc import Callable

import ray

from cluster.fleet.ray_fleet import RayFleet
from cluster.fleet.values import CellDown, CellUp, Ended, Passed, RenderWork, ScanWork, Told, Yielded
from cluster.scheduling.values import Attempt, Cell, Unit
from pipeline.part import Part

#: Far more than anything here takes, on a machine with much else to do.
LONG_SECONDS = 180.0


class Listener:
    """Reads what a fleet tells, and numbers attempts."""

    def __init__(self, fleet: RayFleet) -> None:
        self.fleet = fleet
        self.heard: list[Told] = []
        self.cells: dict[str, Cell] = {}
        self._attempts = 0

    def until(self, wanted: Callable[[Told], bool], seconds: float = LONG_SECONDS) -> Told:
        """The first thing told from now on that is wanted."""
        deadline = time.monotonic() + seconds
        while True:
            told = self.fleet.told.get(timeout=max(0.01, deadline - time.monotonic()))
            self.heard.append(told)
            if isinstance(told, CellUp):
                self.cells[told.cell.name] = told.cell
            if isinstance(told, CellDown):
                del self.cells[told.cell]
            if wanted(told):
                return told

    def up(self, count: int) -> list[str]:
        """Names of the cells once so many are up."""
        while len(self.cells) < count:
            self.until(lambda told: isinstance(told, CellUp))
        return list(self.cells)

    def start(self, cell: str, work: RenderWork | ScanWork, *, on_cpu: bool = False) -> int:
        self._attempts += 1
        unit = Unit("a video", "scan" if isinstance(work, ScanWork) else "render", 0, 10, 1.0)
        self.fleet.start(Attempt(self._attempts, cell, (unit,), on_cpu=on_cpu), work)
        return self._attempts

    def ended(self, attempt: int) -> Ended:
        for told in self.heard:
            if isinstance(told, Ended) and told.attempt == attempt:
                return told
        told = self.until(lambda told: isinstance(told, Ended) and told.attempt == attempt)
        assert isinstance(told, Ended)
        return told

    def parts(self, *attempts: int) -> list[Part]:
        return [
            result
            for told in self.heard
            if isinstance(told, Yielded) and told.attempt in attempts
            for result in told.results
            if isinstance(result, Part)
        ]

    def frames(self, attempt: int) -> int:
        return sum(told.frames for told in self.heard if isinstance(told, Passed) and told.attempt == attempt)


def alive_actors() -> list[str]:
    """Ids of actors that are not dead."""
    actors = ray._private.state.actors()
    return [name for name, actor in actors.items() if actor["State"] != "DEAD"]


def placement_groups() -> list[str]:
    """Ids of groups that are held or waited for."""
    groups = ray.util.placement_group_table()
    return [name for name, group in groups.items() if group["state"] != "REMOVED"]
