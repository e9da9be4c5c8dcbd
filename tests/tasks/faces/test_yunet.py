"""YuNet finds the shipped portrait's face, at any size, and nothing in a grey wall."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import tasks
from tasks.errors import WeightsError
from tasks.faces.yunet import YuNet

PORTRAIT = Path(tasks.__file__).parent / "data" / "demo" / "portrait.jpg"


@pytest.mark.parametrize("name", ["yunet_n_640_640.onnx", "yunet_s_640_640.onnx"])
def test_one_face_with_its_points_in_their_places(test_data: Path, name: str) -> None:
    network = YuNet(test_data / "weights" / name)
    picture = np.asarray(cv2.imread(str(PORTRAIT)), np.uint8)
    found = network.find(picture)
    assert found.boxes.shape == (1, 4)
    (x, y, w, h), ((left, right, nose, mouth_left, mouth_right),) = found.boxes[0], found.points
    assert x < left[0] < nose[0] < right[0] < x + w
    assert y < left[1] < nose[1] < mouth_left[1] < y + h
    assert mouth_left[0] < nose[0] < mouth_right[0]
    half = np.asarray(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    assert np.abs(network.find(half).boxes[0] * 2 - found.boxes[0]).max() < 0.1 * h
    two = network.find(np.concatenate([picture, picture], 1))
    assert two.boxes.shape == (2, 4)
    assert len(network.find(np.full((360, 640, 3), 128, np.uint8)).boxes) == 0


def test_a_file_that_is_no_network_is_said(tmp_path: Path) -> None:
    (path := tmp_path / "none.onnx").write_bytes(b"not a network")
    with pytest.raises(WeightsError, match="none.onnx: cannot be run as YuNet; choose the file of that network"):
        YuNet(path)
    with pytest.raises(WeightsError, match="no such file of weights"):
        YuNet(tmp_path / "missing.onnx")


def test_another_network_is_said(test_data: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be run as YuNet"):
        YuNet(test_data / "weights" / "ultralight_RFB-320.onnx")
