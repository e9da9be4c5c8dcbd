"""`reelyard scan`: everyone is told and drawn; what cannot be is refused."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import tasks
from cluster.cli import app
from cluster.report.people import people_sheet
from tasks.task import Shown

PORTRAIT = Path(tasks.__file__).parent / "data" / "demo" / "portrait.jpg"


def test_a_photo_is_scanned_to_a_sheet_and_told(tmp_path: Path) -> None:
    shutil.copyfile(PORTRAIT, tmp_path / "ann.jpg")
    asked = ["scan", str(tmp_path / "ann.jpg"), "--sheet", str(tmp_path / "people.jpg"), "--in-process", "--json"]
    told = CliRunner().invoke(app, asked)
    assert told.exit_code == 0, told.output
    (person,) = json.loads(told.stdout)["people"]
    assert person["who"] == "track 0"
    assert person["line"].startswith("in 100 % of the frames, first at 0:00.0, in the middle, eyes ")
    assert cv2.imread(str(tmp_path / "people.jpg")).shape[0] > 200


def test_a_detector_finds_whom_cascades_miss(test_data: Path, tmp_path: Path) -> None:
    turn = cv2.getRotationMatrix2D((224, 120), 45, 1.0)
    cv2.imwrite(str(tmp_path / "ann.png"), cv2.warpAffine(cv2.imread(str(PORTRAIT)), turn, (512, 512)))
    detector = test_data / "weights" / "yunet_n_640_640.onnx"
    for more, count in (([], 0), (["--detector", str(detector)], 1)):
        asked = ["scan", str(tmp_path / "ann.png"), "--sheet", str(tmp_path / "people.jpg"), "--in-process", "--json"]
        told = CliRunner().invoke(app, [*asked, *more])
        assert told.exit_code == 0, told.output
        assert len(json.loads(told.stdout)["people"]) == count


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["none.mp4"], "source none.mp4: no such file"),
        (["none.mp4", "--sheet", "people.png"], "--sheet people.png: expected a name that ends in .jpg"),
        (["none.mp4", "--identity", "arkface"], "there is no model 'arkface': did you mean 'arcface'?"),
        (["none.mp4", "--detector", "yunnet"], "there is no model 'yunnet': did you mean 'yunet'?"),
    ],
)
def test_what_cannot_be_scanned_is_refused(words: list[str], told: str) -> None:
    found = CliRunner().invoke(app, ["scan", *words, "--in-process"])
    assert found.exit_code == 2
    assert told in " ".join(found.output.split())


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_sheet_holds_everyone_with_or_without_a_picture(count: int) -> None:
    shown = [Shown("people", f"track {n}", "in 5 % of the frames, " * 6, b"") for n in range(count)]
    sheet = cv2.imdecode(np.frombuffer(people_sheet(shown), np.uint8), cv2.IMREAD_COLOR)
    assert sheet is not None
    assert sheet.shape[1] == 14 + 182 * max(1, min(5, count))
