"""`reelyard doctor --vram`: a job's arithmetic before any of it is rendered."""

import json
import re
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cluster.cli import app
from tasks.residency import residents
from tests.sources import HEIGHT, WIDTH, Sources
from tests.tasks.upscale.test_task import small_network


@pytest.fixture
def folder(tmp_path: Path, sources: Sources, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.mp4").symlink_to(sources.path("closed mp4"))
    for seed in (1, 2):
        small_network(tmp_path, "compact2", seed)
    residents._open.clear()
    return tmp_path


def job(folder: Path, *tasks: str, name: str = "job") -> str:
    document = {"source": "in.mp4", "output": f"{name}.mkv", "tasks": list(tasks)}
    (folder / f"{name}.json").write_text(json.dumps(document))
    return f"{name}.json"


def doctor(*words: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *words])


def test_the_arithmetic_of_a_chain_on_room_for_one_and_a_half_networks(folder: Path) -> None:
    one, other = (f"upscale:model={folder}/compact2-{seed}.safetensors" for seed in (1, 2))
    told = doctor("--vram", job(folder, one, other), "--vram-bytes", "15000")
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    assert lines[0].startswith("device c")
    assert f"of {WIDTH}x{HEIGHT}: " in lines[1] and f"of {2 * WIDTH}x{2 * HEIGHT}: " in lines[2]
    assert "besides the network" in lines[1] and lines[3] == "15,000 bytes for models, as asked for"
    uses = [line for line in lines if re.match(r"\d+\. ", line)]
    assert [(" comes" in line, " leave" in line) for line in uses] == [(True, False), (True, True)] + 2 * [(True, True)]
    assert not residents.residents_on("cpu").pool.sizes, "nothing stays loaded"


def test_jobs_that_share_a_device_share_the_budget(folder: Path) -> None:
    jobs = [job(folder, "upscale", name=name) for name in ("first", "second")]
    told = doctor("--vram", jobs[0], "--vram", jobs[1], "--json")
    assert told.exit_code == 0, told.output
    lines = json.loads(told.stdout)["lines"]
    budget = next(line for line in lines if "for models" in line)
    assert "free × 1.00 share × 0.95 −" in budget
    assert [line.split("; ")[0] for line in lines[-5:-1]] == [
        "1. embedded comes",
        *(f"{use}. embedded is there" for use in (2, 3, 4)),
    ]


def test_the_arithmetic_of_a_cell_that_has_a_share_of_a_gpu(folder: Path) -> None:
    told = doctor("--vram", job(folder, "upscale"), "--gpus-per-cell", "0.25")
    assert told.exit_code == 0, told.output
    assert "free × 0.25 share × 0.95 −" in told.stdout
    assert "GB of host memory for networks, on the device or not: which holds all of these" in told.stdout
    refused = doctor("--vram", job(folder, "upscale"), "--gpus-per-cell", "4")
    assert refused.exit_code == 2 and "--gpus-per-cell 4: expected 0.05 to 1" in refused.output


def test_a_job_without_networks_says_so(folder: Path) -> None:
    told = doctor("--vram", job(folder, "rehearsal"))
    assert told.exit_code == 0, told.output
    assert "task rehearsal keeps no network in the pool" in told.stdout and "nothing to evict" in told.stdout


def test_a_job_that_is_not_there_is_refused(folder: Path) -> None:
    told = doctor("--vram", "none.json")
    assert told.exit_code in (1, 2) and "none.json" in told.output
