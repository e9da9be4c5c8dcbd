"""`reelyard plan --gpus`: words, documents, exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli import app
from tests.cluster.conftest import write_numbered


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    write_numbered(tmp_path / "a.mp4")
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    lines = [{"source": "a.mp4", "output": "out/a.mp4"}, {"source": "broken.mp4", "output": "out/b.mp4"}]
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_plan_on_gpus_tells_finish_idle_and_cost(manifest: Path) -> None:
    told = CliRunner().invoke(
        app, ["plan", "--gpus", "4", "--gpu-kind", "l4", "--price-per-gpu-hour", "0.8", str(manifest)]
    )
    assert told.exit_code == 3, told.output
    lines = told.stdout.splitlines()
    assert any(line.startswith("refused: ") and "broken.mp4" in line for line in lines)
    assert any("on 4 × l4, once they are up" in line for line in lines)
    assert any("GPU-hours" in line and "at 0.8 an hour" in line for line in lines)
    assert any("priors" in line for line in lines)


def test_the_same_as_json(manifest: Path) -> None:
    told = CliRunner().invoke(app, ["plan", "--gpus", "2", "--json", str(manifest)])
    document = json.loads(told.stdout)
    assert document["counts"] == {"render": 1, "refused": 1}
    assert document["frames"] == 100
    assert 0 < document["makespan_seconds"] < 60
    assert document["cost"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpu-kind", "l4", "x.mp4"], "--gpu-kind l4: of how many GPUs? Add --gpus N"),
        (["--price-per-gpu-hour", "1", "x.mp4"], "of how many GPUs?"),
        (["--gpus", "2"], "found no manifest; name one"),
        (["--gpus", "2", "--like", "REPORT", "MANIFEST"], "expected the report.json of a batch"),
    ],
)
def test_what_is_missing_is_said(manifest: Path, arguments: list[str], words: str) -> None:
    report = manifest.with_name("report.json")
    report.write_text("no json")
    given = [{"REPORT": str(report), "MANIFEST": str(manifest)}.get(argument, argument) for argument in arguments]
    told = CliRunner().invoke(app, ["plan", *given])
    assert told.exit_code == 2
    assert words in told.output
