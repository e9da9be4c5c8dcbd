"""The backend that needs no download: the source's own pixels warped as the shipped voice networks ask."""

import hashlib
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.device_batch import Box, DeviceBatch
from tasks.lip_sync.bank import bank_from_bytes
from tasks.lip_sync.cast import Cast
from tasks.lip_sync.draw import NODES, Drawing, LoadedBank, draw, load_bank, plan_drawing
from tasks.lip_sync.grid import Boxes, node_maps
from tasks.lip_sync.motion import Speech, Wish, plan_wish
from tasks.lip_sync.occlusion.parsing import FaceParts
from tasks.lip_sync.occlusion.plan import hidden_of
from tasks.lip_sync.occlusion.uncovered import uncovered
from tasks.lip_sync.plan import plan_lip_sync
from tasks.lip_sync.seen import Scan
from tasks.lip_sync.voice import articulate
from tasks.mel import MelStatistics
from tasks.residency.demand import Demand
from tasks.task import OutputFrames, TaskInputs, TaskPlan, Voice


class Embedded:
    """Mouth banks that stay on the device from one batch to the next."""

    vram_bytes = 0
    arithmetic = ""
    models: tuple[str, ...] = ()

    def demands(self) -> tuple[Demand, ...]:
        """It keeps no network on the device."""
        return ()

    def __init__(self, *, before: bool = True, parts: FaceParts | None = None) -> None:
        """With `before`, or as `parts` tell, what lies before a mouth stays as the source has it."""
        self._before, self._parts = before, parts
        self._device = "cpu"
        self._banks: dict[str, LoadedBank] = {}

    def load(self, device: str) -> None:
        """Note the device; banks come with the frames."""
        self._device = device

    def plan(self, scan: Scan, output: OutputFrames, voice: Voice, cast: Cast, offset_seconds: float) -> TaskPlan:
        """Gaps and widths of every mouth in each output frame, and banks."""
        wishes = [_wish(one, output, offset_seconds) for one in (voice, *voice.others)]
        return plan_lip_sync(scan, output, wishes, cast, before=self._before)

    def render(self, batch: DeviceBatch, inputs: TaskInputs) -> None:
        """Draw every mouth of the batch."""
        faces = inputs.per_frame["face"]
        for place in range(faces.shape[1]):
            for number in np.unique(faces[:, place]).tolist():
                if number >= 0:
                    self._draw(batch, inputs, place, number)

    def release(self) -> None:
        self._banks = {}

    def _draw(self, batch: DeviceBatch, inputs: TaskInputs, place: int, number: int) -> None:
        """Draw the face of one bank that stands in one of the places of `inputs`."""
        frames = np.flatnonzero(inputs.per_frame["face"][:, place] == number)
        points, gaps, widths, weights = (
            np.asarray(inputs.per_frame[name][frames, place], np.float64)
            for name in ("points", "gaps", "widths", "weights")
        )
        bank = self._bank(inputs.constant[f"bank{number}"])
        together = batch.device.type == "cuda"
        drawing = plan_drawing(points, gaps, widths, weights, bank.bank, together=together)
        drawing = _left_free(drawing, hidden_of(inputs, frames, place), points)
        if self._parts is not None:
            nodes = node_maps(drawing.boxes, *NODES)
            drawing = _shown(drawing, slice(None), self._parts.shown(batch, frames, points, nodes, NODES))
        inside = np.flatnonzero(_reach_into(drawing.boxes, *batch.format.upright_size))
        for group in inside[None] if together and len(inside) else inside[:, None]:
            some = drawing.at(group)
            boxes = [Box(*box) for box in some.boxes.tolist()]
            numbers = frames[group].tolist()
            rgb = batch.read(numbers, boxes, tone_mapped=True)
            batch.write(numbers, boxes, *draw(rgb, some, bank), tone_mapped=True)

    def _bank(self, stored: NDArray[np.generic]) -> LoadedBank:
        data = stored.tobytes()
        key = hashlib.blake2b(data, digest_size=16).hexdigest()
        if key not in self._banks:
            if len(self._banks) >= 8:
                self._banks.clear()
            self._banks[key] = load_bank(bank_from_bytes(data), self._device)
        return self._banks[key]


def _left_free(drawing: Drawing, hidden: NDArray[np.float32], points: NDArray[np.float64]) -> Drawing:
    """The drawing without what something lies before."""
    some = np.flatnonzero(hidden.any((1, 2)))
    if not len(some):
        return drawing
    nodes = node_maps(drawing.boxes[some], *NODES)
    free = uncovered(hidden[some], points[some], nodes, NODES, torch.device("cpu"))
    return _shown(drawing, some, free)


def _shown(drawing: Drawing, some: NDArray[np.int64] | slice, shares: torch.Tensor) -> Drawing:
    """The drawing with as much of some of its faces as `shares` (K, 1, rows, columns) say."""
    skin = drawing.skin.copy()
    skin[some, 2] *= shares[:, 0].cpu().numpy()
    return replace(drawing, skin=skin)


def _wish(voice: Voice, output: OutputFrames, offset_seconds: float) -> Wish:
    spoken = articulate(voice.mel, MelStatistics.of(voice.mel))
    mouth = spoken.at(output.start_seconds, output.duration_seconds, sync_offset_seconds=offset_seconds)
    return plan_wish(Speech(mouth.opening, mouth.closure, mouth.width), output.start_seconds)


def _reach_into(boxes: Boxes, height: int, width: int) -> NDArray[np.bool_]:
    """Which boxes show anything of a picture."""
    left, top, right, bottom = boxes.T
    reach: NDArray[np.bool_] = (left < width) & (top < height) & (right > 0) & (bottom > 0)
    return reach
