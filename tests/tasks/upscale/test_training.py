"""The embedded network's training and its figures: the protocol, the footage rule, and that fitting fits."""

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tasks.nets.detail_net import DetailNet
from tasks.training.upscale.bicubic import scaled
from tasks.training.upscale.drawn import scene
from tasks.training.upscale.figures import enlarged, luma_codes, mean_gain, psnr, scores
from tasks.training.upscale.fit import Lesson, Schedule, fit
from tasks.training.upscale.footage import FOOTAGE, lessons
from tasks.upscale.networks import Choice
from tests.tasks.upscale.test_task import parse_task

CARD = Path(__file__).parents[3] / "tasks" / "weights" / "upscale.md"


def embedded() -> DetailNet:
    network = Choice.of(parse_task("upscale")).network()
    assert isinstance(network, DetailNet)
    return network


def test_scaling_is_the_fields_bicubic() -> None:
    """Away from the border Pillow's bicubic is the same kernel, widened alike."""
    picture = np.random.default_rng(1).uniform(0, 255, (60, 80))
    for factor, size in ((Fraction(1, 2), (40, 30)), (Fraction(2), (160, 120)), (Fraction(3, 4), (60, 45))):
        other = np.asarray(Image.fromarray(picture.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
        found = scaled(picture, factor)
        assert found.shape == other.shape
        np.testing.assert_allclose(found[6:-6, 6:-6], other[6:-6, 6:-6], atol=2e-3)
    np.testing.assert_allclose(scaled(np.full((9, 7), 3.0), Fraction(1, 2)), 3.0)


def test_grey_pictures_keep_their_values_and_colours_become_bt601() -> None:
    grey = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)[..., :1].repeat(3, 2)
    np.testing.assert_array_equal(luma_codes(grey), grey[..., 0])
    white_green = np.array([[[255, 255, 255], [0, 255, 0]]], np.uint8)
    np.testing.assert_array_equal(luma_codes(white_green), [[235, 145]])


def test_psnr_leaves_the_border_out() -> None:
    one, other = np.zeros((8, 8)), np.zeros((8, 8))
    other[:2], other[3, 3] = 255.0, 4.0
    assert psnr(one, other) == pytest.approx(10 * np.log10(255**2 / (16 / 16)))


def test_drawn_scenes_are_all_their_own_and_full_of_edges() -> None:
    rng = np.random.default_rng(3)
    first, second = scene(rng, 96), scene(rng, 96)
    assert first.shape == (96, 96) and not np.array_equal(first, second)
    assert np.abs(np.diff(first.astype(int), axis=1)).max() > 60


def test_fitting_learns_something_and_the_same_again() -> None:
    rng = np.random.default_rng(0)
    drawings = [Lesson.of(scene(rng, 96)) for _ in range(3)]
    schedule = Schedule(cycles=(60,), peak_rates=(2e-3,), batch=4, side=16, look_steps=30)
    seen: list[str] = []
    networks = []
    for _ in range(2):
        torch.manual_seed(0)
        networks.append(fit(DetailNet(2, 8), drawings, [], schedule, lambda name, _: seen.append(name)))
    untaught = DetailNet(2, 8).eval()
    half, whole = (drawings[0].half.astype(float), drawings[0].whole.astype(float))
    assert psnr(enlarged(networks[0], half), whole) > psnr(enlarged(untaught, half), whole) + 2
    assert all(torch.equal(a, b) for a, b in zip(*(n.parameters() for n in networks), strict=True))
    assert seen[:2] == ["cycle 1 step 30", "cycle 1 step 60"]


def test_the_shipped_network_enlarges_what_it_never_saw_better_than_bicubic() -> None:
    rng, network = np.random.default_rng(777), embedded()
    gains = []
    for _ in range(3):
        lesson = Lesson.of(scene(rng, 160))
        half, whole = lesson.half.astype(float), lesson.whole.astype(float)
        gains.append(psnr(enlarged(network, half), whole) - psnr(scaled(half, Fraction(2)), whole))
    assert min(gains) > 1.5


def test_the_shipped_network_is_small_and_has_a_card() -> None:
    shipped = CARD.with_suffix(".safetensors")
    assert shipped.stat().st_size < 2_000_000
    text = CARD.read_text(encoding="utf-8")
    assert all(one.start.split("/")[-1].split("__")[0] in text for one in FOOTAGE), "every source is named"


@pytest.mark.parametrize(("name", "least"), [("Set5", 2.8), ("Set14", 1.9)])
def test_the_shipped_network_reaches_its_goals(name: str, least: float, test_data: Path) -> None:
    assert mean_gain(scores(embedded(), test_data / "data" / "super_resolution" / name)) >= least


def test_footage_that_may_not_teach_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "MANIFEST.tsv").open("w", newline="") as table:
        writer = csv.DictWriter(table, ["file", "repo_licence", "media_rights"], delimiter="\t")
        writer.writeheader()
        for one in FOOTAGE:
            writer.writerow({"file": one.start, "repo_licence": "MIT", "media_rights": "research only"})
    with pytest.raises(ValueError, match="expected permitted footage"):
        list(lessons(tmp_path, []))
