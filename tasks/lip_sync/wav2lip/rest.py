"""Where a mouth rests: nobody speaks for a while and the source's own mouth is closed, so that it is shown; pure."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.motion import EASE_SECONDS
from tasks.lip_sync.seen import SeenFace

#: A silence shorter than this is a pause within speech, and a closed mouth seen for less may be a bilabial.
LEAST_SECONDS: Final = 0.6
#: Openings in outer-eye distances: as far as a mouth is closed at most, and above this person's own most closed.
_CLOSED: Final = 0.06
_ABOVE_OWN: Final = 0.02
_OWN_SHARE: Final = 0.1


def resting_frames(face: SeenFace, silent: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) output frames in which the source's closed mouth is shown; `silent` (n,) says where nobody speaks.

    They begin and end one cross-fade within the silence: a mouth that speaks is drawn in full.
    """
    rests = np.zeros(len(silent), np.bool_)
    usable = face.codes == 0
    still = silent[face.frames] & usable & _closed(face, usable)
    breaks = np.flatnonzero((np.diff(still.astype(np.int8)) != 0) | (np.diff(face.frames) > 1)) + 1
    for run in np.split(np.arange(len(still)), breaks):
        if len(run) and still[run[0]] and _lasts(face, run) >= LEAST_SECONDS:
            seconds = face.seconds[run]
            inner = np.ones(len(run), np.bool_)
            if run[0] > 0 and usable[run[0] - 1]:
                inner &= seconds >= seconds[0] + EASE_SECONDS
            if run[-1] + 1 < len(still) and usable[run[-1] + 1]:
                inner &= seconds <= seconds[-1] - EASE_SECONDS
            rests[face.frames[run[inner]]] = True
    return rests


def _closed(face: SeenFace, usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(T,) where the source's own mouth is closed, as far as this person closes it at all."""
    opening = face.track.opening[face.inside]
    if not usable.any():
        return usable
    own = float(np.quantile(opening[usable], _OWN_SHARE))
    return np.asarray(opening <= min(own + _ABOVE_OWN, _CLOSED))


def _lasts(face: SeenFace, run: NDArray[np.int64]) -> float:
    """Seconds from the first frame of a run to the end of its last."""
    shown = float(face.seconds[run[-1]] - face.seconds[run[0]])
    return shown * len(run) / max(len(run) - 1, 1)
