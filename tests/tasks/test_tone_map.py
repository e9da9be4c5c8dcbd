"""The SDR view of HDR: points that the standards fix, a curve that only rises, and its inverse."""

import numpy as np
import pytest

from tasks.picture import Colour
from tasks.tone_map import KNEE, PEAK, ToneMap, tone_map

VIEWS = [ToneMap(transfer, primaries) for transfer in (16, 18) for primaries in (1, 9, 12)]


def greys(values: np.ndarray) -> np.ndarray:
    return np.broadcast_to(values, (1, 3, 1, len(values))).copy()


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_reference_white_is_bright_and_the_peak_is_white(view: ToneMap) -> None:
    found = view.to_sdr(greys(np.array([0.0, view.white])))[0, :, 0]
    np.testing.assert_allclose(found[:, 0], 0, atol=1e-9)
    assert 0.8 < found[:, 1].min() <= found[:, 1].max() < 0.9
    peak = 0.7518271 if view.transfer == 16 else 1.0  # 1000 cd/m² by BT.2100
    np.testing.assert_allclose(view.to_sdr(greys(np.array([peak])))[0, :, 0], 1.0, atol=2e-3)


@pytest.mark.parametrize("transfer", [16, 18])
def test_dark_light_is_shown_as_it_is(transfer: int) -> None:
    # An 18 % grey card: 26 cd/m² and 38 % in both transfers (BT.2408-7, table 1).
    found = ToneMap(transfer, 9).to_sdr(greys(np.array([0.38])))[0, 1, 0, 0]
    assert found**2.4 * 203 == pytest.approx(26, rel=0.03)
    assert found**2.4 < KNEE < PEAK


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_the_curve_only_rises(view: ToneMap) -> None:
    found = view.to_sdr(greys(np.linspace(-0.2, 1.3, 2000)))[0, 0, 0]
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_the_way_back_is_the_inverse(view: ToneMap) -> None:
    rgb = np.random.default_rng(0).uniform(-0.1, 1.2, (1, 3, 40, 40))
    np.testing.assert_allclose(view.to_source(view.to_sdr(rgb)), rgb, atol=1e-9)


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_a_composite_keeps_unchanged_pixels_and_takes_changed_ones(view: ToneMap) -> None:
    rgb = np.random.default_rng(0).uniform(0.1, 0.7, (1, 3, 8, 8)).astype(np.float32)
    seen = view.to_sdr(rgb)
    wish = seen.copy()
    wish[..., :4] = 0.5
    found = view.composite(rgb, wish)
    assert np.array_equal(found[..., 4:], rgb[..., 4:])
    np.testing.assert_allclose(view.to_sdr(found)[..., :4], 0.5, atol=2e-3)


def test_sdr_needs_no_view_and_unknown_primaries_are_read_as_bt2020() -> None:
    assert tone_map(Colour(1, 1, 1, False)) is None
    assert tone_map(Colour(9, 2, 16, False)) == ToneMap(16, 9)
