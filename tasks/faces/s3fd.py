"""Boxes of the faces in one picture by S3FD, from the checkpoint of Wav2Lip's own pipeline."""

from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.checkpoint import load
from tasks.faces.found import WORKING_SIDE, FoundFaces, made_smaller
from tasks.faces.s3fd_boxes import boxes_of
from tasks.nets.s3fd import S3FD

#: Taken from red, green and blue, as Wav2Lip's pipeline does, whose network was trained on the other order.
_MEAN: Final = (104.0, 117.0, 123.0)


class S3FDDetector:
    """The network in memory: nearly two seconds of one processor for a picture of 640 by 360."""

    def __init__(self, path: Path, *, key: str = "", device: str = "cpu") -> None:
        """The network of a checkpoint.

        Raises:
            WeightsError: there is no file, or it is of another network; names the first key that differs.
        """
        self._network = load(S3FD(), path, key=key).to(device)
        self._device = torch.device(device)

    @torch.inference_mode()
    def find(self, picture: NDArray[np.uint8], *, working_side: int = WORKING_SIDE) -> FoundFaces:
        """Faces of a BGR picture (H, W, 3), which is made smaller where a side is longer than `working_side`."""
        small, enlarge = made_smaller(picture, working_side)
        shown = torch.from_numpy(small[..., ::-1].astype(np.float32) - np.array(_MEAN, np.float32))
        maps = self._network(shown.permute(2, 0, 1)[None].to(self._device))
        [found] = boxes_of([(classes.cpu(), boxes.cpu()) for classes, boxes in maps])
        rows = found.numpy().astype(np.float32).reshape(-1, 5)
        boxes = np.concatenate([rows[:, :2], rows[:, 2:4] - rows[:, :2]], 1)
        return FoundFaces(boxes, None, rows[:, 4]).enlarged(enlarge)
