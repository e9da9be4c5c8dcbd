"""Restored faces: upstream's numbers, in place, with the source's light, softly, alike in any company."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tasks.checkpoint import fill
from tasks.device_batch import DeviceBatch
from tasks.errors import JobError, OutOfVram, WeightsError
from tasks.faces import points as layout
from tasks.lip_sync.face_frame import face_frames, ffhq_matrices, in_frame
from tasks.lip_sync.occlusion.plan import HIDDEN
from tasks.lip_sync.restore import restorer as module
from tasks.lip_sync.restore.blend import AREAS, MASK_SIDE, shown_masks, with_own_light
from tasks.lip_sync.task import LipSyncTask
from tasks.nets.gfpgan import GFPGAN, SIDE
from tasks.picture import FrameBatch
from tasks.residency import residents
from tasks.table import parse_task
from tasks.task import TaskPlan
from tasks.weights import Weights
from tests.tasks.lip_sync.faces import PORTRAIT_POINTS, as_batch
from tests.tasks.lip_sync.generators import Loud, at_hand
from tests.tasks.lip_sync.occlusion.made import cells_over
from tests.tasks.lip_sync.test_task import FRAMES, Talk, concluded, faces, output, pictures, rendered
from tests.tasks.recipe import inputs, shapes, weights

NARROW = 1 / 32
#: Of the recipe's weights and a made face: what upstream's own layers, restated apart from ours, give at
#: [0, :, 100::200, 64::150] (fp32, one thread; ours differed by 0).
GIVEN = [
    -1.0727239, -1.1696264, -1.2392399, -0.9753705, -0.9160233, -1.1661174, -0.7821562, -0.5517155, -0.7414489,
    1.8081260, 1.8474060, 1.8631902, 1.8792455, 2.1110964, 1.9773951, 1.6773301, 1.7300136, 1.6966970,
    0.1113582, 0.3512322, 0.2629322, 0.2903155, 0.3820803, 0.3046674, -0.3957283, -0.4416677, -0.5151476,
]  # fmt: skip


@pytest.fixture(autouse=True)
def _own_residents() -> Iterator[None]:
    """A test's networks are not the next one's."""
    yield
    residents._open.clear()


def small_state() -> dict[str, Tensor]:
    """Weights of a network of few channels, which does something to a face."""
    return weights(shapes(GFPGAN(NARROW)))


def on_disk(folder: Path, state: dict[str, Tensor]) -> Weights:
    path = folder / "small.pth"
    torch.save({"params_ema": state}, path)
    return Weights("restore", str(path), "gfpgan-clean", "1" * 64, path.name, "params_ema", path=str(path))


def test_keys_and_shapes_are_upstream_s(test_data: Path) -> None:
    assert shapes(GFPGAN()) == json.loads((test_data / "reference" / "gfpganv1clean_keys.json").read_text())


def test_the_network_holds_what_the_published_file_holds() -> None:
    """A file of torch's is its numbers and some 200 bytes a key."""
    state = GFPGAN().state_dict()
    beside = 348_632_874 - sum(one.numel() * one.element_size() for one in state.values())
    assert len(state) == 285
    assert 180 < beside / len(state) < 230


@pytest.mark.slow
@torch.inference_mode()
def test_it_gives_upstream_s_numbers() -> None:
    network = GFPGAN()
    fill(network, weights(shapes(network)), of="recipe")
    drawn = network.eval()(torch.from_numpy(inputs("gfpgan.face", (2, 3, SIDE, SIDE), -1, 1)[:1]))
    assert drawn[0, :, 100:512:200, 64:512:150].flatten().tolist() == pytest.approx(GIVEN, abs=1e-4)


def test_a_face_lies_where_the_network_was_shown_faces() -> None:
    """facexlib's template: eyes at (193, 240) and (319, 240), nose at (257, 314); the mouth follows by itself."""
    by = np.array([[1.1, -0.6, 300.0], [0.6, 1.1, -40.0]])
    for points in (PORTRAIT_POINTS, PORTRAIT_POINTS @ by[:, :2].T + by[:, 2]):
        seen = in_frame(ffhq_matrices(face_frames(points[None]), SIDE), points[None])[0]
        eyes = seen[layout.EYE_CORNERS]
        assert eyes[:2].mean(0) == pytest.approx((193, 240), abs=8)
        assert eyes[2:].mean(0) == pytest.approx((319, 240), abs=8)
        assert seen[layout.NOSE_TIP] == pytest.approx((257, 314), abs=14)
        assert seen[layout.OUTER_LIP].mean(0) == pytest.approx((257, 375), abs=20)


def test_masks_hold_what_they_are_for_and_end_softly() -> None:
    points = in_frame(ffhq_matrices(face_frames(PORTRAIT_POINTS[None]), MASK_SIDE), PORTRAIT_POINTS[None])
    mouth, whole = (shown_masks(points, area)[0, 0].numpy() for area in AREAS)
    lips, eyes = (np.rint(points[0, part]).astype(int) for part in (layout.OUTER_LIP, layout.EYE_CORNERS))
    assert (mouth[lips[:, 1], lips[:, 0]] > 0.8).all()
    assert (mouth[eyes[:, 1], eyes[:, 0]] == 0).all()
    assert (whole[eyes[:, 1], eyes[:, 0]] > 0.3).all()
    assert (whole >= mouth - 0.02).all()
    for mask in (mouth, whole):
        assert max(np.abs(np.diff(mask, axis=axis)).max() for axis in (0, 1)) < 0.35, "no hard edge anywhere"
        assert mask[[0, -1]].max() == mask[:, [0, -1]].max() == 0


def test_light_is_the_source_s_and_detail_the_network_s() -> None:
    seen = torch.from_numpy(inputs("face", (1, 3, SIDE, SIDE))) * 0.1 + torch.linspace(0.4, 0.6, SIDE)
    detail = 0.1 * torch.sin(torch.arange(SIDE) * 1.3)
    for cast in (0.0, 0.1, -0.1):
        found = with_own_light(seen, torch.full_like(seen, 0.5 + cast) + detail)
        inner = (found - seen)[..., 64:-64, 64:-64]
        assert float(inner.mean().abs()) < 5e-3, "a cast of the network is gone"
        assert float((found - found.roll(1, -1)).std()) > 0.06, "its detail is there"


def lined(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have the network draw lines in no time; how many faces it was shown in each run."""
    runs: list[int] = []

    def forward(self: GFPGAN, x: Tensor) -> Tensor:
        runs.append(len(x))
        return x + 0.3 * torch.sin(torch.arange(SIDE) * 0.4)

    monkeypatch.setattr(GFPGAN, "forward", forward)
    return runs


@pytest.fixture(scope="module")
def clip() -> FrameBatch:
    return as_batch(pictures())


@pytest.fixture(scope="module")
def few(clip: FrameBatch) -> FrameBatch:
    """Its first frames."""
    return FrameBatch(clip.format, tuple(p[:5] for p in clip.planes), 0, clip.pts[:5], clip.source_frames[:5])


def opened(folder: Path, options: str = "", model: str = "wav2lip") -> LipSyncTask:
    text = f"lip-sync:model={model},restore=gfpgan{',' if options else ''}{options}"
    drawing = () if model == "embedded" else (at_hand(folder / "made.pth"),)
    return LipSyncTask(replace(parse_task(text), weights=(*drawing, on_disk(folder, small_state()))))


@pytest.fixture(params=["embedded", "wav2lip"])
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("tasks.lip_sync.wav2lip.backend.Generator", Loud)
    monkeypatch.setattr("tasks.lip_sync.embedded.articulate", lambda mel, statistics: Talk())
    return str(request.param)


def planned(task: LipSyncTask, clip: FrameBatch, gone: range = range(0)) -> TaskPlan:
    return concluded(task, faces(gone), output(range(FRAMES), clip), clip)


def test_what_was_drawn_is_restored_and_the_rest_is_bit_identical(
    clip: FrameBatch, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = lined(monkeypatch)
    task = opened(tmp_path, model=model)
    plan = planned(task, clip, range(4, 16))
    drawn = rendered(task, plan, clip, 8)
    assert len(runs) == FRAMES - 12
    assert plan.facts["restored"] == "mouth, by small.pth, strength 0.8"
    plain = rendered(LipSyncTask(replace(parse_task(f"lip-sync:model={model}"), weights=_drawing(task))), plan, clip, 8)
    for plane, source in zip(drawn, clip.planes, strict=True):
        np.testing.assert_array_equal(plane[4:16], source[4:16])
    for number in (0, 1, 18, 22):
        changed = drawn[0][number] != plain[0][number]
        rows, columns = np.nonzero(changed)
        place = np.float32([2 * (number % 5), number])
        low, high = PORTRAIT_POINTS.min(axis=0) + place, PORTRAIT_POINTS.max(axis=0) + place
        assert changed.sum() > 300
        assert low[1] < rows.min() and rows.max() <= high[1] + 2
        assert low[0] - 2 < columns.min() and columns.max() <= high[0] + 2


def _drawing(task: LipSyncTask) -> tuple[Weights, ...]:
    return tuple(one for one in task.spec.weights if one.option == "model")


def test_a_face_is_restored_alike_in_any_company(clip: FrameBatch, few: FrameBatch, model: str, tmp_path: Path) -> None:
    """The real layers, of few channels, over batches of any size."""
    plan = planned(opened(tmp_path, model=model), clip)
    whole = rendered(opened(tmp_path, model=model), plan, few, 5)
    assert (whole[0] != rendered(opened(tmp_path, "restore_strength=0", model), plan, few, 5)[0]).any()
    for size in (1, 3):
        for a, b in zip(whole, rendered(opened(tmp_path, model=model), plan, few, size), strict=True):
            np.testing.assert_array_equal(a, b)


def test_strength_is_a_share_and_none_is_no_restoration(
    clip: FrameBatch, few: FrameBatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.lip_sync.wav2lip.backend.Generator", Loud)
    lined(monkeypatch)
    plan = planned(opened(tmp_path), clip)
    none, half, full = (
        rendered(opened(tmp_path, f"restore_strength={share}"), plan, few, 5)[0].astype(int) for share in (0, 0.5, 1)
    )
    assert np.abs(full - none).max() > 20
    inner = (full > 2) & (full < 253)
    assert np.abs((full - none) / 2 - (half - none))[inner].max() <= 1


def test_the_whole_face_is_restored_if_asked(
    clip: FrameBatch, few: FrameBatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.lip_sync.wav2lip.backend.Generator", Loud)
    lined(monkeypatch)
    plan = planned(opened(tmp_path), clip)
    mouth, whole = (rendered(opened(tmp_path, f"restore_area={area}"), plan, few, 5)[0] for area in AREAS)
    assert np.nonzero(mouth[0] != clip.planes[0][0])[0].min() > PORTRAIT_POINTS[layout.EYE_CORNERS, 1].max()
    assert np.nonzero(whole[0] != clip.planes[0][0])[0].min() < PORTRAIT_POINTS[layout.EYE_CORNERS, 1].min()


def test_what_lies_before_a_face_is_not_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dark thing before the right half of the mouth, of a face that is known to look otherwise."""
    monkeypatch.setattr("tasks.lip_sync.wav2lip.backend.Generator", Loud)
    lined(monkeypatch)
    covered = pictures()[:3]
    for number, picture in enumerate(covered):
        picture[126 + number : 180 + number, 226 + 2 * number : 290] = 25
    clip = as_batch(covered)
    plan = concluded(opened(tmp_path), faces()[:3], output(range(3), clip), clip)
    boxes = [(226 + 2 * number, 126 + number, 290, 180 + number) for number in range(3)]
    hidden = np.stack(
        [cells_over(points, box) for points, box in zip(plan.per_frame["points"][:, 0], boxes, strict=True)]
    )
    known = replace(plan, per_frame={**plan.per_frame, HIDDEN: hidden[:, None]})
    none, kept, drawn = (
        rendered(opened(tmp_path, options), of, clip, 3)[0].astype(int)
        for options, of in (("restore_strength=0", known), ("", known), ("", plan))
    )
    inner, beside = (0, slice(140, 165), slice(238, 252)), (0, slice(135, 165), slice(198, 214))
    assert np.abs(kept - none)[inner].max() <= 1
    assert np.abs(kept - none)[beside].max() > 8
    assert np.abs(drawn - none)[inner].max() > 8, "unless it is asked to be drawn over"


def test_want_of_memory_makes_fewer_faces_at_once_and_loses_none(
    clip: FrameBatch, few: FrameBatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a processor that took four at once and has room for one."""
    monkeypatch.setattr("tasks.lip_sync.wav2lip.backend.Generator", Loud)
    monkeypatch.setitem(module._BATCH, "cpu", 4)
    runs = lined(monkeypatch)
    run = module._run

    def tight(network: GFPGAN, seen: Tensor, count: int) -> Tensor:
        if count > 1:
            raise OutOfVram(f"{count} faces are too many")
        return run(network, seen, count)

    monkeypatch.setattr(module, "_run", tight)
    task = opened(tmp_path)
    rendered(task, planned(task, clip), few, 5)
    assert len(runs) == len(few)
    assert any("batch 4 → 2" in step for step in residents.residents_on("cpu").steps_since_told())


def test_networks_and_what_they_ask_for_are_told_to_the_device(clip: FrameBatch, tmp_path: Path) -> None:
    task = opened(tmp_path)
    assert task.models == ("small 11111111",)
    [demand] = task.demands(clip.format)
    assert (demand.batch_frames, demand.tile_side) == (1, SIDE)
    assert LipSyncTask(parse_task("lip-sync")).models == ()
    task._restorer.load("cpu")
    assert residents.residents_on("cpu").pool.sizes.keys() == {"small 11111111"}
    task.release()
    assert not residents.residents_on("cpu").pool.sizes


def test_other_weights_are_refused_with_the_first_mismatch(tmp_path: Path) -> None:
    state = small_state()
    state["final_conv.bias"] = torch.zeros(3)
    on_disk(tmp_path, state)
    spec = replace(parse_task("lip-sync:restore=gfpgan"), weights=(on_disk(tmp_path, state),))
    with pytest.raises(WeightsError, match=r"not weights of GFPGAN: final_conv\.bias is 3, expected 8"):
        LipSyncTask(spec).load("cpu")
    spec = replace(spec, weights=(on_disk(tmp_path, {"conv.weight": torch.zeros(1)}),))
    with pytest.raises(WeightsError, match=r"not weights of GFPGAN: conv_body_first\.weight .* is missing"):
        LipSyncTask(spec).load("cpu")


@pytest.mark.parametrize("asked", ["restore_strength=0.5", "restore_area=face"])
def test_what_only_a_restored_face_has_is_not_passed_over(asked: str) -> None:
    with pytest.raises(JobError, match=f"{asked} is of a restored face; found restore=none.*add restore=gfpgan"):
        LipSyncTask(parse_task(f"lip-sync:{asked}"))


def test_a_task_that_was_not_loaded_says_so(clip: FrameBatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.lip_sync.embedded.articulate", lambda mel, statistics: Talk())
    task = opened(tmp_path, model="embedded")
    plan = planned(task, clip)
    with pytest.raises(JobError, match="the restoring network is not loaded"):
        task.render(DeviceBatch.from_frames(clip, "cpu"), plan.slice(0, FRAMES))
