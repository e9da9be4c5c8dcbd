"""Where in a picture the upright crop of a face lies, framed as generators were trained on faces; pure.

Everything is said in the *face frame*: the origin lies midway between the outer eye corners, x runs
along them, and the unit is their distance in a frontal view.  It is found from eyes and nose alone,
so that a speaking mouth moves nothing.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.faces import points as face

Array = NDArray[np.float64]

#: Eyes and nose of the mean frontal face in the face frame, in the order of `tasks.faces.points`.
_RIGID: Final = slice(face.NOSE.start, face.EYE_CORNERS.stop)
_MEAN: Final = np.array(
    [(0, -0.066), (0, 0.414), (-0.187, 0.47), (0.187, 0.47), (-0.5, 0), (-0.196, 0.013), (0.196, 0.013), (0.5, 0)]
)
#: The boxes of a detector trained on WIDER FACE, as the upstream's S3FD is: medians of YuNet's over 20 people.
#: They end at the chin; upstream then adds 10 pixels below.
HALF_WIDTH: Final = 0.75
TOP: Final = -0.85
BELOW_CHIN: Final = 0.10
#: Chins, in the face frame, of anybody; what lies beyond is an error of the landmarks.
CHIN_LIMITS: Final = (1.05, 1.60)
#: The chin that crops are framed for which are to show the same of everybody.
CHIN: Final = 1.24
#: Where FFHQ's faces, which restoring networks are trained on, have their eyes: side of the crop in units, and the
#: origin in parts of the side.  Of xinntao/facexlib's template for 512 pixels (face_restoration_helper.py), whose eyes
#: lie at (192.98, 239.95) and (318.90, 240.19); its nose tip then lies within half a pixel of the mean face's.
FFHQ_SIDE: Final = 2.830
FFHQ_ORIGIN: Final = (0.5009, 0.4676)


def face_frames(points: NDArray[np.floating]) -> Array:
    """(T, 2, 3) maps from the face frame to the pixels of points (T, 51, 2), without shear.

    Umeyama, PAMI 1991, without reflection, over eyes and nose.
    """
    p = np.asarray(points[:, _RIGID], np.float64)
    p_middle, q_middle = p.mean(1), _MEAN.mean(0)
    p, q = p - p_middle[:, None], _MEAN - q_middle
    power = float((q * q).sum())
    a = (p * q).sum((1, 2)) / power
    b = (q[:, 0] * p[..., 1] - q[:, 1] * p[..., 0]).sum(1) / power
    linear = np.stack([np.stack([a, -b], -1), np.stack([b, a], -1)], 1)  # (T, 2, 2)
    origin = p_middle - linear @ q_middle
    return np.concatenate([linear, origin[..., None]], 2)


def chin_of(points: NDArray[np.floating], frames: Array) -> float:
    """Where the chin of one face is when its mouth is open, in the face frame; `frames` are those of `points`."""
    down = in_frame(frames, points[:, face.CHIN : face.CHIN + 1])[:, 0, 1]
    return float(np.clip(np.quantile(down, 0.9), *CHIN_LIMITS)) if len(down) else CHIN_LIMITS[0]


def crop_matrices(frames: Array, chin: float, side: int) -> Array:
    """(T, 2, 3) maps from the pixels of a crop of `side` (centres at integers) to picture pixels."""
    width, height = 2 * HALF_WIDTH / side, (chin + BELOW_CHIN - TOP) / side
    scaled = frames[..., :2] * np.array([width, height])
    corner = np.array([-HALF_WIDTH + width / 2, TOP + height / 2])
    return np.concatenate([scaled, (frames[..., :2] @ corner + frames[..., 2])[..., None]], 2)


def ffhq_matrices(frames: Array, side: int) -> Array:
    """The same for a crop that shows the face as FFHQ does: the whole head, whatever its mouth does."""
    step = FFHQ_SIDE / side
    corner = step * 0.5 - FFHQ_SIDE * np.array(FFHQ_ORIGIN)
    return np.concatenate([frames[..., :2] * step, (frames[..., :2] @ corner + frames[..., 2])[..., None]], 2)


def in_frame(maps: Array, points: NDArray[np.floating]) -> Array:
    """Points (T, K, 2) of a picture in the coordinates that `maps` (T, 2, 3) lead from."""
    offset = np.asarray(points, np.float64) - maps[:, None, :, 2]
    inverse = np.linalg.inv(maps[..., :2])
    return np.asarray(np.einsum("tij,tkj->tki", inverse, offset), np.float64)


def to_picture(maps: Array, places: Array) -> Array:
    """Places (K, 2) or (T, K, 2) of the maps' own coordinates in picture pixels: (T, K, 2)."""
    return np.asarray(places @ np.swapaxes(maps[..., :2], 1, 2) + maps[:, None, :, 2], np.float64)
