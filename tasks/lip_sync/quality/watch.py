"""Looks at mouths while they are drawn: each before and after, a few frames a second, as arrays to keep."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.device_batch import DeviceBatch
from tasks.faces.landmarks import LandmarkModel
from tasks.faces.measure import geometry
from tasks.faces.region import region_of_points
from tasks.faces.tracks import OPENING_GAIN
from tasks.lip_sync.quality.crop import BatchCrops, Picture, crop, mouth_matrices, side_by_side
from tasks.lip_sync.quality.look import CELLS, Look, look_at
from tasks.lip_sync.syncnet.clips import SIDE as FACE_SIDE
from tasks.lip_sync.syncnet.clips import jpeg_of
from tasks.lip_sync.syncnet.clips import mouth_matrices as face_matrices
from tasks.lip_sync.syncnet.runs import MARK
from tasks.task import Arrays, TaskInputs


@dataclass(frozen=True)
class Watched:
    """One mouth that is about to be drawn."""

    picture: int
    "Of the batch."
    frame: int
    "Of the output."
    face: int
    points: NDArray[np.float32]
    "(51, 2)"
    matrix: NDArray[np.float64]
    before: Picture


class Watch:
    """The landmark network that measures drawn mouths again, loaded with the first of them."""

    def __init__(self) -> None:
        self._landmarks: LandmarkModel | None = None

    @torch.inference_mode()
    def before(self, batch: DeviceBatch, inputs: TaskInputs, pictures: Sequence[int]) -> list[Watched]:
        """Every mouth of `pictures` that is drawn in full."""
        if "face" not in inputs.per_frame:
            return []
        found = []
        for i in pictures:
            for number, points in _drawn(inputs, i):
                matrix = mouth_matrices(points[None])[0]
                found.append(Watched(i, inputs.start + i, number, points, matrix, crop(batch, i, matrix)))
        return found

    @torch.inference_mode()
    def after(self, watched: Sequence[Watched], batch: DeviceBatch, inputs: TaskInputs) -> Arrays:
        """What became of them, mouths into which nothing was drawn left out; and the mouths that SyncNet is to see."""
        rows = []
        for one in watched:
            drawn = crop(batch, one.picture, one.matrix)
            look = look_at(one.before, drawn)
            if look is not None:
                rows.append((one, look, self._opening(batch, one), side_by_side(one.before, drawn)))
        return _columns(rows) | _mouths(batch, inputs)

    def _opening(self, batch: DeviceBatch, one: Watched) -> float:
        """How far the drawn mouth is seen to be open, in outer-eye distances; nan where none is seen."""
        self._landmarks = self._landmarks or LandmarkModel("cpu")
        region = region_of_points(one.points, self._landmarks.mean_shape)
        seen = self._landmarks.look(BatchCrops(batch), one.picture, region)
        return float(geometry(seen.points).opening) * OPENING_GAIN if seen.presence > 0.3 else float("nan")


def _drawn(inputs: TaskInputs, i: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Number and points (51, 2) of each mouth that is drawn in full in picture `i`."""
    for place in np.flatnonzero(inputs.per_frame["face"][i] >= 0).tolist():
        if float(inputs.per_frame["weights"][i, place]) > 0.99:
            points = np.asarray(inputs.per_frame["points"][i, place], np.float32)
            yield int(inputs.per_frame["face"][i, place]), points


def _mouths(batch: DeviceBatch, inputs: TaskInputs) -> dict[str, NDArray[np.generic]]:
    """The lower halves of drawn faces in the frames that are marked for SyncNet."""
    mark = inputs.per_frame.get(MARK, np.zeros(len(batch), np.bool_))
    found: list[tuple[int, int, bytes]] = []
    for i in np.flatnonzero(mark).tolist() if "face" in inputs.per_frame else ():
        for number, points in _drawn(inputs, i):
            face = crop(batch, i, face_matrices(points[None])[0], FACE_SIDE)
            found.append((inputs.start + i, number, jpeg_of(np.rint(face * 255).astype(np.uint8))))
    pictures = [np.frombuffer(jpeg, np.uint8) for *_, jpeg in found]
    return {
        "mouth_frame": np.array([frame for frame, *_ in found], np.int64),
        "mouth_face": np.array([face for _, face, _ in found], np.int16),
        "mouth_bytes": np.array([len(picture) for picture in pictures], np.int64),
        "mouths": np.concatenate([np.zeros(0, np.uint8), *pictures]),
    }


def _columns(rows: Sequence[tuple[Watched, Look, float, bytes]]) -> dict[str, NDArray[np.generic]]:
    cells = (len(rows), CELLS, CELLS)
    pictures = [np.frombuffer(picture, np.uint8) for *_, picture in rows]
    return {
        "frame": np.array([one.frame for one, *_ in rows], np.int64),
        "face": np.array([one.face for one, *_ in rows], np.int16),
        "seam": np.array([look.seam for _, look, *_ in rows], np.float32),
        "sharpness": np.array([look.sharpness for _, look, *_ in rows], np.float32),
        "opening": np.array([opening for *_, opening, _ in rows], np.float32),
        "change": np.array([look.change for _, look, *_ in rows], np.float16).reshape(cells),
        "source": np.array([look.source for _, look, *_ in rows], np.float16).reshape(cells),
        "drawn": np.array([look.drawn for _, look, *_ in rows], np.float16).reshape(cells),
        "picture_bytes": np.array([len(picture) for picture in pictures], np.int64),
        "pictures": np.concatenate([np.zeros(0, np.uint8), *pictures]),
    }
