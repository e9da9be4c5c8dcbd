"""Pictures made for tests: random planes of any format, and what a strategy draws them from."""

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from tasks.picture import Colour, FrameBatch, Orientation, PictureFormat, PixelLayout, pixel_layout

LAYOUTS = [f"yuv{s}p{d}" for s in ("420", "422", "440", "444") for d in ("", "9le", "10le", "12le", "14le", "16le")]
ORIENTATIONS = [Orientation(t, x, y) for t in (False, True) for x in (False, True) for y in (False, True)]
BT709 = Colour(1, 1, 1, full_range=False)
PQ = Colour(9, 9, 16, full_range=False)
HLG = Colour(9, 9, 18, full_range=False)


def layout(name: str) -> PixelLayout:
    found = pixel_layout(name)
    assert found is not None
    return found


def picture_format(
    name: str = "yuv420p",
    width: int = 64,
    height: int = 48,
    colour: Colour = BT709,
    orientation: Orientation | None = ORIENTATIONS[0],
    sample_aspect_ratio: Fraction = Fraction(1),
) -> PictureFormat:
    return PictureFormat(layout(name), width, height, colour, sample_aspect_ratio, orientation)


def batch_of(format: PictureFormat, planes: list[np.ndarray]) -> FrameBatch:
    """Read-only planes as a batch, as they come from another process."""
    for plane in planes:
        plane.flags.writeable = False
    count = len(planes[0])
    return FrameBatch(format, tuple(planes), 7, np.arange(count, dtype=np.int64), np.arange(count, dtype=np.int64))


def random_batch(format: PictureFormat, count: int = 2, seed: int = 0) -> FrameBatch:
    """Every code value is possible, foot- and headroom included."""
    random = np.random.default_rng(seed)
    top, dtype = 1 << format.layout.depth, format.layout.dtype
    return batch_of(format, [random.integers(0, top, (count, *shape)).astype(dtype) for shape in format.plane_shapes])


@st.composite
def formats(draw: st.DrawFn) -> PictureFormat:
    colour = Colour(draw(st.sampled_from([1, 4, 5, 6, 7, 9])), 1, 1, draw(st.booleans()))
    return picture_format(
        draw(st.sampled_from(LAYOUTS)),
        draw(st.integers(1, 23)),
        draw(st.integers(1, 23)),
        colour,
        draw(st.sampled_from(ORIENTATIONS)),
    )
