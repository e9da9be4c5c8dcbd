"""Cells that share a GPU, on a Ray whose GPU is only said to be there: they stand on one card and draw the same."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.connection import Connection
from cluster.fleet.ray_fleet import RayFleet
from cluster.fleet.values import RenderWork
from pipeline.engine import InProcessPool
from pipeline.index import SourceIndex
from pipeline.storage import Storage
from tasks.table import task_spec
from tests.cluster.conftest import leases_over, numbers_of
from tests.cluster.listener import Listener
from tests.cluster.nodes import more_nodes

_UPSCALE = (task_spec("upscale", {}),)


@pytest.fixture(scope="module")
def fleet(connection: Connection) -> Iterator[RayFleet]:
    """Cells of half a GPU each; processors stand in for it, with a budget of their free memory."""
    with more_nodes() as nodes:
        nodes.add(cpus=4, gpus=1, kind="L4")
        made = RayFleet(connection, {}, device="cpu:0", altering=True, idle_seconds=60.0, gpus_per_cell=0.5)
        yield made
        made.close()


def test_two_cells_stand_on_one_gpu_and_draw_what_one_would(
    fleet: RayFleet, index: SourceIndex, tmp_path: Path
) -> None:
    listener = Listener(fleet)
    cells = listener.up(2)
    assert {listener.cells[name].kind for name in cells} == {"l4"}
    assert len({listener.cells[name].node for name in cells}) == 1
    told = next(decision for decision in fleet.decisions if decision.what == "GPU share")
    assert told.choice == "2 cells on each GPU"
    leases = leases_over(index, tmp_path / "shared", (0, 20, 40), _UPSCALE, 4, "fail")
    attempts = [
        listener.start(cell, RenderWork(index, _UPSCALE, lease)) for cell, lease in zip(cells, leases, strict=True)
    ]
    assert [listener.ended(attempt).error for attempt in attempts] == [None, None]
    parts = [listener.parts(attempt)[0] for attempt in attempts]
    shared = [[words for words in part.counts if "is shared with other cells" in words] for part in parts]
    assert all("× 0.50 share × 0.95" in words for [words] in shared)
    whole = [words.partition("= ")[2].partition(" free")[0] for [words] in shared]
    assert whole[0] == whole[1], "both share what was free before either"
    assert list(itertools.chain(*(numbers_of(part.uri) for part in parts))) == list(range(40))
    alone = leases_over(index, tmp_path / "alone", (0, 20, 40), _UPSCALE, 4, "fail")
    pool = InProcessPool(Storage(), "cpu:0", tmp_path, lambda stage, frames: None)
    drawn = [part for lease in alone for part in pool.render(index, _UPSCALE, [lease])]
    assert [Path(part.uri).read_bytes() for part in drawn] == [Path(part.uri).read_bytes() for part in parts]
