"""Who is who over a whole video: tracks are parted where somebody else goes on, and told to be one person; pure.

Works on rows of measurements.  How alike two sightings are is a number that an embedding gives;
what is not clearly one thing or the other stays as place and time have it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.faces import points as face
from tasks.faces.measure import Measurements

Rows = NDArray[np.int64]

#: Another face as near as this, in eye distances, may have been taken for this one.
_ENCOUNTER: Final = 1.2
#: Sightings on either side without which nobody is parted within a shot: a turned head looks like somebody else.
_LEAST_IN_SHOT: Final = 2


@dataclass(frozen=True)
class Likeness:
    """What the cosine of two directions of an embedding means."""

    same: float
    "mean over two sets of sightings, from which on they are one person"
    even: float
    "at which one person is as likely as two"
    other: float
    "below which they surely are two"
    near: float
    "of a photo and a person, from which on they may be the same"


@dataclass(frozen=True)
class Sightings:
    """How some of the measured faces look."""

    rows: Rows
    "(K,) rows of the measurements"
    directions: NDArray[np.float32]
    "(K, D) unit vectors"
    likeness: Likeness

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, rows: Rows) -> NDArray[np.float32]:
        """(k, D) of the rows that were sighted."""
        return self.directions[np.isin(self.rows, rows)]


def parted(runs: Sequence[Rows], found: Measurements, sightings: Sightings) -> list[Rows]:
    """The runs, each ended where it goes on with somebody else: after a cut, a gap, or two faces that met."""
    shot = np.asarray(np.cumsum(found.cuts)[found.frame], np.int64)
    met = _encounters(found)
    return [part for rows in runs for part in _parted(rows, _seams(rows, found.frame, shot, met), shot, sightings)]


def _parted(rows: Rows, seams: Rows, shot: Rows, sightings: Sightings) -> list[Rows]:
    if not len(seams):
        return [rows]
    pieces = np.split(rows, seams)
    parts, known = [[pieces[0]]], sightings.of(pieces[0])
    for piece in pieces[1:]:
        seen = sightings.of(piece)
        cut = bool(shot[parts[-1][-1][-1]] != shot[piece[0]])
        if _others(known, seen, sightings.likeness, cut=cut):
            parts.append([])
            known = seen[:0]
        parts[-1].append(piece)
        known = np.concatenate([known, seen])
    return [np.concatenate(part) for part in parts]


def _others(known: NDArray[np.float32], seen: NDArray[np.float32], likeness: Likeness, *, cut: bool) -> bool:
    """Whether these are two people: within a shot surely, over a cut, where place says little, likely."""
    least, limit = (1, likeness.even) if cut else (_LEAST_IN_SHOT, likeness.other)
    return min(len(known), len(seen)) >= least and _alike(known, seen) < limit


def _seams(rows: Rows, frame: Rows, shot: Rows, met: NDArray[np.bool_]) -> Rows:
    """Indexes in `rows` before which the track may have gone over to somebody else."""
    before, after = rows[:-1], rows[1:]
    doubtful = (shot[before] != shot[after]) | (np.diff(frame[rows]) > 1) | (met[before] & ~met[after])
    return np.flatnonzero(doubtful) + 1


def _encounters(found: Measurements) -> NDArray[np.bool_]:
    """(K,) faces that had another one close by in their frame."""
    met = np.zeros(len(found.frame), np.bool_)
    where = found.points[:, face.NOSE].mean(1)
    _, first, count = np.unique(found.frame, return_index=True, return_counts=True)
    for low, high in zip(first[count > 1], (first + count)[count > 1], strict=True):
        apart = np.linalg.norm(where[low:high, None] - where[None, low:high], axis=-1)
        np.fill_diagonal(apart, np.inf)
        met[low:high] = apart.min(1) < _ENCOUNTER * found.size_pixels[low:high]
    return met


def people_of(groups: Sequence[Rows], found: Measurements, sightings: Sightings) -> list[int]:
    """For each group of rows the number of its person, in order of appearance; average linkage, the likest first.

    Nobody is in two places at once: groups that share a frame are two people.
    """
    sums = np.stack([sightings.of(rows).sum(0) for rows in groups]) if groups else np.zeros((0, 1))
    counts = np.array([len(sightings.of(rows)) for rows in groups])
    frames = [set(found.frame[rows].tolist()) for rows in groups]
    person = list(range(len(groups)))
    alike = _between(sums, counts)
    while alike.size and alike.max() >= sightings.likeness.same:
        a, b = sorted(map(int, np.unravel_index(int(alike.argmax()), alike.shape)))
        if frames[a] & frames[b]:
            alike[a, b] = alike[b, a] = -np.inf
            continue
        sums[a] += sums[b]
        counts[a] += counts[b]
        frames[a] |= frames[b]
        person = [a if who == b else who for who in person]
        counts[b] = 0
        alike[b] = alike[:, b] = -np.inf
        alike[a] = alike[:, a] = _with(a, sums, counts)
    order = {who: number for number, who in enumerate(dict.fromkeys(person))}
    return [order[who] for who in person]


def _between(sums: NDArray[np.floating], counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """(G, G) mean cosine between the sightings of two groups; -inf where one has none, and within one."""
    return np.stack([_with(k, sums, counts) for k in range(len(counts))]) if len(counts) else np.zeros((0, 0))


def _with(k: int, sums: NDArray[np.floating], counts: NDArray[np.integer]) -> NDArray[np.float64]:
    pairs = counts[k] * counts
    alike = np.where(pairs > 0, (sums @ sums[k]) / np.maximum(pairs, 1), -np.inf)
    alike[k] = -np.inf
    return np.asarray(alike, np.float64)


def _alike(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Mean cosine over all pairs."""
    return float((a @ b.T).mean())
