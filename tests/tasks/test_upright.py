"""Turning pictures upright for good moves samples and changes none."""

from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from tasks.errors import JobError
from tasks.picture import FrameBatch, Orientation
from tasks.upright import upright_batch, upright_format
from tests.pipeline.made import picture_format

TURNS = [Orientation(*bits) for bits in product((False, True), repeat=3)]


def _batch(turn, layout="yuv420p", width=34, height=22):
    format = replace(picture_format(width, height, layout), orientation=turn, sample_aspect_ratio=Fraction(4, 3))
    rng = np.random.default_rng(1)
    planes = tuple(rng.integers(0, 255, (2, *shape), np.uint8) for shape in format.plane_shapes)
    return FrameBatch(format, planes, 0, np.arange(2), np.arange(2))


@pytest.mark.parametrize("turn", TURNS)
def test_every_orientation_is_turned_without_changing_a_sample(turn):
    batch = _batch(turn)
    upright = upright_batch(batch)
    assert upright.format.orientation == Orientation()
    assert (upright.format.height, upright.format.width) == batch.format.upright_size
    for before, after in zip(batch.planes, upright.planes, strict=True):
        assert np.array_equal(np.sort(before, axis=None), np.sort(after, axis=None))
    y = batch.planes[0][0].T if turn.transpose else batch.planes[0][0]
    corner = y[-1 if turn.mirror_y else 0, -1 if turn.mirror_x else 0]
    assert upright.planes[0][0, 0, 0] == corner


def test_an_upright_batch_comes_back_itself():
    batch = _batch(Orientation())
    assert upright_batch(batch) is batch


def test_a_quarter_turn_turns_the_sample_aspect_ratio():
    assert upright_format(_batch(Orientation(transpose=True)).format).sample_aspect_ratio == Fraction(3, 4)


def test_a_quarter_turn_of_422_is_refused():
    with pytest.raises(JobError, match="keep the display matrix"):
        upright_format(_batch(Orientation(transpose=True), "yuv422p").format)


def test_an_odd_size_is_not_mirrored_off_its_colour():
    with pytest.raises(JobError, match="colour by a line"):
        upright_format(_batch(Orientation(mirror_x=True), width=33).format)
    assert upright_format(_batch(Orientation(mirror_y=True), width=33).format).width == 33
