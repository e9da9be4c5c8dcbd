"""The Wav2Lip backend: faces cropped upright, redrawn by the network as the voice asks, and blended in."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.device_batch import DeviceBatch
from tasks.errors import JobError
from tasks.lip_sync.cast import Cast
from tasks.lip_sync.face_frame import in_frame
from tasks.lip_sync.occlusion.parsing import FaceParts
from tasks.lip_sync.occlusion.plan import hidden_of
from tasks.lip_sync.occlusion.uncovered import uncovered
from tasks.lip_sync.seen import Scan
from tasks.lip_sync.wav2lip.colour import match_colour
from tasks.lip_sync.wav2lip.draw import box_of_crop, box_of_mask, finer, match_light, paste, resized, sample_crop
from tasks.lip_sync.wav2lip.mask import box_edges, hull_edges, mouth_cells, soft_masks
from tasks.lip_sync.wav2lip.network import Generator
from tasks.lip_sync.wav2lip.plan import plan_generated
from tasks.mel import BANDS
from tasks.nets.wav2lip import COLUMNS, SIDE
from tasks.residency.demand import Demand
from tasks.runtime.choice import Machine
from tasks.task import OutputFrames, TaskInputs, TaskPlan, Voice, sound_name
from tasks.turning import Box
from tasks.weights import Weights

_VRAM_BYTES: Final = 900_000_000
#: Of the larger networks: 0.2 and 0.6 GB of weights and what a batch passes through, counted, not measured.
_LARGER_VRAM_BYTES: Final = 1_800_000_000


@dataclass(frozen=True)
class Manner:
    """How a generator is to be used."""

    precision: str = "auto"
    "auto | fp32 | bf16"
    runtime: str = "auto"
    "auto | eager | compile | graphs | onnx"
    like: Machine | None = None
    "What the precision is chosen by, where nodes of a run differ"
    mask: str = "hull"
    "hull: mouth and jaw; box: the lower half of the crop; parsing: what of that is face"
    parts: FaceParts | None = None
    "what tells face from what lies before it"
    before: bool = True
    "what lies before a face stays there"
    silence: str = "rest"
    "rest | draw | keep: where nobody speaks the source's closed mouth is shown, none of it, or whatever it does"


@dataclass(frozen=True)
class _Faces:
    """K faces of a batch; each stands for itself."""

    frames: NDArray[np.int64]
    "(K,) pictures of the batch"
    matrices: NDArray[np.float64]
    "(K, 2, 3) crop to picture"
    points: NDArray[np.float64]
    "(K, 51, 2) in the picture"
    weights: NDArray[np.float64]
    "(K,) 0 the source's own mouth .. 1 the drawn one"
    mel: NDArray[np.float32]
    "(K, 80, 16)"
    hidden: NDArray[np.float32]
    "(K, 11, 20) where something lies before each"

    def at(self, start: int, end: int) -> "_Faces":
        return _Faces(*(getattr(self, name)[start:end] for name in self.__dataclass_fields__))


class Generated:
    """The generator and what is around it."""

    vram_bytes = _VRAM_BYTES
    arithmetic = ""

    def __init__(self, weights: Weights | None, how: Manner) -> None:
        self._weights = weights
        self._how = how
        self._generator: Generator | None = None

    def load(self, device: str) -> None:
        """The generator among the device's networks where its file is on this node; a scan needs none.

        Raises:
            WeightsError: the file is of another network.
            JobError: it cannot be computed as was asked for.
        """
        if self._weights is not None and self._weights.path:
            how = self._how
            self._generator = Generator(
                self._weights, device, precision=how.precision, runtime=how.runtime, like=how.like
            )
            self.vram_bytes = _VRAM_BYTES if self._generator.side == SIDE else _LARGER_VRAM_BYTES
            self.arithmetic = self._generator.arithmetic

    @property
    def models(self) -> tuple[str, ...]:
        """Of the device's networks."""
        return () if self._generator is None else (self._generator.name,)

    def demands(self) -> tuple[Demand, ...]:
        """What each of them asks of the device."""
        return () if self._generator is None else (self._generator.demand(),)

    def plan(self, scan: Scan, output: OutputFrames, voice: Voice, cast: Cast, offset_seconds: float) -> TaskPlan:
        """Crops of every face in each output frame, and the sound it hears."""
        return plan_generated(
            scan, output, voice, cast, offset_seconds, silence=self._how.silence, before=self._how.before
        )

    def render(self, batch: DeviceBatch, inputs: TaskInputs) -> None:
        """Draw every mouth of the batch, so many faces at once as the generator takes."""
        if self._generator is None:
            raise JobError("lip-sync: the generator is not loaded; load the task with its weights before it renders")
        if not (np.asarray(inputs.per_frame["face"], np.int16) >= 0).any():
            return
        faces = _faces(inputs)
        for start in range(0, len(faces.frames), self._generator.batch):
            self._draw(batch, faces.at(start, start + self._generator.batch), self._generator)

    def release(self) -> None:
        if self._generator is not None:
            self._generator.release()
        self._generator = None

    def _draw(self, batch: DeviceBatch, faces: _Faces, generator: Generator) -> None:
        boxes = [box_of_crop(matrix) for matrix in faces.matrices]
        masks = self._masks(batch, faces)
        inner = [box_of_mask(*one) for one in zip(faces.matrices, masks[:, 0], boxes, strict=True)]
        matrices = [finer(matrix, generator.side) for matrix in faces.matrices]
        crops, regions = [], []
        for frame, matrix, around, inside in zip(faces.frames.tolist(), matrices, boxes, inner, strict=True):
            rgb = batch.read([frame], [around], tone_mapped=True)
            crops.append(sample_crop(rgb, around, matrix, side=generator.side))
            regions.append(_within(rgb, around, inside))
        seen = torch.cat(crops)
        points = in_frame(faces.matrices, faces.points)
        mel = torch.from_numpy(faces.mel).to(batch.device)[:, None]
        masks = resized(masks, generator.side)
        mouths = mouth_cells(points, batch.device)
        drawn = match_colour(seen, generator.draw(mel, seen), masks, mouths)
        drawn = match_light(seen, drawn, masks, mouths)
        shown = masks * torch.from_numpy(faces.weights.astype(np.float32)).to(batch.device)[:, None, None, None]
        for k, frame in enumerate(faces.frames.tolist()):
            one = slice(k, k + 1)
            blended, mask = paste(regions[k], inner[k], matrices[k], drawn[one], shown[one])
            batch.write([frame], [inner[k]], blended, mask, tone_mapped=True)

    def _masks(self, batch: DeviceBatch, faces: _Faces) -> Tensor:
        """(K, 1, 96, 96) what is shown: not where something lies before the face."""
        hull = self._how.mask == "hull"
        edges = hull_edges(in_frame(faces.matrices, faces.points)) if hull else box_edges(len(faces.frames))
        masks = soft_masks(edges, batch.device)
        if faces.hidden.any():
            masks = masks * uncovered(faces.hidden, faces.points, faces.matrices, (SIDE, SIDE), batch.device)
        if self._how.parts is not None:
            masks = masks * self._how.parts.shown(batch, faces.frames, faces.points, faces.matrices, (SIDE, SIDE))
        return masks


def _within(rgb: Tensor, around: Box, inside: Box) -> Tensor:
    """The part of a region that a box within it shows, for itself."""
    rows = slice(inside.y0 - around.y0, inside.y1 - around.y0)
    columns = slice(inside.x0 - around.x0, inside.x1 - around.x0)
    return rgb[..., rows, columns].clone()


def _faces(inputs: TaskInputs) -> _Faces:
    """The faces of `inputs`, frame by frame."""
    frames, places = np.nonzero(np.asarray(inputs.per_frame["face"], np.int16) >= 0)
    heard = _heard(inputs, frames, inputs.per_frame["voice"][frames, places].astype(np.int64))
    points, matrices, weights = (
        np.asarray(inputs.per_frame[name][frames, places], np.float64) for name in ("points", "matrix", "weights")
    )
    return _Faces(frames, matrices, points, weights, heard, hidden_of(inputs, frames, places))


def _heard(inputs: TaskInputs, frames: NDArray[np.int64], voices: NDArray[np.int64]) -> NDArray[np.float32]:
    """(K, 80, 16) what each face hears of its voice."""
    heard = np.empty((len(frames), BANDS, COLUMNS), np.float32)
    for k, (frame, voice) in enumerate(zip(frames.tolist(), voices.tolist(), strict=True)):
        first = int(inputs.per_frame[sound_name("mel_first", voice)][frame])
        heard[k] = inputs.constant[sound_name("mel", voice)][:, first : first + COLUMNS]
    return heard
