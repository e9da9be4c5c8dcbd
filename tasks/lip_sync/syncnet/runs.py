"""Which drawn frames SyncNet is to see, what is heard with them, and what it says of them in the end.

Short runs all over an output, as many as say enough; they are settled with the plan, so that every segment knows which
of its frames are meant and the judge needs nothing of the voice but what stands here.
"""

from collections.abc import Mapping
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.syncnet.clips import mouths_of
from tasks.lip_sync.syncnet.distances import COLUMNS, RATE, SHIFTS, agreement, distances
from tasks.lip_sync.syncnet.expert import Expert
from tasks.lip_sync.voice import spoken_columns
from tasks.mel import COLUMNS_PER_SECOND, mel_slice
from tasks.task import Arrays

#: Of a run, and how many there are at most: 25 s in all.
RUN_SECONDS: Final = 0.64
MOST_RUNS: Final = 40
#: In so much of a run somebody must speak: of silence nothing is known.
_LEAST_SPOKEN: Final = 0.3
#: Fewer windows say nothing.
_LEAST_WINDOWS: Final = 25
_AROUND_COLUMNS: Final = ceil(SHIFTS / RATE * COLUMNS_PER_SECOND) + 1
_HEARD_COLUMNS: Final = ceil(RUN_SECONDS * COLUMNS_PER_SECOND) + COLUMNS + 2 * _AROUND_COLUMNS
#: The input array that marks frames of runs, and the columns of looks that hold their mouths.
MARK: Final = "sync_look"

Mouths = Mapping[tuple[int, int], bytes]
"By output frame and face: the lower half as JPEG."


def plan_runs(seconds: NDArray[np.float64], drawn: NDArray[np.bool_], mel: NDArray[np.float32]) -> Arrays:
    """Runs of drawn frames in which somebody speaks, spread over the whole, and the sound around each.

    `seconds` (n,) is when each output frame is shown, from column 0 of `mel` (80, T) on; what is asked for is told as
    arrays: `sync_frames` (R, 2), `sync_seconds` (R, K) on the clock of `sync_mel` (R, 80, C), nan beyond a run's end.
    """
    spoken = np.concatenate([[0], np.cumsum(spoken_columns(mel))])
    runs = [run for run in _runs(seconds, drawn) if _spoken(seconds[run[0]], spoken) >= _LEAST_SPOKEN]
    if len(runs) > MOST_RUNS:
        runs = [runs[i] for i in np.linspace(0, len(runs) - 1, MOST_RUNS).astype(int)]
    width = max((end - start for start, end in runs), default=0)
    clocks = np.full((len(runs), width), np.nan)
    heard = np.zeros((len(runs), len(mel), _HEARD_COLUMNS), np.float16)
    for k, (start, end) in enumerate(runs):
        first = int(np.floor(seconds[start] * COLUMNS_PER_SECOND)) - _AROUND_COLUMNS
        clocks[k, : end - start] = seconds[start:end] - first / COLUMNS_PER_SECOND
        heard[k] = mel_slice(mel, first, _HEARD_COLUMNS)
    return {"sync_frames": np.array(runs, np.int64).reshape(-1, 2), "sync_seconds": clocks, "sync_mel": heard}


def marked(runs: Arrays, count: int) -> NDArray[np.bool_]:
    """(n,) the frames of the runs."""
    mark = np.zeros(count, np.bool_)
    for start, end in runs["sync_frames"].tolist():
        mark[start:end] = True
    return mark


def _runs(seconds: NDArray[np.float64], drawn: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[start, end) of stretches of RUN_SECONDS, one after another, in which every frame is drawn."""
    found, start, count = [], 0, len(seconds)
    while start < count:
        end = int(np.searchsorted(seconds, seconds[start] + RUN_SECONDS - 1e-6))
        lost = np.flatnonzero(~drawn[start:end])
        if len(lost):
            start += int(lost[-1]) + 1
        elif end == count and seconds[-1] - seconds[start] < RUN_SECONDS - 2 / RATE:
            break  # cut off by the end
        else:
            found.append((start, end))
            start = end
    return found


def _spoken(second: float, spoken: NDArray[np.int64]) -> float:
    """Share of a run's columns in which somebody speaks."""
    low, high = np.clip(np.array([second, second + RUN_SECONDS]) * COLUMNS_PER_SECOND, 0, len(spoken) - 1).astype(int)
    return float(spoken[high] - spoken[low]) / (RUN_SECONDS * COLUMNS_PER_SECOND)


def drawn_agreement(expert: Expert, mouths: Mouths, asked: Arrays) -> dict[str, float]:
    """The measures `lse_d`, `lse_c` and `lse_offset` of drawn mouths; empty where too few were seen."""
    found = []
    for (start, end), clock, mel in zip(*(asked[f"sync_{k}"] for k in ("frames", "seconds", "mel")), strict=True):
        for face in sorted({face for frame, face in mouths if frame == start}):
            shown = [mouths.get((frame, face)) for frame in range(start, end)]
            whole = [one for one in shown if one is not None]
            if len(whole) == len(shown):
                found.append(distances(expert, mouths_of(whole), clock[: end - start], mel))
    if sum(map(len, found)) < _LEAST_WINDOWS or (agreed := agreement(found)) is None:
        return {}
    return {"lse_d": agreed.lse_d, "lse_c": agreed.lse_c, "lse_offset": abs(1000 * agreed.offset.seconds)}
