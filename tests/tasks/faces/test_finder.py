"""Who finds faces: cascades or a network, told by its file; what either finds the landmarks verify."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.errors import WeightsError
from tasks.faces.finder import WORKING_SIDES, Cascades, Finder, Network, open_finder
from tasks.faces.found import FoundFaces
from tasks.faces.landmarks import LandmarkModel
from tasks.faces.measure import geometry
from tasks.faces.region import five_of, region_of_points, region_of_tight_box
from tasks.faces.rgb_pictures import RgbPictures
from tasks.faces.s3fd import S3FDDetector
from tasks.faces.scan import FaceScanner
from tasks.nets.retinaface import RetinaFace
from tasks.nets.s3fd import S3FD
from tasks.weights import Weights
from tests.tasks.faces.made import Picture, empty, moved, similarity, under
from tests.tasks.lip_sync.faces import PORTRAIT_POINTS
from tests.tasks.recipe import shapes, weights


def at_hand(path: Path, key: str = "") -> Weights:
    return Weights("detector", str(path), "yunet", "0" * 64, path.name, key, path=str(path))


class Told:
    """A network that is told where the face is in the whole picture, and sees what it is shown."""

    def __init__(self, matrix: np.ndarray, *, points: bool = True, width: int = 512) -> None:
        self.points = under(matrix, PORTRAIT_POINTS)
        self.shown: list[tuple[int, ...]] = []
        self._points, self._width = points, width

    def find(self, picture: Picture) -> FoundFaces:
        self.shown.append(picture.shape)
        seen = (self.points + 0.5) * (picture.shape[1] / self._width) - 0.5
        low, high = seen.min(0), seen.max(0)
        top = seen[47:51].mean(0)[1] - 0.85 * np.linalg.norm(seen[50] - seen[47])
        box = np.array([[low[0], top, high[0] - low[0], high[1] - top]], np.float32)
        points = five_of(seen)[None].astype(np.float32) if self._points else None
        return FoundFaces(box, points, np.ones(1, np.float32))


def found_by(finder: Finder, picture: Picture, model: LandmarkModel) -> np.ndarray | None:
    """(51, 2) of the largest face."""
    faces = FaceScanner(model=model, finder=finder).measure(RgbPictures([picture]))[0].faces
    return faces[0].points if faces else None


def near(found: np.ndarray | None, wanted: np.ndarray) -> bool:
    if found is None:
        return False
    return float(np.linalg.norm(found - wanted, axis=-1).mean()) < 0.06 * float(geometry(wanted).size_pixels)


@pytest.mark.parametrize("degrees", [0, 45, -70])
def test_a_tilted_face_is_seen_upright_by_its_five_points(model: LandmarkModel, degrees: int) -> None:
    """Cascades see none of the tilted ones."""
    matrix = similarity(20, 90, 1.1, degrees)
    told, picture = Told(matrix), moved(matrix)
    assert near(found_by(Network(told.find, model.mean_shape), picture, model), told.points)
    assert (found_by(Cascades(), picture, model) is None) == bool(degrees)


def test_a_box_without_points_is_enough_for_an_upright_face(model: LandmarkModel) -> None:
    told = Told(similarity(), points=False)
    assert near(found_by(Network(told.find, model.mean_shape), moved(similarity()), model), told.points)


@pytest.mark.parametrize("size", [(1500, 900), (500, 500)])
def test_large_pictures_are_shown_smaller_and_boxes_come_back_in_their_pixels(
    model: LandmarkModel, size: tuple[int, int]
) -> None:
    matrix = similarity(400, 300, 1.0) if size[0] > 640 else similarity()
    told = Told(matrix, width=size[0])
    finder = Network(told.find, model.mean_shape)
    pictures = RgbPictures([moved(matrix, *size)])
    [first] = finder.candidates(pictures, 0, 0)
    wanted = region_of_points(five_of(told.points), five_of(model.mean_shape))
    assert first.region == pytest.approx(wanted, abs=0.3)
    assert first.box[0] == pytest.approx(told.points[:, 0].min(), abs=0.5)
    longest = max(told.shown[0])
    assert longest == min(max(size), WORKING_SIDES[0])
    assert abs(told.shown[0][1] / told.shown[0][0] - size[0] / size[1]) < 0.01
    again = finder.candidates(pictures, 0, 1)
    assert len(again) == (max(size) > WORKING_SIDES[0]), "a second look only where it would see more"
    assert again == [] or max(told.shown[1]) == min(max(size), WORKING_SIDES[1])


def test_false_alarms_of_a_network_are_no_faces(model: LandmarkModel) -> None:
    picture = empty()
    assert found_by(Network(Told(similarity()).find, model.mean_shape), picture, model) is None


def test_the_region_of_a_tight_box_is_that_of_the_face(model: LandmarkModel) -> None:
    apart = float(geometry(PORTRAIT_POINTS).size_pixels)
    eyes = (PORTRAIT_POINTS[47] + PORTRAIT_POINTS[50]) / 2
    box = np.array([eyes[0] - 0.75 * apart, eyes[1] - 0.85 * apart, 1.5 * apart, 2.09 * apart], np.float32)
    by_points = region_of_points(PORTRAIT_POINTS, model.mean_shape)
    found = region_of_tight_box(box)
    assert found[0, 0] == pytest.approx(by_points[0, 0], rel=0.12)
    middle = np.array([55.5, 55.5])
    apart_by = (found - by_points)[:, :2] @ middle + (found - by_points)[:, 2]
    assert float(np.linalg.norm(apart_by)) < 0.2 * apart


@pytest.mark.parametrize(
    ("build", "key"),
    [(S3FD, ""), (RetinaFace, ""), (S3FD, "state_dict")],
    ids=["s3fd", "retina", "key"],
)
def test_the_file_tells_which_network_it_is_of(
    build: Callable[..., torch.nn.Module], key: str, model: LandmarkModel, tmp_path: Path
) -> None:
    """Of made weights anything may come; whatever comes is a face only if the landmarks say so."""
    state = weights(shapes(build(deep=False) if build is RetinaFace else build()))
    torch.save({key: state} if key else state, tmp_path / "w.pth")
    finder = open_finder(at_hand(tmp_path / "w.pth", key), model.mean_shape)
    assert found_by(finder, empty(64, 96), model) is None


def test_files_of_no_detector_are_refused_in_words(model: LandmarkModel, tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="not weights of RetinaFace"):
        open_finder(at_hand(tmp_path / "w.pth"), model.mean_shape)
    (tmp_path / "w.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsError, match="cannot be run as YuNet"):
        open_finder(at_hand(tmp_path / "w.onnx"), model.mean_shape)
    with pytest.raises(WeightsError, match="no such file of weights"):
        open_finder(at_hand(tmp_path / "none.pth"), model.mean_shape)


def test_boxes_of_s3fd_are_where_its_maps_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One anchor of stride 16 of a picture that was shown half as large."""
    network = S3FD()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    shown: list[torch.Tensor] = []

    def forward(self: S3FD, x: torch.Tensor) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
        shown.append(x)
        maps = [(torch.tensor([4.0, -4.0])[None, :, None, None].repeat(1, 1, s, s), torch.zeros(1, 4, s, s))
                for s in (32, 16, 8, 8, 4, 2)]  # fmt: skip
        maps[2][0][0, :, 3, 1] = torch.tensor([-3.0, 3.0])
        return tuple(maps)

    monkeypatch.setattr(S3FD, "forward", forward)
    picture = np.full((256, 256, 3), (30, 20, 10), np.uint8)
    found = S3FDDetector(tmp_path / "w.pth").find(picture, working_side=128)
    assert found.boxes.tolist() == [[2 * (24 - 32), 2 * (56 - 32), 128, 128]]
    assert found.points is None
    assert shown[0][0, :, 0, 0].tolist() == [10 - 104, 20 - 117, 30 - 123], "red first, as Wav2Lip's pipeline has it"


def test_yunet_finds_faces_that_cascades_miss(test_data: Path, model: LandmarkModel) -> None:
    """Tilted by 40 degrees, small, and dark."""
    finder = open_finder(at_hand(test_data / "weights" / "yunet_n_640_640.onnx"), model.mean_shape)
    matrices = {40: similarity(200, 150, 1.2, 40), 1: similarity(300, 200, 0.4, 0), 2: similarity(200, 150, 1.0, 30)}
    for number, matrix in matrices.items():
        picture = moved(matrix, 960, 540)
        picture = np.asarray(picture * (0.2 if number == 2 else 1.0), np.uint8)
        assert near(found_by(finder, picture, model), under(matrix, PORTRAIT_POINTS)), number
    assert found_by(Cascades(), moved(matrices[40], 960, 540), model) is None
