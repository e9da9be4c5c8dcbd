"""How code values become R'G'B' and back: matrices and ranges as numbers; knows no arrays.

Constants are those of ITU-T H.273 (07/2021), table 4 and equations 28 to 43.
"""

from dataclasses import dataclass

from tasks.errors import JobError
from tasks.picture import Colour, PixelLayout

#: (Kr, Kb) by matrix coefficients code point.
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}


@dataclass(frozen=True)
class Conversion:
    """One layout's affine map between code values and R'G'B' in which white is 1.0.

    `y = (Y - luma_offset) / luma_span`, `cb = (Cb - chroma_offset) / chroma_span` (-0.5 .. 0.5),
    `R = y + red_cr * cr`, `G = y + green_cb * cb + green_cr * cr`, `B = y + blue_cb * cb`.
    """

    luma_offset: float
    luma_span: float
    chroma_offset: float
    chroma_span: float
    kr: float
    kg: float
    kb: float
    largest: int
    "The largest code value; nothing else is clamped, foot- and headroom are kept."

    @property
    def red_cr(self) -> float:
        return 2 * (1 - self.kr)

    @property
    def blue_cb(self) -> float:
        return 2 * (1 - self.kb)

    @property
    def green_cb(self) -> float:
        return -self.blue_cb * self.kb / self.kg

    @property
    def green_cr(self) -> float:
        return -self.red_cr * self.kr / self.kg

    def rgb_rows(self) -> tuple[tuple[float, float, float, float], ...]:
        """Rows (R', G', B') of factors for (Y, Cb, Cr, 1) in code values."""
        y, c = 1 / self.luma_span, 1 / self.chroma_span
        factors = ((0.0, self.red_cr), (self.green_cb, self.green_cr), (self.blue_cb, 0.0))
        return tuple(
            (y, cb * c, cr * c, -self.luma_offset * y - self.chroma_offset * (cb + cr) * c) for cb, cr in factors
        )


def conversion(colour: Colour, layout: PixelLayout) -> Conversion:
    """The map for a layout's depth and a colour's matrix and range.

    Raises:
        JobError: the matrix is not one of BT.709, BT.601, BT.2020 (non-constant), SMPTE 240M, FCC.
    """
    weights = _LUMA_WEIGHTS.get(colour.matrix)
    if weights is None:
        raise JobError(
            f"the source's colour matrix has code {colour.matrix} (ITU-T H.273), tasks work on "
            "1 (BT.709), 4 (FCC), 5 and 6 (BT.601), 7 (SMPTE 240M) and 9 (BT.2020): "
            "render it without a task, or convert it to BT.709 first"
        )
    kr, kb = weights
    largest = (1 << layout.depth) - 1
    middle = float(1 << (layout.depth - 1))
    step = float(1 << (layout.depth - 8))
    if colour.full_range:
        spans = (0.0, float(largest), middle, float(largest))
    else:
        spans = (16 * step, 219 * step, middle, 224 * step)
    return Conversion(*spans, kr=kr, kg=1 - kr - kb, kb=kb, largest=largest)
