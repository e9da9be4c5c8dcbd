"""RetinaFace of either kind: keys and shapes, answers that mean the faces they say, and files that are something else.

No trained weights and no reference output are at hand: what is proved is that the networks hold exactly what the
published checkpoints hold (keys as told, bytes as large), that nothing depends on chance, and how answers are read.
"""

from itertools import product
from math import ceil, exp
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.errors import WeightsError
from tasks.faces.retinaface import RetinaFaceDetector, anchors_of, faces_of
from tasks.nets.retinaface import SIDES, STRIDES, RetinaFace
from tests.tasks.recipe import inputs, shapes, weights

SIZE = (97, 130)
KINDS = {False: (426_608, 1_789_735), True: (27_293_600, 109_497_761)}


def filled(deep: bool) -> RetinaFace:
    network = RetinaFace(deep=deep)
    network.load_state_dict(weights(shapes(network)))
    return network.eval()


@pytest.mark.parametrize("deep", [False, True], ids=["mobile", "deep"])
def test_the_networks_hold_what_the_published_files_hold(deep: bool) -> None:
    """A file of torch's is its numbers and some 190 bytes a key."""
    network = RetinaFace(deep=deep)
    parameters, file_bytes = KINDS[deep]
    assert sum(one.numel() for one in network.parameters()) == parameters
    state = network.state_dict()
    beside = file_bytes - sum(one.numel() * one.element_size() for one in state.values())
    assert 180 < beside / len(state) < 205
    width = 256 if deep else 64
    told = {
        "fpn.output1.0.weight": [width, 8 * width // (4 if deep else 8), 1, 1],
        "fpn.merge2.1.running_var": [width],
        "ssh1.conv3X3.0.weight": [width // 2, width, 3, 3],
        "ssh3.conv7x7_3.1.bias": [width // 4],
        "ClassHead.0.conv1x1.weight": [4, width, 1, 1],
        "BboxHead.1.conv1x1.bias": [8],
        "LandmarkHead.2.conv1x1.weight": [20, width, 1, 1],
        ("body.layer3.0.downsample.0.weight" if deep else "body.stage2.5.3.weight"): (
            [1024, 512, 1, 1] if deep else [128, 128, 1, 1]
        ),
    }
    assert {key: list(state[key].shape) for key in told} == told


@pytest.mark.parametrize("deep", [False, True], ids=["mobile", "deep"])
@torch.inference_mode()
def test_every_anchor_gets_an_answer_that_depends_on_its_own_picture(deep: bool) -> None:
    network = filled(deep)
    shown = torch.from_numpy(inputs("retina", (2, 3, SIZE[1], SIZE[0]), -120, 140))
    found = network(shown)
    anchors = sum(2 * ceil(SIZE[1] / stride) * ceil(SIZE[0] / stride) for stride in STRIDES)
    assert [tuple(one.shape) for one in found] == [(2, anchors, numbers) for numbers in (2, 4, 10)]
    assert all(torch.equal(one, again) for one, again in zip(found, network(shown), strict=True))
    other = network(torch.cat([shown[:1], -shown[1:]]))
    for one, again in zip(found, other, strict=True):
        assert torch.allclose(one[0], again[0], atol=1e-3 * float(one.abs().max()))
        assert not torch.allclose(one[1], again[1], atol=1e-3 * float(one.abs().max()))


def test_anchors_stand_where_the_definition_puts_them() -> None:
    wanted = [
        [(column + 0.5) * stride, (row + 0.5) * stride, side]
        for stride, sides in zip(STRIDES, SIDES, strict=True)
        for row, column in product(range(ceil(SIZE[1] / stride)), range(ceil(SIZE[0] / stride)))
        for side in sides
    ]
    assert anchors_of(SIZE).tolist() == wanted


def test_answers_mean_boxes_and_points_and_a_face_is_told_once() -> None:
    anchors = anchors_of(SIZE)
    classes = torch.tensor([4.0, -4.0]).repeat(len(anchors), 1)
    boxes, points = torch.zeros(len(anchors), 4), torch.zeros(len(anchors), 10)
    one, weaker, apart = 100, 101, 500
    for at, sure in ((one, 3.0), (weaker, 2.0), (apart, 1.0)):
        classes[at] = torch.tensor([-sure, sure])
    boxes[one] = torch.tensor([1.0, -2.0, 0.5, 1.0])
    points[one] = torch.arange(10) / 10
    x, y, side = anchors[one].tolist()
    anchors_apart = anchors[apart].tolist()
    boxes[weaker, :2] = (anchors[one, :2] + 0.1 * side * boxes[one, :2] - anchors[weaker, :2]) / (
        0.1 * anchors[weaker, 2]
    )
    boxes[weaker, 2:] = torch.log(side * torch.exp(0.2 * boxes[one, 2:]) / anchors[weaker, 2]) / 0.2
    found = faces_of(classes, boxes, points, SIZE)
    assert found.boxes.shape == (2, 4)
    w, h = side * exp(0.1), side * exp(0.2)
    assert found.boxes[0] == pytest.approx([x + 0.1 * side - w / 2, y - 0.2 * side - h / 2, w, h], rel=1e-5)
    assert found.points[0, 2] == pytest.approx([x + 0.1 * side * 0.4, y + 0.1 * side * 0.5], rel=1e-5)
    assert found.scores.tolist() == pytest.approx([1 / (1 + exp(-6)), 1 / (1 + exp(-2))])
    assert found.boxes[1, 2] == pytest.approx(anchors_apart[2])
    assert len(faces_of(classes[:0], boxes[:0], points[:0], (0, 0)).boxes) == 0


@pytest.mark.parametrize("deep", [False, True], ids=["mobile", "deep"])
def test_a_checkpoint_is_read_by_its_keys_and_boxes_come_back_in_the_picture_s_pixels(
    deep: bool, tmp_path: Path
) -> None:
    state = weights(shapes(RetinaFace(deep=deep)))
    for key in (key for key in state if "Head" in key):  # The first coarse anchor everywhere, as it stands.
        state[key] = torch.zeros_like(state[key])
        if key.startswith("ClassHead") and key.endswith("bias"):
            state[key] = torch.tensor([-5.0, 5.0, 5.0, -5.0] if ".2." in key else [5.0, -5.0, 5.0, -5.0])
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "w.pth")
    picture = (inputs("wall", (240, 480, 3)) * 255).astype(np.uint8)
    found = RetinaFaceDetector(tmp_path / "w.pth").find(picture, working_side=120)
    assert found.boxes[0].tolist() == [4 * (16 - 128), 4 * (16 - 128), 4 * 256, 4 * 256]
    assert found.points[0].tolist() == [[64, 64]] * 5
    assert found.scores[0] == pytest.approx(1 / (1 + exp(-10)))


def test_other_files_are_refused_with_the_first_mismatch(tmp_path: Path) -> None:
    state = weights(shapes(RetinaFace(deep=False)))
    state["fpn.output1.0.weight"] = state["fpn.output1.0.weight"][:, :9]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"not weights of RetinaFace: fpn\.output1\.0\.weight .* expected"):
        RetinaFaceDetector(tmp_path / "w.pth")
    del state["body.stage1.0.0.weight"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"body\.stage1\.0\.0\.weight .* is missing"):
        RetinaFaceDetector(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="no such file of weights"):
        RetinaFaceDetector(tmp_path / "none.pth")
