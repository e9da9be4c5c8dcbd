"""Laws of the shipped network: points stick to the face however the picture is moved, turned or mirrored."""

import numpy as np
import pytest

from tasks.faces import points as face
from tasks.faces.landmarks import WEIGHTS, LandmarkModel, Landmarks
from tasks.faces.measure import geometry
from tasks.faces.region import region_of_box, region_of_points, widened
from tasks.faces.rgb_pictures import RgbPictures
from tests.tasks.faces.made import EYES_APART, MIDDLE, covered, empty, moved, portrait, similarity, under


def look(model: LandmarkModel, picture: np.ndarray, box: tuple[float, float, float, float]) -> Landmarks:
    """What settles when the region follows the points."""
    pictures = RgbPictures([picture])
    seen = model.look(pictures, 0, region_of_box(np.array(box, np.float32)))
    for _ in range(3):
        seen = model.look(pictures, 0, region_of_points(seen.points, model.mean_shape))
    return seen


def box_at(x: float, y: float, scale: float = 1.0) -> tuple[float, float, float, float]:
    side = 92 * scale
    return (x - side / 2, y - 0.5 * side - 2 * scale, side, side)


@pytest.fixture(scope="module")
def still(model: LandmarkModel) -> Landmarks:
    return look(model, portrait(), box_at(*MIDDLE))


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Mean distance in outer-eye distances."""
    return float(np.linalg.norm(found - wanted, axis=-1).mean() / geometry(wanted).size_pixels)


def test_the_portrait_is_a_face_with_its_parts_in_order(still: Landmarks) -> None:
    points = still.points
    assert still.presence > 0.9
    assert still.hidden < 0.5
    assert abs(float(geometry(points).size_pixels) - EYES_APART) < 0.2 * EYES_APART
    eyes, nose = points[face.EYE_CORNERS, 1].mean(), points[face.NOSE_TIP, 1]
    mouth, chin = points[face.LIPS, 1].mean(), points[face.CHIN, 1]
    assert eyes < nose < mouth < chin
    assert list(points[face.EYE_CORNERS, 0]) == sorted(points[face.EYE_CORNERS, 0])
    assert points[face.MOUTH_LEFT, 0] < points[face.MOUTH_RIGHT, 0]


def test_the_portraits_smile_is_open(still: Landmarks) -> None:
    assert geometry(still.points).opening > 0.04


@pytest.mark.parametrize(
    ("x", "y", "scale", "degrees"),
    [(40, 25, 1, 0), (0, 0, 1.6, 0), (0, 40, 0.6, 0), (0, 20, 1, 12), (20, 20, 1, -12), (30, 40, 1.3, 25)],
)
def test_points_move_with_the_face(
    model: LandmarkModel, still: Landmarks, x: float, y: float, scale: float, degrees: float
) -> None:
    matrix = similarity(x, y, scale, degrees)
    seen = look(model, moved(matrix), box_at(MIDDLE[0] + x, MIDDLE[1] + y, scale))
    assert seen.presence > 0.8
    assert error(seen.points, under(matrix, still.points)) < 0.01


def test_a_mirrored_face_has_mirrored_points(model: LandmarkModel, still: Landmarks) -> None:
    seen = look(model, np.ascontiguousarray(portrait()[:, ::-1]), box_at(511 - MIDDLE[0], MIDDLE[1]))
    back = seen.points[list(face.MIRROR)] * (-1, 1) + (511, 0)
    assert error(back, still.points) < 0.03


def test_texture_and_flat_pictures_are_no_face(model: LandmarkModel) -> None:
    for picture in (empty(), np.full((512, 512, 3), 120, np.uint8), np.zeros((64, 64, 3), np.uint8)):
        box = np.array((10, 10, 40, 40), np.float32)
        assert model.look(RgbPictures([picture]), 0, region_of_box(box)).presence < 0.3


def test_a_covered_mouth_is_seen_as_hidden(model: LandmarkModel, still: Landmarks) -> None:
    region = region_of_points(still.points, model.mean_shape)
    seen = model.look(RgbPictures([covered(still.points)]), 0, region)
    assert still.hidden < 0.3
    assert seen.hidden > 0.6  # the policy's limit


def test_the_region_of_a_face_puts_it_on_the_mean_shape(model: LandmarkModel) -> None:
    matrix = np.array([[1.7, -0.6, 31], [0.6, 1.7, -12]], np.float32)
    points = under(matrix, model.mean_shape * 112 + 55.5)
    assert np.allclose(region_of_points(points, model.mean_shape), matrix, atol=1e-3)


def test_the_mean_shape_is_symmetric(model: LandmarkModel) -> None:
    assert np.allclose(model.mean_shape[list(face.MIRROR)] * (-1, 1), model.mean_shape, atol=2e-3)


def test_the_weights_are_under_a_megabyte() -> None:
    assert WEIGHTS.stat().st_size < 1_000_000


def test_a_wider_region_keeps_its_middle(still: Landmarks, model: LandmarkModel) -> None:
    region = region_of_points(still.points, model.mean_shape)
    middle = np.array([[55.5, 55.5]], np.float32)
    assert np.allclose(under(widened(region, 1.3), middle), under(region, middle), atol=1e-3)
    assert np.allclose(widened(region, 1.3)[:, :2], 1.3 * region[:, :2])
