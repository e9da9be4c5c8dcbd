"""What lies before the chosen faces in each output frame, as a plan keeps it; pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.occlusion.hidden import Maps, hidden_maps
from tasks.lip_sync.occlusion.surface import SHAPE
from tasks.lip_sync.seen import Scan, SeenFace
from tasks.task import TaskInputs

#: Under which per-frame arrays of a plan hold the maps; not there where nothing lies before anybody.
HIDDEN: Final = "hidden"


def maps_of(scan: Scan, faces: Sequence[SeenFace]) -> list[Maps | None]:
    """For each face the map of each of its frames; None where nothing lies before it."""
    maps = (hidden_maps(face.track, scan.found, scan.surfaces) for face in faces)
    found = [None if one is None else one[face.inside] for one, face in zip(maps, faces, strict=True)]
    return [one if one is not None and one.any() else None for one in found]


def with_maps(
    values: Sequence[Mapping[str, NDArray[np.floating]]], maps: Sequence[Maps | None]
) -> list[dict[str, NDArray[np.floating]]]:
    """What is known of each face, with its map where it has one."""
    return [{**given, **({} if one is None else {HIDDEN: one})} for given, one in zip(values, maps, strict=True)]


def told(
    count: int, faces: Sequence[SeenFace], drawn: Sequence[NDArray[np.bool_]], maps: Sequence[Maps | None]
) -> dict[str, int]:
    """What a report says: in how many output frames something lies before a mouth that is drawn."""
    found = np.zeros(count, np.bool_)
    for face, active, one in zip(faces, drawn, maps, strict=True):
        if one is not None:
            found[face.frames[active & (one > 0.5).any((1, 2))]] = True
    return {"frames with something before the mouth": int(np.count_nonzero(found))} if found.any() else {}


def hidden_of(inputs: TaskInputs, frames: NDArray[np.int64], places: NDArray[np.int64] | int) -> NDArray[np.float32]:
    """(K, 11, 20) the maps of faces that are to be drawn; all 0 where nothing lies before any of them."""
    if HIDDEN not in inputs.per_frame:
        return np.zeros((len(frames), *SHAPE), np.float32)
    return np.asarray(inputs.per_frame[HIDDEN][frames, places], np.float32)
