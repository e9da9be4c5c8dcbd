"""Laws of the cascades: every face, in the right place, the same each time."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from tasks.faces.detect import detect_faces, overlap
from tasks.faces.rgb_pictures import RgbPictures
from tests.tasks.faces.made import EYES_APART, MIDDLE, moved, portrait, similarity, two_faces


def luma(picture: np.ndarray) -> np.ndarray:
    return RgbPictures([picture]).luma(0)


def test_the_strict_pass_finds_the_portrait_in_its_place() -> None:
    boxes = detect_faces(luma(portrait()))
    x, y, w, h = boxes[0]
    assert abs(x + w / 2 - MIDDLE[0]) < 0.5 * EYES_APART
    assert abs(y + h / 2 - MIDDLE[1]) < 0.5 * EYES_APART
    assert 1.0 * EYES_APART < w < 3 * EYES_APART


def test_the_same_picture_gives_the_same_boxes() -> None:
    picture = luma(portrait())[:200, 130:330]
    assert np.array_equal(detect_faces(picture, 1), detect_faces(picture, 1))


def test_boxes_are_in_pixels_of_the_picture_whatever_its_size() -> None:
    small = detect_faces(luma(portrait()))[0]
    large = detect_faces(luma(moved(similarity(MIDDLE[0] * 2, MIDDLE[1] * 2, 3), 1536, 1536)))[0]
    assert overlap(small * 3, large) > 0.8


def test_both_of_two_faces_are_found_the_larger_first() -> None:
    boxes = detect_faces(luma(two_faces()))
    assert len(boxes) == 2
    assert boxes[0, 0] > 360 > boxes[1, 0]


def test_a_flat_picture_has_no_face() -> None:
    assert detect_faces(np.full((120, 160), 90, np.uint8), 0).shape == (0, 4)
    assert detect_faces(np.full((120, 160), 90, np.uint8), 1).shape == (0, 4)


def test_tiny_pictures_are_no_failure() -> None:
    assert detect_faces(np.zeros((2, 3), np.uint8), 1).shape == (0, 4)


@pytest.mark.parametrize(("b", "expected"), [((0, 0, 10, 10), 1.0), ((5, 0, 10, 10), 0.5), ((20, 0, 5, 5), 0.0)])
def test_overlap_is_the_shared_part_of_the_smaller_box(b: tuple[float, ...], expected: float) -> None:
    a = np.array((0, 0, 10, 10), np.float32)
    assert overlap(a, np.array(b, np.float32)) == pytest.approx(expected)


def test_threads_that_detect_at_the_same_time_find_what_each_finds_alone() -> None:
    rng = np.random.default_rng(0)
    sizes = [(180, 320), (300, 200), (90, 400), (240, 240)] * 3
    noise = [cv2.GaussianBlur(rng.integers(0, 255, size, dtype=np.uint8), (9, 9), 3) for size in sizes]
    alone = [detect_faces(picture, 1) for picture in noise]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda picture: detect_faces(picture, 1), noise))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
