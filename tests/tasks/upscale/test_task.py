"""The task alone: any network and size, whole or in tiles, with a budget for one model, and when memory runs out."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tasks import side_by_side
from tasks.chain import Chain
from tasks.device_batch import DeviceBatch
from tasks.errors import JobError, OutOfVram, WeightsError
from tasks.nets.detail_net import DetailNet
from tasks.nets.rrdb_net import RRDBNet
from tasks.nets.srvgg_net import SRVGGNet
from tasks.picture import FrameBatch, frames_per_batch
from tasks.residency import residents
from tasks.table import open_task, parse_task
from tasks.task import TaskInputs, TaskSpec
from tasks.upscale.enlarge import Tiling, enlarged, resampled
from tasks.upscale.task import UpscaleTask
from tasks.weights import Weights
from tests.tasks.pictures import HLG, PQ, batch_of, picture_format, random_batch


@pytest.fixture(autouse=True)
def _own_residents() -> Iterator[None]:
    """A test's budget and ladder are not the next one's."""
    yield
    residents._open.clear()


@pytest.fixture(autouse=True)
def _two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ladder's steps shall be the same on every machine."""
    monkeypatch.setattr(side_by_side, "_processors", lambda: 2)


def small_network(folder: Path, name: str, seed: int) -> Path:
    """Weights of a network that does little, and that little visibly."""
    torch.manual_seed(seed)
    network = {"compact": SRVGGNet(4, 2, 8), "compact2": SRVGGNet(2, 3, 8), "dense": RRDBNet(2, 1, 8, 4)}[name]
    state = {key: (0.3 * tensor).contiguous() for key, tensor in network.state_dict().items()}
    path = folder / f"{name}-{seed}.safetensors"
    save_file(state, path)
    return path


def with_file(text: str, **files: Path) -> TaskSpec:
    """The specification with its weights as the pipeline finds them."""
    import dataclasses
    import hashlib

    name, _, options = text.partition(":")
    pairs = [*filter(None, [options]), *(f"{option}={path}" for option, path in files.items())]
    spec = parse_task(f"{name}:{','.join(pairs)}")
    found = tuple(
        Weights(option, str(path), "srvgg", hashlib.sha256(path.read_bytes()).hexdigest(), path.name, path=str(path))
        for option, path in files.items()
    )
    return dataclasses.replace(spec, weights=found)


def rendered(specs: list[TaskSpec], batch: FrameBatch, device: str = "cpu") -> FrameBatch:
    chain = Chain([open_task(spec) for spec in specs], device)
    chain.load()
    try:
        return chain.render(batch, [TaskInputs(7, 7 + len(batch), {}, {})] * len(specs))
    finally:
        chain.release()


def same(one: FrameBatch, other: FrameBatch) -> bool:
    return one.format == other.format and all(
        np.array_equal(a, b) for a, b in zip(one.planes, other.planes, strict=True)
    )


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p10le", "yuv444p12le"])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_an_even_grey_stays_that_grey_at_every_factor_and_depth(layout: str, factor: int) -> None:
    format = picture_format(layout, 33, 21)
    unit = 1 << (format.layout.depth - 8)
    codes = (120 * unit, 128 * unit, 128 * unit)
    planes = [
        np.full((2, *shape), code, format.layout.dtype) for shape, code in zip(format.plane_shapes, codes, strict=True)
    ]
    larger = rendered([parse_task(f"upscale:factor={factor}")], batch_of(format, planes))
    assert (larger.format.width, larger.format.height) == (33 * factor, 21 * factor)
    for plane, code in zip(larger.planes, codes, strict=True):
        assert np.abs(plane[:, 4:-4, 4:-4].astype(int) - code).max() <= 2 * unit


def test_each_picture_is_drawn_alike_whatever_stands_beside_it() -> None:
    batch = random_batch(picture_format("yuv420p", 40, 28), count=3)
    together = rendered([parse_task("upscale")], batch)
    for i in range(3):
        alone = FrameBatch(
            batch.format,
            tuple(plane[i : i + 1] for plane in batch.planes),
            7 + i,
            batch.pts[i : i + 1],
            batch.source_frames[i : i + 1],
        )
        one = rendered([parse_task("upscale")], alone)
        assert all(np.array_equal(a[i : i + 1], b) for a, b in zip(together.planes, one.planes, strict=True))


def test_pictures_that_have_the_height_already_stay_bit_for_bit() -> None:
    batch = random_batch(picture_format("yuv420p", 40, 28))
    assert rendered([parse_task("upscale:height=28")], batch) is batch


@pytest.mark.parametrize("size", [(130, 90), (131, 97)])
def test_tiles_leave_no_seam(size: tuple[int, int]) -> None:
    batch = random_batch(picture_format("yuv444p", *size), count=1)
    whole, tiled = (rendered([parse_task(f"upscale{tile}")], batch) for tile in ("", ":tile=64"))
    for a, b in zip(whole.planes, tiled.planes, strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1, "float rounding alone"


@pytest.mark.parametrize("name", ["compact", "compact2", "dense"])
def test_other_networks_give_any_factor_by_passes_and_averaging(tmp_path: Path, name: str) -> None:
    batch = random_batch(picture_format("yuv420p", 21, 17), count=1)
    for factor in (2, 3, 4):
        spec = with_file(f"upscale:factor={factor}", model=small_network(tmp_path, name, 0))
        larger = rendered([spec], batch)
        assert (larger.format.width, larger.format.height) == (21 * factor, 17 * factor)


def test_denoise_goes_from_one_network_to_the_other(tmp_path: Path) -> None:
    batch = random_batch(picture_format("yuv420p", 24, 16), count=1)
    model, mix = (small_network(tmp_path, "compact", seed) for seed in (1, 2))
    alone = [rendered([with_file("upscale", model=path)], batch) for path in (model, mix)]
    mixed = [rendered([with_file(f"upscale:denoise={d}", model=model, mix=mix)], batch) for d in ("1", "0", "0.5")]
    assert same(mixed[0], alone[0]) and same(mixed[1], alone[1])
    assert not same(mixed[2], alone[0]) and not same(mixed[2], alone[1])


def test_networks_that_cannot_be_mixed_are_told(tmp_path: Path) -> None:
    spec = with_file(
        "upscale:denoise=0.5",
        model=small_network(tmp_path, "compact", 1),
        mix=small_network(tmp_path, "dense", 1),
    )
    with pytest.raises(WeightsError, match="cannot be mixed"):
        open_task(spec).load("cpu")


@pytest.mark.parametrize("colour", [PQ, HLG])
def test_hdr_is_enlarged_in_its_own_transfer(colour: object) -> None:
    format = picture_format("yuv420p10le", 32, 24, colour)  # type: ignore[arg-type]
    ramp = np.linspace(64, 940, 32).astype(np.uint16)[None, None].repeat(24, 1)
    planes = [ramp, *(np.full((1, 12, 16), 512, np.uint16) for _ in range(2))]
    larger = rendered([parse_task("upscale")], batch_of(format, planes))
    assert larger.format.colour == colour
    wanted = np.interp((np.arange(64) - 0.5) / 2, np.arange(32), ramp[0, 0].astype(float))
    assert np.abs(larger.planes[0][0, 20, 6:-6] - wanted[6:-6]).max() < 12, "as bright as it was, highlights too"


def test_what_overshoots_is_cut_at_black_and_white_but_the_sources_own_foot_and_headroom_stay() -> None:
    class Loud(DetailNet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 3 * (resampled(x, (2 * x.shape[2], 2 * x.shape[3])) - 0.4)

    x = torch.rand(1, 3, 8, 8)
    out = enlarged(Loud(1, 2), x, (16, 16), Tiling(8, 3))
    assert float(out.min()) == 0 and float(out.max()) == 1
    x[0, 0, 0, 0], x[0, 0, 7, 7] = -0.05, 1.08
    out = enlarged(Loud(1, 2), x, (16, 16), Tiling(8, 3))
    assert float(out.min()) == pytest.approx(-0.05) and float(out.max()) == pytest.approx(1.08)


def test_a_budget_for_one_model_at_a_time_gives_the_same_pictures(tmp_path: Path) -> None:
    batch = random_batch(picture_format("yuv420p", 24, 16), count=2)
    files = [small_network(tmp_path, name, 3) for name in ("compact2", "dense", "compact2")]
    files[2] = small_network(tmp_path, "compact2", 4)
    specs = [with_file("upscale", model=path) for path in files]
    resident = residents.with_budget("cpu", 1 << 40)
    wanted = rendered(specs, batch)
    assert resident.pool.moves.evictions == 0

    sizes = [sum(tensor.numel() * 4 for tensor in one.values()) for one in map(_state, files)]
    tight = residents.with_budget("cpu", int(1.5 * max(sizes)) + 1024)
    chain = Chain([open_task(spec) for spec in specs], "cpu")
    chain.load()
    for _ in range(2):
        assert same(chain.render(batch, [TaskInputs(7, 9, {}, {})] * 3), wanted)
    moves = tight.pool.moves
    chain.release()
    assert moves.evictions >= 3 and moves.loads <= 3 * 2, "each batch brought each model at most once"
    assert tight.pool.holding.used_bytes == 0


@pytest.mark.parametrize("name", ["embedded", "compact", "dense"])
def test_onnx_runtime_draws_the_same_pictures_to_one_code(tmp_path: Path, name: str) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    batch = random_batch(picture_format("yuv420p10le", 45, 31), count=3)
    files = {} if name == "embedded" else {"model": small_network(tmp_path, name, 3)}
    torchs, onnxs = (rendered([with_file(f"upscale:runtime={r}", **files)], batch) for r in ("eager", "onnx"))
    assert not same(torchs, batch)
    for a, b in zip(torchs.planes, onnxs.planes, strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1, "of 1023: float rounding alone"
    chain = Chain([open_task(with_file("upscale:runtime=onnx", **files))], "cpu")
    chain.load()
    assert " by cpu at fp32 (asked for; " in chain.arithmetic[0]
    chain.release()


def test_a_chain_of_both_back_ends_with_room_for_one_network_draws_the_same(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    batch = random_batch(picture_format("yuv420p", 24, 16), count=2)
    file = small_network(tmp_path, "compact2", 3)
    specs = [with_file(f"upscale:runtime={runtime}", model=file) for runtime in ("onnx", "eager", "onnx")]
    residents.with_budget("cpu", 1 << 40)
    wanted = rendered(specs, batch)
    size_bytes = sum(tensor.numel() * 4 for tensor in _state(file).values())
    tight = residents.with_budget("cpu", size_bytes + 4096)
    assert same(rendered(specs, batch), wanted)
    assert tight.pool.moves.evictions >= 2


def _state(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


class Narrow:
    """A device that takes no more than so many pixels at once: larger calls fail as torch's allocator does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, largest_pixels: int) -> None:
        self.calls: list[tuple[int, int, int]] = []
        plain = DetailNet.forward

        def forward(network: DetailNet, x: torch.Tensor) -> torch.Tensor:
            self.calls.append((x.shape[0], x.shape[2], x.shape[3]))
            if x.shape[0] * x.shape[2] * x.shape[3] > largest_pixels:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")
            return plain(network, x)

        monkeypatch.setattr(DetailNet, "forward", forward)


def test_want_of_memory_leads_to_tiles_and_to_no_lost_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = random_batch(picture_format("yuv444p", 300, 200), count=2)
    wanted = rendered([parse_task("upscale")], batch)
    residents.with_budget("cpu", 1 << 40)
    narrow = Narrow(monkeypatch, 80 * 80)
    chain = Chain([open_task(parse_task("upscale"))], "cpu")
    chain.load()
    found = chain.render(batch, [TaskInputs(7, 9, {}, {})])
    steps = chain.steps_since_told()
    way = (
        "eager at fp32 (channels last; torch.compile gains nothing on processors, whose time goes into convolutions, "
        "and ONNX Runtime takes 0.8 to 1.2 times as long; DetailNet (embedded) bears nothing less)"
    )
    assert chain.arithmetic == (f"enlarged by embedded, {way}",)
    assert [step.split(": ", 1)[1] for step in steps] == [
        "halve: batch 2 → 1",
        "tile: tile whole frame → 152",
        "tile: tile 152 → 76",
    ]
    assert all("upscale embedded of 300x200" in step for step in steps)
    assert chain.steps_since_told() == ()
    assert len(found) == 2 and narrow.calls[-1][1:] == (76, 76)
    for a, b in zip(wanted.planes, found.planes, strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1
    chain.release()


@pytest.mark.parametrize("processors", [1, 3])
def test_pictures_are_the_same_bits_however_many_processors_draw_them(
    processors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = random_batch(picture_format("yuv420p", 96, 64), count=5)
    wanted = rendered([parse_task("upscale")], batch)
    monkeypatch.setattr(side_by_side, "_processors", lambda: processors)
    assert same(rendered([parse_task("upscale")], batch), wanted)


def test_large_pictures_are_not_drawn_side_by_side() -> None:
    task = UpscaleTask(parse_task("upscale"))
    counts = [task._at_once(DetailNet(), 64, 12 * 4 * width * width, 5) for width in (480, 3000, 8000)]
    assert counts == [2, 2, 1]


def test_what_is_not_fp32_is_counted_and_close(tmp_path: Path) -> None:
    path = small_network(tmp_path, "compact2", 3)
    batch = random_batch(picture_format("yuv420p", 24, 16), count=2)
    exact = rendered([with_file("upscale", model=path)], batch)
    chain = Chain([open_task(with_file("upscale:precision=bf16", model=path))], "cpu")
    chain.load()
    assert chain.arithmetic[0].startswith(f"enlarged by {path.stem} ") and "eager at bf16" in chain.arithmetic[0]
    found = chain.render(batch, [TaskInputs(7, 9, {}, {})])
    chain.release()
    for a, b in zip(exact.planes, found.planes, strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 3


def test_a_way_that_cannot_be_had_is_refused_when_the_task_is_loaded() -> None:
    with pytest.raises(JobError, match="precision=bf16 was asked for, but DetailNet"):
        open_task(parse_task("upscale:precision=bf16")).load("cpu")
    assert not residents.residents_on("cpu").pool.holding.residents


def test_where_no_tile_fits_the_ladder_ends_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = random_batch(picture_format("yuv420p", 300, 200), count=1)
    Narrow(monkeypatch, 16)
    chain = Chain([open_task(parse_task("upscale"))], "cpu")
    chain.load()
    with pytest.raises(OutOfVram, match="upscale on cpu, tiles of 76: CUDA out of memory"):
        chain.render(batch, [TaskInputs(7, 8, {}, {})])
    assert "elsewhere: nothing smaller is left on this device" in chain.steps_since_told()[-1]
    chain.release()


def test_a_network_is_shared_by_all_that_use_it_and_goes_with_the_last() -> None:
    shared = residents.residents_on("cpu")
    first, second = (open_task(parse_task("upscale")) for _ in range(2))
    first.load("cpu")
    second.load("cpu")
    batch = random_batch(picture_format("yuv420p", 24, 16), count=1)
    first.render(DeviceBatch.from_frames(batch, "cpu"), TaskInputs(7, 8, {}, {}))
    assert len(shared.pool.holding.residents) == 1
    first.release()
    assert len(shared.pool.holding.residents) == 1
    second.release()
    assert not shared.pool.holding.residents


def test_the_key_knows_the_weights_that_ship_and_leaves_others_to_their_own(tmp_path: Path) -> None:
    embedded = open_task(parse_task("upscale")).digest()
    one, other = (
        open_task(with_file("upscale", model=small_network(tmp_path, "compact", seed))).digest() for seed in (1, 2)
    )
    assert embedded != one == other


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("layout", ["yuv420p", "yuv444p10le"])
def test_a_gpu_draws_what_the_processor_draws(layout: str) -> None:
    batch = random_batch(picture_format(layout, 61, 47), count=5)
    here, there = (rendered([parse_task("upscale:factor=3")], batch, device) for device in ("cpu", "cuda:0"))
    for a, b in zip(here.planes, there.planes, strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1


def test_a_real_checkpoint_enlarges_four_times_and_its_tiles_leave_no_seam(test_data: Path) -> None:
    path = test_data / "weights" / "realesr-animevideov3_from_ncnn_fp16.pth"
    y, x = np.mgrid[:72, :100]
    rings = (128 + 60 * np.sin(np.hypot(x - 40, y - 30) / 8)).astype(np.uint8)
    batch = batch_of(picture_format("yuv420p", 100, 72), [rings[None], *(np.full((1, 36, 50), 128, np.uint8),) * 2])
    whole, tiled = (rendered([with_file(f"upscale:factor=4{t}", model=path)], batch) for t in ("", ",tile=64"))
    assert (whole.format.width, whole.format.height) == (400, 288)
    assert np.abs(whole.planes[0].astype(int) - tiled.planes[0].astype(int)).max() <= 1
    smaller = whole.planes[0][0].reshape(72, 4, 100, 4).mean((1, 3))
    assert np.abs(smaller - rings)[4:-4, 4:-4].mean() < 6, "the same picture, larger"


def test_a_checkpoint_of_another_network_is_told(test_data: Path) -> None:
    path = test_data / "weights" / "RFDN_AIM_x4.pth"
    with pytest.raises(WeightsError, match="expected those of RRDBNet or SRVGGNetCompact"):
        open_task(with_file("upscale", model=path)).load("cpu")


@pytest.mark.parametrize(
    ("size", "call", "filled"),
    [((426, 240), 10, 0.95), ((480, 270), 15, 1.0), ((960, 540), 3, 1.0), ((1920, 1080), 1, 1.0)],
)
def test_calls_on_a_gpu_are_filled_by_a_batch_alone(
    tmp_path: Path, size: tuple[int, int], call: int, filled: float
) -> None:
    """Enlarged by 4; calls of 16, or of what the memory bears, would be filled to 59, 94, 75 and 100 %."""
    task = UpscaleTask(with_file("upscale:factor=4", model=small_network(tmp_path, "compact", 1)))
    task.load("cpu")
    assert task._network is not None
    task._network.pixel_bytes, task._device = 896, torch.device("cuda")
    format = picture_format("yuv420p", *size)
    frames = frames_per_batch(16 * size[0] * size[1] * 3 // 2)
    (demand,) = task.demands(format)
    assert demand.batch_frames == call
    assert frames / (-(-frames // call) * call) >= filled - 0.005
    task.release()
