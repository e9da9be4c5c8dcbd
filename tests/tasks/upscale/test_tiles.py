"""Tiles of one size cover the frame once, with the margin round what is kept, and leave no seam."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.checkpoint import read
from tasks.nets.detail_net import DetailNet
from tasks.nets.enlarging import EnlargingNet, enlarging_network
from tasks.nets.rlfn_net import RLFNNet
from tasks.nets.rrdb_net import RRDBNet
from tasks.nets.srvgg_net import SRVGGNet
from tasks.upscale.tiles import enlarge, enlarged_tiles, even_call, padded, plan_tiles


@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 30), st.integers(0, 10), st.sampled_from([1, 2, 4]))
def test_tiles_of_one_size_cover_the_frame_once_with_their_margin(
    width: int, height: int, extra: int, margin: int, multiple: int
) -> None:
    width, height = width * multiple, height * multiple
    side = -(-(2 * margin + extra) // multiple) * multiple + multiple
    grid = plan_tiles(width, height, side=side, margin=margin, multiple=multiple)
    covered = torch.zeros(height, width, dtype=torch.int32)
    for tile in grid.tiles:
        seen, kept = tile.seen, tile.kept
        assert (seen.width, seen.height) == (min(side, width), min(side, height))
        assert seen.x0 % multiple == 0 and seen.y0 % multiple == 0
        assert seen.x0 >= 0 and seen.y0 >= 0 and seen.x1 <= width and seen.y1 <= height
        assert seen.x0 == 0 or kept.x0 - seen.x0 >= margin
        assert seen.y0 == 0 or kept.y0 - seen.y0 >= margin
        assert seen.x1 == width or seen.x1 - kept.x1 >= margin
        assert seen.y1 == height or seen.y1 - kept.y1 >= margin
        covered[kept.y0 : kept.y1, kept.x0 : kept.x1] += 1
    assert bool((covered == 1).all())


def compact() -> SRVGGNet:
    torch.manual_seed(1)
    return SRVGGNet(2, 2, 8).eval().requires_grad_(False)


@pytest.mark.parametrize("size", [(33, 47), (16, 16), (61, 20), (5, 90), (12, 13)])
@pytest.mark.parametrize("at_once", [1, 3])
@torch.inference_mode()
def test_tiles_with_the_receptive_radius_are_exact(size: tuple[int, int], at_once: int) -> None:
    network = compact()
    pictures = torch.rand(2, 3, *size)
    tiled = enlarge(network, pictures, side=16, margin=network.margin, tiles_at_once=at_once)
    assert torch.allclose(tiled, network(pictures), atol=1e-6)


@torch.inference_mode()
def test_a_margin_one_short_of_the_radius_shows() -> None:
    network = compact()
    pictures = torch.rand(1, 3, 40, 40)
    tiled = enlarge(network, pictures, side=15, margin=network.margin - 1)
    assert (tiled - network(pictures)).abs().max() > 1e-6


@torch.inference_mode()
def test_frames_of_odd_sides_go_through_a_network_that_folds_pixels() -> None:
    torch.manual_seed(2)
    network = RRDBNet(2, 1, 8, 4).eval()
    pictures = torch.rand(1, 3, 21, 35)
    whole = network(padded(pictures, 2))[..., :42, :70]
    tiled = enlarge(network, pictures, side=32, margin=12)
    assert tiled.shape == (1, 3, 42, 70)
    assert (tiled - whole).abs().max() <= 1 / 255
    assert padded(torch.rand(1, 3, 1, 1), 4).shape == (1, 3, 4, 4)


@torch.inference_mode()
def test_the_network_sees_batches_of_one_shape() -> None:
    shapes = set()

    class Noting(SRVGGNet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            shapes.add(tuple(x.shape))
            return super().forward(x)

    grid = plan_tiles(50, 30, side=16, margin=4)
    tiles = list(enlarged_tiles(Noting(2, 1, 4), torch.rand(3, 3, 30, 50), grid, 4))
    assert shapes == {(4, 3, 16, 16)}
    assert len(tiles) == 3 * len(grid.tiles)


@torch.inference_mode()
def test_real_weights_in_tiles_stay_within_one_code_of_the_whole_frame(test_data: Path) -> None:
    path = test_data / "weights" / "realesr-animevideov3_from_ncnn_fp16.pth"
    network = enlarging_network(read(path), path.name)
    assert isinstance(network, SRVGGNet)
    picture = torch.rand((1, 3, 48, 64), generator=torch.Generator().manual_seed(3))
    tiled = enlarge(network, picture, side=48, margin=network.margin)
    assert (tiled - network(picture)).abs().max() <= 1e-5


def test_a_tile_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="keep nothing"):
        plan_tiles(100, 100, side=20, margin=10)
    with pytest.raises(ValueError, match="multiples of 4"):
        plan_tiles(102, 100, side=20, margin=2, multiple=4)


@given(st.integers(1, 500), st.integers(1, 32))
def test_calls_are_as_few_as_can_be_and_the_last_has_the_fewest_places_empty(tiles: int, most: int) -> None:
    call = even_call(tiles, most)
    calls = -(-tiles // call)
    assert call <= most and calls == -(-tiles // most)
    assert calls * call - tiles < calls, "a call of one tile fewer would not do"


@pytest.mark.parametrize(
    "network",
    [SRVGGNet(2, 2, 8), RRDBNet(2, 1, 8, 4), DetailNet(2, 4), RLFNNet(2, 8, 8, 4)],
    ids=lambda n: type(n).__name__,
)
@torch.inference_mode()
def test_a_tile_comes_out_the_same_whatever_is_computed_beside_it(network: EnlargingNet) -> None:
    """So calls may be filled up with anything: only their shape tells."""
    network.eval()
    tile, others = torch.rand(1, 3, 24, 32), torch.rand(2, 3, 3, 24, 32)
    alike = [network(torch.cat((some[:1], tile, some[1:])))[1] for some in others]
    assert torch.equal(*alike)
    assert torch.equal(network(torch.cat((tile, others[0])))[0], alike[0]), "nor does its place among them"
