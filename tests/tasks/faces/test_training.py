"""Laws of how the landmark network is made: which footage may, and that labels stay on the face."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tasks.faces import points as face
from tasks.faces.landmarks import LandmarkModel
from tasks.faces.region import SIDE
from tasks.faces.rgb_pictures import RgbPictures
from tasks.nets.face_mesh import SIDE as TEACHER_SIDE
from tasks.nets.face_mesh import VERTICES
from tasks.nets.landmark_net import LandmarkNet, folded
from tasks.training.landmarks.__main__ import main
from tasks.training.landmarks.augment import example
from tasks.training.landmarks.figures import UNSEEN
from tasks.training.landmarks.fit import Cycle, Schedule, chances, fit, loss_of, mean_shape
from tasks.training.landmarks.footage import DEMO_PORTRAIT, permitted, pictures, sources
from tasks.training.landmarks.labels import Labelled
from tasks.training.landmarks.teacher import load_teacher, points_both_ways
from tasks.training.landmarks.variants import SMILE, mixture, other_mouth, shows_teeth
from tests.tasks.faces.made import portrait
from tests.tasks.faces.test_tracks import shape


@pytest.mark.parametrize(
    ("licence", "rights", "may"),
    [
        ("MIT", "unstated; identifiable people", True),
        ("CC-BY-4.0", "clean (attribution)", True),
        ("MIT", "README: testdata collected from internet, non-commercial research only", False),
        ("Apache-2.0", "problematic: public figures/online clips, no per-file rights", False),
        ("MIT (README)", "avatar likeness: commercial use needs authorisation", False),
        ("none (code free for academic+commercial per README)", "unstated", False),
        ("GPL-2.0 (repo)", "identifiable presenter, unstated", False),
        ("S-Lab 1.0 (non-commercial)", "web photos, unstated", False),
        (
            "face crop 256x256 from a lip-sync data set; treat as restricted",
            "unstated; treat as restricted",
            False,
        ),
    ],
)
def test_footage_is_permitted_by_licence_and_remark(licence: str, rights: str, may: bool) -> None:
    assert permitted(licence, rights) is may


def test_people_of_the_figures_are_not_among_those_trained_on(test_data: object) -> None:
    trained = {source.path.stem for source in sources(test_data / "data")}  # type: ignore[operator]
    assert len(trained) >= 20
    assert not trained & set(UNSEEN)


def test_the_demo_portrait_may_train_and_is_no_unseen_person() -> None:
    assert permitted(DEMO_PORTRAIT.licence, DEMO_PORTRAIT.rights)
    assert DEMO_PORTRAIT.path.stem not in UNSEEN
    assert len(list(pictures(DEMO_PORTRAIT.path, 1))) == 1


def test_one_command_goes_from_footage_to_weights_that_load(test_data: Path, tmp_path: Path) -> None:
    few = (
        "faces/LatentSync__assets_demo1_video",
        "stills/hallo__examples_reference_images_1",
        "KAIR__testsets_set5_bi",
    )
    folder = few_files(test_data / "data", tmp_path / "data", few)
    teacher = str(test_data / "weights" / "facemesh.pth")
    asked = ["--data", str(folder), "--teacher", teacher, "--tiny", "--threads", "1"]
    main([*asked, "--out", str(tmp_path / "first.safetensors")])
    main([*asked, "--out", str(tmp_path / "second.safetensors"), "--start", str(tmp_path / "first.safetensors")])
    first, second = (LandmarkModel(weights=tmp_path / f"{name}.safetensors") for name in ("first", "second"))
    assert np.array_equal(first.mean_shape, second.mean_shape)
    region = np.array([[0.5, 0, 20], [0, 0.5, 20]], np.float32)
    looks = [model.look(RgbPictures([portrait()]), 0, region).points for model in (first, second)]
    assert np.isfinite(looks).all()
    assert not np.array_equal(*looks)


class _LeaningTeacher(torch.nn.Module):
    """Puts every vertex on the brightest pixel, and three pixels to the right of it."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        brightest = x.mean(1).flatten(1).argmax(1)
        across, down = brightest % TEACHER_SIDE + 3.5, brightest // TEACHER_SIDE + 0.5
        mesh = torch.stack((across, down, torch.zeros_like(down)), -1)
        return mesh[:, None].expand(-1, VERTICES, 3).float(), torch.zeros(len(x))


def test_a_teacher_that_leans_to_one_side_stands_straight_when_it_looks_both_ways() -> None:
    crops = np.zeros((2, TEACHER_SIDE, TEACHER_SIDE, 3), np.uint8)
    crops[0, 40, 100] = crops[1, 150, 7] = 255
    points = points_both_ways(_LeaningTeacher(), crops)  # type: ignore[arg-type]
    assert points.shape == (2, 51, 2)
    np.testing.assert_allclose(points[0], np.broadcast_to((100, 40), (51, 2)))
    np.testing.assert_allclose(points[1], np.broadcast_to((7, 150), (51, 2)))


def test_both_ways_a_mirrored_picture_has_the_mirrored_points(test_data: Path) -> None:
    teacher = load_teacher(test_data / "weights" / "facemesh.pth")
    crops = cv2.resize(portrait(), (TEACHER_SIDE, TEACHER_SIDE))[None].astype(np.uint8)
    points, mirrored = points_both_ways(teacher, crops)[0], points_both_ways(teacher, crops[:, :, ::-1].copy())[0]
    back = mirrored[list(face.MIRROR)] * (-1, 1) + (TEACHER_SIDE - 1, 0)
    np.testing.assert_allclose(points, back, atol=1e-3)


def few_files(data: Path, out: Path, starts: tuple[str, ...]) -> Path:
    """A folder of data with the files alone whose names hold one of `starts`."""
    head, *rows = (data / "MANIFEST.tsv").read_text().splitlines()
    kept = [row for row in rows if any(start in row.split("\t")[0] for start in starts)]
    for name in (row.split("\t")[0] for row in kept):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).symlink_to(data / name)
    (out / "MANIFEST.tsv").write_text("\n".join([head, *kept]) + "\n")
    return out


def face_crop() -> tuple[np.ndarray, np.ndarray]:
    """A grey crop of 176 with a white disc on the left mouth corner, and its points."""
    points = (shape() * 60 + (88, 52)).astype(np.float32)
    y, x = np.mgrid[0:176, 0:176]
    near = np.hypot(x - points[face.MOUTH_LEFT, 0], y - points[face.MOUTH_LEFT, 1]) < 4
    return np.repeat(np.where(near, 255, 60).astype(np.uint8)[..., None], 3, -1), points


def test_labels_stay_on_the_face_through_augmentation() -> None:
    crop, points = face_crop()
    mean, rng, checked = mean_shape(points[None]), np.random.default_rng(0), 0
    for _ in range(60):
        picture, relative, there, _ = example(crop, points, mean, rng)
        grey = picture.astype(float).mean(-1)
        at = (relative + 0.5) * SIDE - 0.5
        ends = (at[face.MOUTH_LEFT], at[face.MOUTH_RIGHT])
        if not there or any((end < 6).any() or (end > SIDE - 7).any() for end in ends):
            continue
        bright = [
            grey[round(float(y)) - 1 : round(float(y)) + 2, round(float(x)) - 1 : round(float(x)) + 2].mean()
            for x, y in ends
        ]
        checked += 1
        # A mirrored crop shows its disc at the right corner of its points, all others at the left.
        assert abs(bright[0] - bright[1]) > 0.1 * grey.std() or grey.std() < 12
    assert checked > 40


def test_folding_changes_nothing() -> None:
    torch.manual_seed(0)
    network = LandmarkNet(norm=True)
    network(torch.rand(8, 3, SIDE, SIDE))
    x = torch.rand(2, 3, SIDE, SIDE)
    for a, b in zip(network.eval()(x), folded(network)(x), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_the_loss_is_least_where_everything_is_right() -> None:
    wanted = torch.from_numpy(shape())[None] * 0.6
    right = torch.tensor([[9.0, -9.0]])
    there, hidden = torch.ones(1), torch.zeros(1)
    best = loss_of(wanted, right, wanted, there, hidden)
    assert best < 0.01
    assert loss_of(wanted + 0.01, right, wanted, there, hidden) > best
    assert loss_of(wanted, -right, wanted, there, hidden) > best
    assert loss_of(wanted + 1, right, wanted, torch.zeros(1), hidden) == loss_of(
        wanted, right, wanted, torch.zeros(1), hidden
    )


def test_fitting_is_repeatable_and_learns() -> None:
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 255, (8, 176, 176, 3), np.uint8)
    points = np.stack([shape() * 60 + (88, 52) + rng.normal(0, 1, (51, 2)) for _ in range(8)]).astype(np.float32)
    labelled = Labelled(crops, points, np.array([0, 0, 0, 1, 1, 1, -1, -1], np.int32), np.zeros(8, bool))
    schedule = Schedule(Cycle(3, 2e-3), (Cycle(2, 1e-3),), batch=4, workers=0)
    first, second = (fit(labelled, schedule).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    start = LandmarkNet(norm=False).state_dict()
    assert not torch.equal(first["head.weight"], start["head.weight"])


def test_variants_change_the_face_and_not_the_border() -> None:
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 255, (256, 256, 3), np.uint8)
    mesh = rng.uniform(90, 170, (468, 2)).astype(np.float32)
    mouth = (shape(0.05) * 80 + (128, 80)).astype(np.float32)
    for made in (other_mouth(crop, mouth, rng), mixture(crop, mesh, crop, mesh + 2, rng)):
        assert made.shape == crop.shape
        assert not np.array_equal(made[80:180, 80:180], crop[80:180, 80:180])
        assert np.abs(made[:4].astype(int) - crop[:4]).mean() < 40


def mouth_crop(opening: float, between: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A skin-coloured crop of 256 with red lips round `between`, and its points."""
    points = (shape(opening) * 100 + (128, 60)).astype(np.float32)
    crop = np.full((256, 256, 3), (190, 150, 130), np.uint8)
    cv2.fillPoly(crop, [points[face.OUTER_LIP].astype(np.int32)], (160, 80, 80))
    cv2.fillPoly(crop, [points[face.INNER_LIP].astype(np.int32)], between)
    return crop, points


def test_teeth_show_only_where_something_light_lies_between_parted_lips() -> None:
    assert shows_teeth(*mouth_crop(0.2, (220, 215, 200)))
    assert not shows_teeth(*mouth_crop(0.2, (40, 20, 20)))
    assert not shows_teeth(*mouth_crop(0.2, (190, 90, 90)))  # a tongue
    assert not shows_teeth(*mouth_crop(0.0, (220, 215, 200)))


def test_a_smile_paints_teeth_into_a_shut_mouth() -> None:
    crop, points = mouth_crop(0.0, (160, 80, 80))
    x, y = points[face.LIPS].mean(0).astype(int)
    for seed in range(8):
        made = other_mouth(crop, points, np.random.default_rng(seed), SMILE)
        before, after = (p[y - 6 : y + 7, x - 4 : x + 5].reshape(-1, 3).astype(int) for p in (crop, made))
        assert (after.min(1).max() - before.min(1).max()) > 20


def test_toothy_crops_are_drawn_three_times_as_often() -> None:
    group = np.array([0, 0, 0, 1, -1, -1], np.int32)
    toothy = np.array([True, False, False, False, False, False])
    nothing = np.zeros((6, 1, 1, 3), np.uint8)
    drawn = chances(Labelled(nothing, np.zeros((6, 51, 2), np.float32), group, toothy))
    assert drawn[0] == pytest.approx(3 * drawn[1])
    assert drawn.sum() == pytest.approx(1)
    assert drawn[group < 0].sum() == pytest.approx(0.14)
