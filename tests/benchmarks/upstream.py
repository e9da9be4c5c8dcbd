"""The upstream method of Wav2Lip restated in its least form, to be measured beside ours; nothing of it is copied.

As Wav2Lip's `inference.py` works: every frame of the video is read into memory first, S3FD looks at each at full size,
then crops of 96 pixels go through the network in batches of 128 with copies of their frames, and rectangles are
put back.  `python -m tests.benchmarks.upstream VIDEO WEIGHTS` is the whole of it with detection stubbed and one batch
through the network: what it needs of memory.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from tasks.checkpoint import load
from tasks.nets.s3fd import S3FD
from tasks.nets.wav2lip import SIDE, Wav2Lip
from tests.tasks.recipe import shapes, weights

Picture = NDArray[np.uint8]
#: As upstream's defaults.
BATCH = 128
_MEAN = torch.tensor([104.0, 117.0, 123.0])[:, None, None]


def all_frames(path: Path) -> list[Picture]:
    """Every picture of a video, BGR, at once."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def detector() -> S3FD:
    """S3FD with made weights: its speed does not depend on them."""
    network = S3FD()
    network.load_state_dict(weights(shapes(network)))
    return network.eval()


@torch.inference_mode()
def detect(network: S3FD, frame: Picture) -> None:
    """What the detector's network computes of one picture; its maps are not read."""
    network((torch.from_numpy(frame).permute(2, 0, 1).float() - _MEAN)[None])


def stubbed_box(frame: Picture) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of a face that may be there."""
    height, width = frame.shape[:2]
    return height // 4, 3 * height // 4, width // 2 - height // 4, width // 2 + height // 4


def generator(path: Path) -> Wav2Lip:
    return load(Wav2Lip(), path, key="state_dict")


def batches(frames: list[Picture]) -> Iterator[tuple[torch.Tensor, list[Picture]]]:
    """(N, 6, 96, 96) crops, and copies of their frames."""
    for start in range(0, len(frames), BATCH):
        copies = [frame.copy() for frame in frames[start : start + BATCH]]
        crops = []
        for frame in copies:
            top, bottom, left, right = stubbed_box(frame)
            crops.append(cv2.resize(frame[top:bottom, left:right], (SIDE, SIDE)))
        seen = np.asarray(crops, np.float32)
        hidden = seen.copy()
        hidden[:, SIDE // 2 :] = 0
        yield torch.from_numpy(np.concatenate([hidden, seen], 3) / 255).permute(0, 3, 1, 2), copies


@torch.inference_mode()
def draw(network: Wav2Lip, crops: torch.Tensor) -> NDArray[np.float32]:
    """(N, 96, 96, 3) of silence."""
    drawn = network(torch.full((len(crops), 1, 80, 16), -4.0), crops.float())
    return np.asarray(drawn.permute(0, 2, 3, 1).numpy() * 255)


def paste(drawn: NDArray[np.float32], copies: list[Picture]) -> None:
    """Rectangles put over the copies."""
    for face, frame in zip(drawn, copies, strict=True):
        top, bottom, left, right = stubbed_box(frame)
        frame[top:bottom, left:right] = cv2.resize(face.astype(np.uint8), (right - left, bottom - top))


def main(path: Path, checkpoint: Path) -> None:
    """The whole method with detection stubbed; the network sees the first batch, others get its answer."""
    torch.set_num_threads(1)
    network, frames, drawn = generator(checkpoint), all_frames(path), None
    for crops, copies in batches(frames):
        drawn = draw(network, crops) if drawn is None else drawn
        paste(drawn[: len(copies)], copies)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
