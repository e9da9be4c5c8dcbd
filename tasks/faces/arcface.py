"""Recognition by an ArcFace network of the user's: a torch checkpoint, safetensors, or ONNX run by OpenCV."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.errors import WeightsError
from tasks.faces.people import Likeness
from tasks.faces.portraits import SIDE, Portrait
from tasks.nets.iresnet import DIRECTIONS, IResNet, stages_of
from tasks.weights import Weights

#: Of cosines: facefusion takes (1 - cos) / 2 < 0.3 for one person, cos > 0.4; insightface's own examples 0.28.
#: Not measured here, where no trained weights were at hand.
LIKENESS: Final = Likeness(same=0.45, even=0.28, other=0.15, near=0.30)

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class ArcFace:
    """The network in memory, on the CPU: a portrait now and then gains nothing from a GPU."""

    likeness: Final = LIKENESS

    def __init__(self, weights: Weights) -> None:
        path = Path(weights.path)
        self.name = weights.name
        self._network = _onnx(path) if path.suffix == ".onnx" else _torch(path, weights.key)

    def embed(self, portraits: Sequence[Portrait]) -> NDArray[np.float32]:
        """(K, 512) unit vectors; one portrait at a time, so that none depends on its company."""
        if not portraits:
            return np.zeros((0, DIRECTIONS), np.float32)
        found = np.concatenate([self._network(_seen(one)) for one in portraits])
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6), np.float32)


def _seen(portrait: Portrait) -> NDArray[np.float32]:
    """(1, 3, 112, 112) RGB in -1..1."""
    picture = portrait.picture.astype(np.float32) / np.float32(127.5) - 1
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None])


def _torch(path: Path, key: str) -> Network:
    import torch

    from tasks.checkpoint import fill, read

    state = read(path, key=key)
    stages = stages_of(state)
    if max(stages) > 100:
        raise WeightsError(f"{path}: these are not weights of IResNet: found {max(stages)} blocks in a stage")
    network = IResNet(stages)
    fill(network, state, of=str(path))
    network.eval()

    def embed(seen: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(seen)).numpy(), np.float32)

    return embed


def _onnx(path: Path) -> Network:
    """The network run by OpenCV.

    Raises:
        WeightsError: it cannot be run, or gives something else than directions.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file of weights")
    try:
        network = cv2.dnn.readNetFromONNX(str(path))

        def embed(seen: NDArray[np.float32]) -> NDArray[np.float32]:
            network.setInput(seen)
            return np.asarray(network.forward(), np.float32)

        found = embed(np.zeros((1, 3, SIDE, SIDE), np.float32)).shape
    except cv2.error as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{path}: cannot be run as ArcFace; choose the file of that network ({reason})") from error
    if found != (1, DIRECTIONS):
        raise WeightsError(f"{path}: gives {found} for a face, expected (1, {DIRECTIONS}); choose a file of ArcFace")
    return embed
