"""The 51 face points that all of Reelyard uses: their order, groups and pairs.

Points are `(51, 2)` float32, x to the right and y down, in pixels of the upright frame
(pixel centres at integer coordinates).  "Left" means the viewer's left.  The order is:

    0-11   outer lip, from the left corner over the upper lip to the right corner and back below
    12-31  inner lip, the same way round
    32-42  jaw, from the left side over the chin (37) to the right side
    43-46  nose: bridge, tip, left wing, right wing
    47-50  eye corners: left outer, left inner, right inner, right outer

Each point has one vertex of MediaPipe's face mesh (`FACEMESH_VERTICES`), by which a
mesh of 468 vertices is read as these points.
"""

from typing import Final

POINTS: Final = 51

OUTER_LIP: Final = slice(0, 12)
INNER_LIP: Final = slice(12, 32)
LIPS: Final = slice(0, 32)
JAW: Final = slice(32, 43)
NOSE: Final = slice(43, 47)
EYE_CORNERS: Final = slice(47, 51)

MOUTH_LEFT: Final = 0
MOUTH_RIGHT: Final = 6
INNER_LEFT: Final = 12
INNER_RIGHT: Final = 22
UPPER_INNER_MIDDLE: Final = 17
LOWER_INNER_MIDDLE: Final = 27
CHIN: Final = 37
NOSE_BRIDGE: Final = 43
NOSE_TIP: Final = 44
EYE_LEFT_OUTER: Final = 47
EYE_LEFT_INNER: Final = 48
EYE_RIGHT_INNER: Final = 49
EYE_RIGHT_OUTER: Final = 50

#: (upper, lower) inner-lip points that face each other, left to right; their mean gap is the opening.
INNER_GAPS: Final = ((15, 29), (16, 28), (17, 27), (18, 26), (19, 25))

#: The face-mesh vertex of each point.
FACEMESH_VERTICES: Final = (
    *(61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91),
    *(78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
    *(132, 172, 136, 150, 176, 152, 400, 379, 365, 397, 361),
    *(168, 1, 98, 327),
    *(33, 133, 362, 263),
)

#: Where each point goes when the picture is mirrored left to right.
MIRROR: Final = (
    *(6, 5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7),
    *(22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 31, 30, 29, 28, 27, 26, 25, 24, 23),
    *(42, 41, 40, 39, 38, 37, 36, 35, 34, 33, 32),
    *(43, 44, 46, 45),
    *(50, 49, 48, 47),
)
