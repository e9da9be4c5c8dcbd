"""The script that measures GPUs works before one is lent: every row of a dry run on the processor."""

import math

import pytest

from tests.gpu.__main__ import ROWS, main, measured
from tests.gpu.scale import DRY


def test_every_row_can_be_measured() -> None:
    figures, failures = measured("cpu", DRY, list(ROWS))
    assert failures == []
    assert {figure.row for figure in figures} == set(ROWS)
    assert all(math.isfinite(figure.value) for figure in figures)
    apart = [figure.details["apart"] for figure in figures if "apart" in figure.details]
    assert len(apart) in (3, 6) and max(apart) < 1e-4, "three networks, by torch and, where it is installed, by ONNX"


def test_a_row_that_fails_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(device: str, scale: object) -> list[object]:
        raise RuntimeError("no such kernel\nand more")

    monkeypatch.setitem(ROWS, "networks", broken)
    figures, failures = measured("cpu", DRY, ["networks", "reload"])
    assert [figure.row for figure in figures] == ["reload"]
    assert failures == ["networks could not be measured: RuntimeError: no such kernel"]


def test_one_table_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["gpu", "--dry", "--rows", "reload"])
    assert main() == 0
    printed = capsys.readouterr().out
    assert "| reload of an evicted network over the link's rate | ≥ 0.80 × |" in printed
    assert "A dry run: its figures mean nothing." in printed
