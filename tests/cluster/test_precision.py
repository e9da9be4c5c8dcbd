"""One precision for a whole output, though nodes differ: settled once, rounded to where it is lacking, and told."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cluster.fleet.census import Census
from cluster.messages import FoundDevice
from pipeline.engine import InProcessPool
from pipeline.job import EncodeRequest, RenderJob
from pipeline.keys import digest_of
from pipeline.part import Part
from pipeline.pool import Decision
from pipeline.render import render
from pipeline.storage import Storage
from tasks.nets.srvgg_net import SRVGGNet
from tasks.residency import residents
from tasks.runtime import machine as machines
from tasks.runtime.choice import Machine
from tasks.table import computed_like, parse_task
from tasks.task import TaskSpec
from tests.pipeline.test_journey import frames_of
from tests.sources import Sources

NEW = Machine("cpu", "the new node's processor", ("bf16",))
OLD = Machine("cpu", "the old node's processor")


@pytest.fixture(autouse=True)
def _own_residents() -> object:
    residents._open.clear()
    yield
    residents._open.clear()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("w") / "small.safetensors"
    state = {key: tensor.contiguous() for key, tensor in SRVGGNet(2, 2, 8).state_dict().items()}
    save_file(state, path)
    return path


class Mixed(InProcessPool):
    """Nodes by turns: each lease is rendered by a process whose machine is the next one's."""

    offered: tuple[Machine, ...] = ()
    like: Machine | None = None

    @property
    def machine(self) -> Machine:
        return self.like or self.offered[0]

    def render(self, index, specs, leases):  # type: ignore[no-untyped-def]
        for number, lease in enumerate(leases):
            here = self.offered[number % len(self.offered)]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(machines, "_half_of_processor", lambda here=here: here.half)
                residents._open.clear()
                yield from super().render(index, specs, [lease])


def _rendered(
    source: Path, folder: Path, task: str, offered: tuple[Machine, ...], like: Machine | None = None
) -> tuple[list[str], dict[str, int], list[Part]]:
    """(frames, what was counted, parts)"""
    folder.mkdir()
    job = RenderJob(
        str(source), str(folder / "out.mkv"), (parse_task(task),), trim=(None, Fraction(16, 25)), segment_seconds=0.2,
        encode=EncodeRequest("ffv1"),
    )  # fmt: skip
    pool = Mixed(Storage(), "cpu", folder, lambda stage, frames: None)
    pool.offered, pool.like = offered, like
    report = render(job, pool, Storage(), lambda stage, frames: None)
    counts = {name: n for name, n in report.counts.items() if name.startswith("frames enlarged")}
    return frames_of(folder / "out.mkv"), counts, list(report.parts)


def test_an_output_of_different_nodes_has_one_precision(sources: Sources, tmp_path: Path, weights: Path) -> None:
    """The first node computes bf16, the second does not: it rounds, so that no segment is drawn in fp32."""
    source, task = sources.path("closed mp4"), f"upscale:model={weights}"
    mixed, counts, parts = _rendered(source, tmp_path / "mixed", task, (NEW, OLD))
    assert len(parts) > 2
    assert all(" at bf16 (" in name for name in counts), counts
    assert sum(counts.values()) == 16
    rounding = [n for name, n in counts.items() if "rounds to bf16 in software" in name]
    assert len(rounding) == 1 and 0 < rounding[0] < 16, "told with the frames that it concerns"
    exact, exact_counts, _ = _rendered(source, tmp_path / "exact", task, (OLD,))
    assert all(" at fp32 (" in name for name in exact_counts)
    for part in parts:
        assert mixed[part.start : part.end] != exact[part.start : part.end], "no segment of the mixed run is of fp32"


def test_one_segment_and_many_are_the_same_where_all_nodes_round(
    sources: Sources, tmp_path: Path, weights: Path
) -> None:
    source, task = sources.path("closed mp4"), f"upscale:model={weights}"
    many, counts, parts = _rendered(source, tmp_path / "many", task, (OLD, OLD), like=NEW)
    residents._open.clear()
    assert len(counts) == 1 and len(parts) > 2
    folder = tmp_path / "one"
    folder.mkdir()
    job = RenderJob(
        str(source), str(folder / "out.mkv"), (parse_task(task),), trim=(None, Fraction(16, 25)), segment_seconds=60.0,
        encode=EncodeRequest("ffv1"),
    )  # fmt: skip
    pool = Mixed(Storage(), "cpu", folder, lambda stage, frames: None)
    pool.offered, pool.like = (OLD,), NEW
    report = render(job, pool, Storage(), lambda stage, frames: None)
    assert len(report.parts) == 1
    assert frames_of(folder / "out.mkv") == many


def test_parts_of_another_precision_are_others_and_of_no_choice_the_same(weights: Path) -> None:
    chosen, shipped = parse_task(f"upscale:model={weights}"), parse_task("upscale")

    def keys(machine: Machine) -> list[str]:
        return [digest_of(spec) for spec in computed_like((chosen, shipped), lambda: machine)]

    assert keys(NEW)[0] != keys(OLD)[0] and keys(NEW)[1] == keys(OLD)[1]
    assert keys(OLD)[0] == keys(replace(OLD, name="by another name", no_compiler="none"))[0]


def test_a_machine_is_asked_for_only_where_there_is_a_choice(weights: Path) -> None:
    def never() -> Machine:
        raise AssertionError("imports torch into the driver")

    plain = tuple(parse_task(task) for task in ("upscale", "lip-sync", "identity"))
    assert computed_like((*plain, TaskSpec("label", (("text", "a"),))), never) == (
        *plain,
        TaskSpec("label", (("text", "a"),)),
    )
    for task in ("upscale:runtime=eager", f"upscale:model={weights}", "lip-sync:model=wav2lip"):
        (found,) = computed_like((parse_task(task),), lambda: NEW)
        assert found.machine == NEW


class _Cell:
    """What settling sees of a cell."""

    def __init__(self, name: str) -> None:
        self.name, self.gone, self.up, self.device = name, False, False, ""
        self.plan = self

    def cell(self, found: FoundDevice) -> str:
        return self.name


def test_the_precision_is_settled_by_those_that_answered_and_others_are_told() -> None:
    """Three nodes: two before it was settled, of which one lacks bf16, and a third that comes later."""
    decided: list[Decision] = []
    census = Census.__new__(Census)
    census.__dict__.update(
        settled=__import__("concurrent.futures").futures.Future(), machine=OLD, _answers=[], _gpu=False,
        _unanswered=set(), _bare_since=None, _decide=decided.append, _tell=lambda told: None,
    )  # fmt: skip
    card = Machine("cuda", "L4", ("fp16", "bf16"))
    found = [FoundDevice("cuda:0", "works", 24, one) for one in (card, replace(card, name="T4", half=("fp16",)))]
    census._answers = [(_Cell(name), one) for name, one in zip(("cell-0", "cell-1"), found, strict=True)]  # type: ignore[misc]
    census._settle(patient=False)
    assert census.machine.half == ("fp16",) and census.settled.result() == "cuda-fp32"
    assert [d.choice for d in decided if d.what == "precision"] == ["cell-0 leaves out bf16"]
    late = FoundDevice("cuda:0", "works", 8, replace(card, name="GTX 1080", half=()))
    census._take_in(_Cell("cell-2"), late)  # type: ignore[arg-type]
    assert decided[-1].choice == "cell-2 rounds to fp16 in software"
    assert decided[-1].reason.endswith("GTX 1080 has no such arithmetic")


def test_rounding_moves_pictures_less_than_a_code_from_hardware(weights: Path) -> None:
    """What a seam between two such nodes would be: far below one step of 8 bits."""
    from tasks.checkpoint import read
    from tasks.nets.enlarging import enlarging_network
    from tasks.runtime.choice import Way
    from tasks.runtime.run import ready

    x = torch.rand((1, 3, 32, 48), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        drawn = [
            ready(enlarging_network(read(weights), "small"), Way("eager", "bf16", "a test", hardware=hardware))(x)
            for hardware in (True, False)
        ]
    assert np.abs((drawn[0] - drawn[1]).numpy()).max() < 0.5 / 255
