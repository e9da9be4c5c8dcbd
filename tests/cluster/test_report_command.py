"""`reelyard report`: a report from an event log, of a run that crashed too."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli import app
from cluster.report.batch_document import prices_of
from cluster.report.event_log import EventLog
from pipeline.storage import Storage
from tasks.errors import JobError
from tests.cluster.runs import run


def _log(folder: Path, *, torn: bool = False) -> None:
    log = EventLog(Storage(), str(folder / "events" / "20261121T120000-abc"))
    for event in list(run())[: 100 if torn else None]:
        log(event)
    log.close()


def test_a_report_is_made_from_the_log_below_an_output_prefix(tmp_path: Path) -> None:
    _log(tmp_path)
    page = tmp_path / "again" / "page.html"
    made = CliRunner().invoke(app, ["report", str(tmp_path), "-o", str(page), "--price-per-gpu-hour", "2"])
    assert made.exit_code == 0, made.output
    assert "partial: 12 videos (" in made.output
    assert f"report: {page.with_suffix('.json')}, page {page}" in made.output
    assert json.loads(page.with_suffix(".json").read_text())["cost"]["cost"] > 0
    assert "10 of 12 videos" in page.read_text()


def test_a_crashed_run_is_told_as_far_as_its_log_goes(tmp_path: Path) -> None:
    _log(tmp_path, torn=True)
    made = CliRunner().invoke(app, ["report", str(tmp_path), "--json"])
    document = json.loads(made.stdout)
    assert document["run"]["status"] == "running"
    assert document["totals"]["phases"]["rendering"] > 0


def test_what_is_no_log_or_no_page_is_refused(tmp_path: Path) -> None:
    none = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert none.exit_code == 2
    assert "found no event log" in none.output
    _log(tmp_path)
    page = CliRunner().invoke(app, ["report", str(tmp_path), "-o", "page.txt"])
    assert page.exit_code == 2
    assert "--output page.txt: expected a name that ends in .html" in page.output


def test_prices_are_of_all_kinds_or_of_one() -> None:
    assert prices_of(["2.5", "h100=3"]) == {"*": 2.5, "h100": 3.0}
    for text in ("dear", "h100=", "-1", "nan", "inf"):
        with pytest.raises(JobError, match=f"--price-per-gpu-hour {text}: expected a"):
            prices_of([text])
