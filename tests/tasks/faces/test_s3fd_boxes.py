"""Boxes of S3FD: every candidate decoded by hand gives the same faces as the whole maps at once."""

import math

import numpy as np
import torch
from torch import Tensor

from tasks.faces.s3fd_boxes import boxes_of, distinct
from tasks.nets.s3fd import STRIDES

SIDES = (32, 16, 8, 8, 4, 2)


def empty_maps(pictures: int = 1) -> list[tuple[Tensor, Tensor]]:
    """Maps of pictures of 128 pixels without a face."""
    return [
        (torch.tensor([4.0, -4.0])[None, :, None, None].repeat(pictures, 1, s, s), torch.zeros(pictures, 4, s, s))
        for s in SIDES
    ]


def with_face(maps: list[tuple[Tensor, Tensor]], scale: int, row: int, column: int, *, picture: int = 0) -> None:
    maps[scale][0][picture, :, row, column] = torch.tensor([-3.0, 3.0])


def one_by_one(maps: list[tuple[Tensor, Tensor]], picture: int, least: float) -> list[list[float]]:
    """The definition, anchor by anchor, with weak candidates kept to the end."""
    candidates = []
    for stride, (classes, boxes) in zip(STRIDES, maps, strict=True):
        for row in range(classes.shape[2]):
            for column in range(classes.shape[3]):
                no, yes = (math.exp(float(v)) for v in classes[picture, :, row, column])
                if (score := yes / (no + yes)) <= 0.05:
                    continue
                dx, dy, dw, dh = (float(v) for v in boxes[picture, :, row, column])
                x = stride / 2 + column * stride + dx * 0.1 * 4 * stride
                y = stride / 2 + row * stride + dy * 0.1 * 4 * stride
                w, h = 4 * stride * math.exp(0.2 * dw), 4 * stride * math.exp(0.2 * dh)
                candidates.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2, score])
    kept: list[list[float]] = []
    for box in sorted(candidates, key=lambda b: -b[4]):
        if all(union_share(box, other) <= 0.3 for other in kept):
            kept.append(box)
    return [box for box in kept if box[4] > least]


def union_share(a: list[float], b: list[float]) -> float:
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    areas = sum((box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b))
    return w * h / (areas - w * h)


def test_random_maps_give_the_boxes_of_the_definition() -> None:
    drawn = torch.Generator().manual_seed(7)
    maps = [
        (torch.randn(2, 2, s, s, generator=drawn) * 2 + torch.tensor([2.0, -2.0])[:, None, None],
         torch.randn(2, 4, s, s, generator=drawn))
        for s in SIDES
    ]  # fmt: skip
    for picture, found in enumerate(boxes_of(maps)):
        expected = one_by_one(maps, picture, 0.5)
        assert len(expected) > 5
        np.testing.assert_allclose(found.numpy(), np.array(expected), atol=1e-3)


def test_an_anchor_s_face_lies_round_its_centre() -> None:
    maps = empty_maps()
    with_face(maps, 2, 3, 1)
    (found,) = boxes_of(maps)
    assert found[0, :4].tolist() == [24 - 32, 56 - 32, 24 + 32, 56 + 32]


def test_a_picture_without_a_face_has_none_and_its_neighbour_keeps_its_own() -> None:
    maps = empty_maps(2)
    with_face(maps, 1, 4, 4, picture=1)
    none, one = boxes_of(maps)
    assert none.shape == (0, 5)
    assert one.shape == (1, 5)


def test_the_surer_of_two_boxes_of_a_face_is_kept() -> None:
    boxes = torch.tensor([[0.0, 0, 100, 100, 0.7], [5, 5, 105, 105, 0.9], [300, 0, 400, 100, 0.6]])
    assert distinct(boxes)[:, 4].tolist() == torch.tensor([0.9, 0.6]).tolist()
