"""From looks at drawn mouths to how good a video came out: one pass over its segments in order; pure arithmetic."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.quality.look import edge_cells
from tasks.lip_sync.syncnet.expert import Expert
from tasks.lip_sync.syncnet.runs import drawn_agreement
from tasks.quality import KINDS, Quality, WorstFrame
from tasks.task import Arrays, UnitMeasurement

#: A change of brightness from frame to frame that nobody sees.
_FLOOR: Final = 1 / 255
#: Looks from which on a measure is told.
LEAST_LOOKS: Final = 3
LEAST_FOR_SYNC: Final = 20
#: Pictures of each measure that a report shows.
SHOWN: Final = 2


@dataclass
class _Tally:
    """What was seen so far; grows by a few numbers a look."""

    frames: list[int] = field(default_factory=list)
    seam: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    openings: list[tuple[int, float]] = field(default_factory=list)
    inner: list[float] = field(default_factory=list)
    "Flicker of frames that follow one another within a segment."
    border: list[float] = field(default_factory=list)
    "The same across a border."
    worst: dict[str, list[WorstFrame]] = field(default_factory=dict)
    mouths: dict[tuple[int, int], bytes] = field(default_factory=dict)
    "What SyncNet is to see, by frame and face; a few hundred."

    def offer(self, frame: WorstFrame) -> None:
        """Keep the frame if it is among the worst of its measure."""
        kept = [*self.worst.get(frame.measure, []), frame]
        sign = 1 if KINDS[frame.measure].at_most else -1
        self.worst[frame.measure] = sorted(kept, key=lambda one: -sign * one.value)[:SHOWN]


@dataclass(frozen=True)
class _Cells:
    """The cells of one look."""

    frame: int
    change: NDArray[np.float32]
    source: NDArray[np.float32]
    drawn: NDArray[np.float32]


def judge(
    looks: Iterable[UnitMeasurement], asked: Arrays, cuts: NDArray[np.bool_], expert: Expert | None = None
) -> Quality:
    """The quality of all looks, whose segments come in order.

    `asked` holds `opening` (n,), how far the voice wants the mouth open in each output frame, and the runs that the
    `expert` is asked about; `cuts` (n,) says where the picture does not continue the one before.
    """
    tally, last = _Tally(), dict[int, _Cells]()
    for unit in looks:
        last = _taken(tally, unit, last, cuts)
    measures = {
        "seam": _quantile(tally.seam, 0.95),
        "flicker": _quantile([*tally.inner, *tally.border], 0.95),
        "border": _border(tally),
        "sharpness": _quantile(tally.sharpness, 0.5),
        "sync": _sync(tally.openings, asked.get("opening")),
        **(drawn_agreement(expert, tally.mouths, asked) if expert and "sync_frames" in asked else {}),
    }
    known = {name: round(value, 4) for name, value in measures.items() if value is not None}
    worst = tuple(one for name, kept in tally.worst.items() if name in known for one in kept)
    return Quality(known, len(set(tally.frames)), worst)


def _taken(
    tally: _Tally, unit: UnitMeasurement, last: Mapping[int, _Cells], cuts: NDArray[np.bool_]
) -> dict[int, _Cells]:
    """One segment taken into the tally; the last look of each face comes back."""
    arrays, before = unit.arrays, dict(last)
    if not arrays:
        return before
    tally.mouths |= _mouths(arrays)
    ends = np.cumsum(arrays["picture_bytes"]).tolist()
    for k, (frame, face) in enumerate(zip(arrays["frame"].tolist(), arrays["face"].tolist(), strict=True)):
        start = ends[k - 1] if k else 0
        picture = arrays["pictures"][start : ends[k]].tobytes()
        cells = _Cells(frame, *(np.asarray(arrays[name][k], np.float32) for name in ("change", "source", "drawn")))
        _note(tally, arrays, k, picture)
        if (one := before.get(face)) is not None and one.frame + 1 == frame and not cuts[frame]:
            change = _flicker(one, cells)
            (tally.border if one.frame < unit.start else tally.inner).append(change)
            tally.offer(WorstFrame(frame, "flicker", change, picture))
        before[face] = cells
    return before


def _mouths(arrays: Arrays) -> dict[tuple[int, int], bytes]:
    ends = [0, *np.cumsum(arrays["mouth_bytes"]).tolist()]
    keys = zip(arrays["mouth_frame"].tolist(), arrays["mouth_face"].tolist(), strict=True)
    return {key: arrays["mouths"][start:end].tobytes() for key, start, end in zip(keys, ends, ends[1:], strict=False)}


def _note(tally: _Tally, arrays: Arrays, k: int, picture: bytes) -> None:
    """What one look says by itself."""
    frame, opening = int(arrays["frame"][k]), float(arrays["opening"][k])
    tally.frames.append(frame)
    if np.isfinite(opening):
        tally.openings.append((frame, opening))
    for name, values in (("seam", tally.seam), ("sharpness", tally.sharpness)):
        values.append(value := float(arrays[name][k]))
        tally.offer(WorstFrame(frame, name, value, picture))


def _flicker(one: _Cells, other: _Cells) -> float:
    """How much more the edge of what is drawn changes in brightness than the source does there."""
    edge = edge_cells(np.maximum(one.drawn, other.drawn))
    if not edge.any():
        return 0.0
    new, own = (float(np.abs(b - a)[edge].mean()) for a, b in ((one.change, other.change), (one.source, other.source)))
    return (new + _FLOOR) / (own + _FLOOR)


def _border(tally: _Tally) -> float | None:
    """Flicker across borders over that within segments."""
    if not tally.border or len(tally.inner) < LEAST_LOOKS:
        return None
    return float(np.mean(tally.border) / max(float(np.mean(tally.inner)), 1e-6))


def _sync(openings: list[tuple[int, float]], asked: NDArray[np.generic] | None) -> float | None:
    """Correlation of the openings seen with those asked for; None where nothing is asked or too little seen."""
    if asked is None or len(openings) < LEAST_FOR_SYNC:
        return None
    frames, seen = np.array([frame for frame, _ in openings]), np.array([opening for _, opening in openings])
    wanted = np.asarray(asked, np.float64)[frames]
    if wanted.std() < 0.02 or seen.std() < 1e-5:
        return None if wanted.std() < 0.02 else 0.0
    return float(np.corrcoef(seen, wanted)[0, 1])


def _quantile(values: list[float], share: float) -> float | None:
    return float(np.quantile(values, share)) if len(values) >= LEAST_LOOKS else None
