"""The parts of a face as a network of the user's tells them: what of a picture is face, and what lies before it.

Each face is a function of its own picture alone, so segments cannot differ.
"""

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
from tasks.lip_sync.face_frame import face_frames, ffhq_matrices
from tasks.lip_sync.wav2lip.draw import box_of_crop, finer, looked_up, sample_crop
from tasks.nets.bisenet import CLASSES, MEAN, SIDE, SPREAD, BiSeNet
from tasks.nets.wav2lip import SIDE as CROP
from tasks.residency.demand import Demand
from tasks.residency.ladder import Setting
from tasks.residency.residents import Residents, residents_on
from tasks.residency.shortage import told_as_out_of_vram
from tasks.weights import Weights

#: What a drawn mouth may be shown on; of other parts the source's pixels stay.
SHOWN_ON: Final = ("skin", "nose", "mouth", "upper lip", "lower lip", "neck")
#: What a face takes on its way through, counted over the widest layers, not measured; each is run for itself.
_FACE_BYTES: Final = 120_000_000
#: Scores lie 8 pixels apart; shares are made of scores at this side, so that an edge is a cell wide.
_SHARES_SIDE: Final = SIDE // 4
#: A share from which on, and up to which, a place belongs to the face.
_LEAST, _MOST = 0.35, 0.65


class FaceParts:
    """The network among those of the device, from `load` to `release`."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._residents: Residents | None = None
        self._network: BiSeNet | None = None
        self._device = torch.device("cpu")

    @property
    def name(self) -> str:
        """Among the device's networks: equal weights are one."""
        return f"{Path(self._weights.name).stem} {self._weights.sha256[:8]}"

    def load(self, device: str) -> None:
        """The network in host memory until its first use, where its file is on this node; a scan needs none.

        Raises:
            WeightsError: the file is of another network.
        """
        if not self._weights.path:
            return

        def made() -> BiSeNet:
            network = BiSeNet()
            fill(network, read(Path(self._weights.path), key=self._weights.key), of=self._weights.path)
            return network.eval()

        residents = residents_on(device)
        network = residents.add(self.name, made)
        assert isinstance(network, BiSeNet)
        self._residents, self._network, self._device = residents, network, torch.device(device)

    def demand(self) -> Demand:
        """What it asks of the device, whatever the size of pictures."""
        what = f"tell parts of faces by {Path(self._weights.name).name}"
        return Demand(self.name, what, 1, SIDE, _FACE_BYTES)

    def release(self) -> None:
        """Give the network up; it goes with the last who uses it."""
        if self._residents is not None:
            self._residents.remove(self.name)
        self._residents = self._network = None

    def shown(
        self,
        batch: DeviceBatch,
        frames: NDArray[np.int64],
        points: NDArray[np.floating],
        places: NDArray[np.floating],
        size: tuple[int, int],
    ) -> Tensor:
        """(K, 1, *size) from 0 where something else than face is seen to 1.

        `points` (K, 51, 2) are the faces in the pictures `frames` (K,) of the batch, `places` (K, 2, 3) lead from what
        is asked for to pictures.

        Raises:
            OutOfVram: not even one face fits the device.
        """
        heads = ffhq_matrices(face_frames(points), CROP)
        shares = [self._shares(batch, int(frame), head) for frame, head in zip(frames, heads, strict=True)]
        looked = []
        for share, head, place in zip(shares, heads, places, strict=True):
            fine = finer(head, _SHARES_SIDE)
            back = np.linalg.inv(fine[:, :2])
            to_shares = np.concatenate([back @ place[:, :2], (back @ (place[:, 2] - fine[:, 2]))[:, None]], 1)
            looked.append(looked_up(share, to_shares, size))
        return torch.cat(looked)

    def _shares(self, batch: DeviceBatch, frame: int, head: NDArray[np.float64]) -> Tensor:
        """(1, 1, 128, 128) soft share of face in one crop framed as FFHQ's."""
        around = box_of_crop(head)
        rgb = batch.read([frame], [around], tone_mapped=True)
        scores = self._scores(sample_crop(rgb, around, finer(head, SIDE), side=SIDE).clamp(0, 1))
        fine = functional.interpolate(scores, (_SHARES_SIDE, _SHARES_SIDE), mode="bilinear", align_corners=True)
        chosen = [CLASSES.index(name) for name in SHOWN_ON]
        share = fine.float().softmax(1)[:, chosen].sum(1, keepdim=True)
        return ((share - _LEAST) / (_MOST - _LEAST)).clamp(0, 1)

    def _scores(self, seen: Tensor) -> Tensor:
        """(1, 19, 64, 64) of a face (1, 3, 512, 512) in 0..1."""
        if self._residents is None or self._network is None:
            raise JobError("lip-sync: the parsing network is not loaded; load the task with its weights first")
        network, demand = self._network, self.demand()
        mean, spread = (torch.tensor(values, device=seen.device)[:, None, None] for values in (MEAN, SPREAD))

        @torch.inference_mode()
        def work(setting: Setting) -> Tensor:
            with told_as_out_of_vram(f"{demand.what} on {self._device}"):
                return network((seen - mean) / spread)  # type: ignore[no-any-return]

        return self._residents.render(demand.what, (demand.model,), work, batch_frames=1, activation_bytes=_FACE_BYTES)
