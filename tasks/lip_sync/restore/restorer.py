"""Faces restored where a mouth was drawn: cut out as FFHQ shows them, run through GFPGAN, and put back softly.

Knows nothing of who drew: it sees pictures and the points of the faces in them.  What it does to a face depends on
that face in that frame alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from tasks.checkpoint import fill, read
from tasks.device_batch import DeviceBatch
from tasks.errors import JobError
from tasks.lip_sync.face_frame import face_frames, ffhq_matrices, in_frame
from tasks.lip_sync.occlusion.parsing import FaceParts
from tasks.lip_sync.occlusion.plan import hidden_of
from tasks.lip_sync.occlusion.uncovered import uncovered
from tasks.lip_sync.restore.blend import MASK_SIDE, shown_masks, with_own_light
from tasks.lip_sync.wav2lip.draw import box_of_crop, box_of_mask, finer, paste, resized, sample_crop
from tasks.nets.gfpgan import GFPGAN, SIDE, gfpgan_of
from tasks.nets.wav2lip import SIDE as CROP
from tasks.picture import PictureFormat
from tasks.residency.demand import Demand
from tasks.residency.ladder import Setting
from tasks.residency.residents import Residents, residents_on
from tasks.residency.shortage import told_as_out_of_vram
from tasks.task import TaskInputs
from tasks.turning import Box
from tasks.weights import Weights

#: Faces in one run of the network: more gain nothing on a CPU.
_BATCH: Final = {"cpu": 1, "cuda": 4}
#: What one face takes on its way through, counted over the layers of the widest level, not measured.
_FACE_BYTES: Final = 600_000_000
#: Faces that are cut out before they are put back: 6 MB each.
_AT_HAND: Final = 8


@dataclass(frozen=True)
class Restoring:
    """How much is restored."""

    strength: float = 0.8
    "0 the face as drawn .. 1 as restored"
    area: str = "mouth"
    "mouth: mouth and jaw, as far as they were drawn; face: all of it"


@dataclass(frozen=True)
class _Faces:
    """K faces of a batch in which a mouth was drawn."""

    frames: NDArray[np.int64]
    "(K,) pictures of the batch"
    points: NDArray[np.float64]
    "(K, 51, 2) in the picture"
    shares: NDArray[np.float64]
    "(K,) 0 the source's own mouth .. 1 the drawn one"
    hidden: NDArray[np.float32]
    "(K, 11, 20) where something lies before each"

    def at(self, start: int, end: int) -> "_Faces":
        some = slice(start, end)
        return _Faces(self.frames[some], self.points[some], self.shares[some], self.hidden[some])


@dataclass(frozen=True)
class _Cut:
    """A face cut out of its picture, and where it goes back."""

    frame: int
    "of the batch"
    matrix: NDArray[np.float64]
    "(2, 3) from pixels of the crop of 512 to the picture's"
    mask: Tensor
    "(1, 1, 128, 128)"
    box: Box
    "what of the picture the mask can reach"
    seen: Tensor
    "(1, 3, 512, 512)"
    share: float
    region: Tensor
    "(1, 3, h, w) of `box`"


class Restorer:
    """The network among those of the device, from `load` to `release`; without weights nothing is restored."""

    def __init__(self, weights: Weights | None, how: Restoring, parts: FaceParts | None = None) -> None:
        """What `parts` take for no face stays as it is."""
        self._parts = parts
        self._weights = weights
        self._how = how
        self._residents: Residents | None = None
        self._network: GFPGAN | None = None
        self._device = torch.device("cpu")

    @property
    def models(self) -> tuple[str, ...]:
        """Networks of the device's residents that a batch uses."""
        return () if self._weights is None else (_name(self._weights),)

    @property
    def facts(self) -> dict[str, str]:
        """What a report says."""
        if self._weights is None:
            return {}
        return {"restored": f"{self._how.area}, by {Path(self._weights.name).name}, strength {self._how.strength:g}"}

    def load(self, device: str) -> None:
        """The network in host memory until its first use, where its file is on this node; a scan needs none.

        Raises:
            WeightsError: the file is of another network.
        """
        weights = self._weights
        if weights is None or not weights.path:
            return

        def made() -> GFPGAN:
            state = read(Path(weights.path), key=weights.key)
            network = gfpgan_of(state)
            fill(network, state, of=weights.path)
            return network.eval()

        residents = residents_on(device)
        network = residents.add(_name(weights), made)
        assert isinstance(network, GFPGAN)
        self._residents, self._network, self._device = residents, network, torch.device(device)

    def demands(self, format: PictureFormat) -> tuple[Demand, ...]:
        """The network and the faces that it restores at once, whatever the size of pictures."""
        if self._weights is None:
            return ()
        batch = _BATCH[self._device.type]
        what = f"restore faces by {Path(self._weights.name).name}"
        return (Demand(_name(self._weights), what, batch, SIDE, batch * _FACE_BYTES),)

    def render(self, batch: DeviceBatch, inputs: TaskInputs) -> None:
        """Restore every face of the batch in which a mouth was drawn.

        Raises:
            OutOfVram: not even one face fits the device.
        """
        if self._weights is None or not self._how.strength:
            return
        faces = _faces(inputs)
        for start in range(0, len(faces.frames), _AT_HAND):
            self._restore(batch, faces.at(start, start + _AT_HAND))

    def release(self) -> None:
        if self._residents is not None and self._weights is not None:
            self._residents.remove(_name(self._weights))
        self._residents = self._network = None

    def _restore(self, batch: DeviceBatch, faces: _Faces) -> None:
        cuts = self._cut(batch, faces)
        restored = self._restored(torch.cat([cut.seen for cut in cuts]), batch.format)
        for cut, drawn in zip(cuts, restored, strict=True):
            shown = resized(cut.mask, SIDE) * (self._how.strength * cut.share)
            blended, mask = paste(cut.region, cut.box, cut.matrix, with_own_light(cut.seen, drawn[None]), shown)
            batch.write([cut.frame], [cut.box], blended, mask, tone_mapped=True)

    def _cut(self, batch: DeviceBatch, faces: _Faces) -> list[_Cut]:
        """Every face with its mask."""
        heads = ffhq_matrices(face_frames(faces.points), CROP)
        to_masks = ffhq_matrices(face_frames(faces.points), MASK_SIDE)
        masks = shown_masks(in_frame(to_masks, faces.points), self._how.area).to(batch.device)
        around = [box_of_crop(head) for head in heads]
        both = zip(faces.frames.tolist(), around, strict=True)
        pictures = [batch.read([frame], [box], tone_mapped=True) for frame, box in both]
        if faces.hidden.any():
            masks = masks * uncovered(faces.hidden, faces.points, to_masks, (MASK_SIDE, MASK_SIDE), batch.device)
        if self._parts is not None:
            masks = masks * self._parts.shown(batch, faces.frames, faces.points, to_masks, (MASK_SIDE, MASK_SIDE))
        cuts = []
        for k, (rgb, whole, head) in enumerate(zip(pictures, around, heads, strict=True)):
            mask, fine = masks[k : k + 1], finer(head, SIDE)
            box = box_of_mask(to_masks[k], mask[0, 0], whole)
            rows, columns = slice(box.y0 - whole.y0, box.y1 - whole.y0), slice(box.x0 - whole.x0, box.x1 - whole.x0)
            seen, region = sample_crop(rgb, whole, fine, side=SIDE), rgb[..., rows, columns].clone()
            cuts.append(_Cut(int(faces.frames[k]), fine, mask, box, seen, float(faces.shares[k]), region))
        return cuts

    def _restored(self, seen: Tensor, format: PictureFormat) -> Tensor:
        """RGB (N, 3, 512, 512) in 0..1 of crops of that size."""
        if self._residents is None or self._network is None:
            raise JobError("lip-sync: the restoring network is not loaded; load the task with its weights first")
        network, [demand] = self._network, self.demands(format)

        @torch.inference_mode()
        def work(setting: Setting) -> Tensor:
            count = setting.batch_frames
            with told_as_out_of_vram(f"{demand.what} on {self._device}, {count} at once"):
                groups = (seen[at : at + count] for at in range(0, len(seen), count))
                return torch.cat([_run(network, some, count) for some in groups])

        return self._residents.render(
            demand.what,
            (demand.model,),
            work,
            batch_frames=demand.batch_frames,
            activation_bytes=demand.activation_bytes,
        )


def _faces(inputs: TaskInputs) -> _Faces:
    """The faces of `inputs` in which a mouth was drawn, frame by frame."""
    frames, places = np.nonzero(np.asarray(inputs.per_frame["face"], np.int16) >= 0)

    def known(name: str) -> NDArray[np.float64]:
        return np.asarray(inputs.per_frame[name][frames, places], np.float64)

    return _Faces(frames, known("points"), known("weights"), hidden_of(inputs, frames, places))


def _run(network: GFPGAN, seen: Tensor, count: int) -> Tensor:
    """One run of the network over `count` faces, of which the first are `seen`; it wants and gives -1..1."""
    short = count - len(seen)
    shown = functional.pad(seen.clamp(0, 1) * 2 - 1, (0, 0, 0, 0, 0, 0, 0, short))
    return network(shown)[: len(seen)].float().clamp(-1, 1) * 0.5 + 0.5  # type: ignore[no-any-return]


def _name(weights: Weights) -> str:
    """Among the device's networks: equal weights are one."""
    return f"{Path(weights.name).stem} {weights.sha256[:8]}"
