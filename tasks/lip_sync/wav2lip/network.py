"""The generator in memory: pairs of faces and sound in batches of one shape, so that bits never depend on company."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as functional
from torch import Tensor

from tasks.checkpoint import fill, read
from tasks.errors import WeightsError
from tasks.lip_sync.wav2lip.kinds import drawn_faces, kind_of, shown_pairs
from tasks.nets.wav2lip import SIDE
from tasks.weights import Weights

log = logging.getLogger("reelyard")

#: Instructions that multiply bf16, as torch names them; those of ARM the last.
_BF16: Final = ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16")
#: Faces of 96 pixels in one run of the network, fewer of larger ones: more gain nothing on a CPU and waste more where
#: a batch is short.
BATCH: Final = {"cpu": 4, "cuda": 32}


def chosen_precision(asked: str, device_type: str) -> str:
    """`fp32` or `bf16`: with `auto` what is fast on the processors of this node without being another picture.

    Processors without arithmetic for bf16 do it many times slower than fp32.  On a GPU `auto` is fp32.
    """
    if asked != "auto":
        return asked
    return "bf16" if device_type == "cpu" and processor_has_bf16(torch.cpu.get_capabilities()) else "fp32"


def processor_has_bf16(capabilities: Mapping[str, object]) -> bool:
    """Whether a processor multiplies bf16 by itself, from what torch says of it."""
    return any(bool(capabilities.get(name)) for name in _BF16)


class Generator:
    """The network of a checkpoint on one device."""

    def __init__(self, weights: Weights, device: str, *, precision: str = "auto") -> None:
        """The network, loaded.

        Raises:
            WeightsError: the file is missing or of another network.
        """
        if not weights.path:
            raise WeightsError(f"{weights.name}: is not on this node; run `reelyard models fetch {weights.name}`")
        self._device = torch.device(device)
        self.precision = chosen_precision(precision, self._device.type)
        log.info("%s draws in %s on %s (precision=%s)", weights.name, self.precision, device, precision)
        self._type = torch.bfloat16 if self.precision == "bf16" else torch.float32
        state = read(Path(weights.path), key=weights.key)
        self._kind = kind_of(state)
        self.batch = max(1, BATCH[self._device.type] * SIDE // self._kind.side)
        network = self._kind.build()
        fill(network, state, of=weights.path)
        network = network.eval().to(self._device, self._type)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def side(self) -> int:
        """Of the faces it draws, in pixels."""
        return self._kind.side

    @torch.inference_mode()
    def draw(self, mel: Tensor, faces: Tensor) -> Tensor:
        """RGB (N, 3, side, side) in 0..1 of faces of that size with mouths as mel (N, 1, 80, 16) asks."""
        pairs = shown_pairs(self._kind, faces)  # (N, 6, side, side)
        drawn = [
            self._run(mel[at : at + self.batch], pairs[at : at + self.batch]) for at in range(0, len(mel), self.batch)
        ]
        return drawn_faces(self._kind, torch.cat(drawn))

    def _run(self, mel: Tensor, pairs: Tensor) -> Tensor:
        short = self.batch - len(mel)
        if short:
            mel, pairs = (functional.pad(x, (0, 0, 0, 0, 0, 0, 0, short)) for x in (mel, pairs))
        pairs = pairs.to(self._type, memory_format=torch.channels_last)
        drawn: Tensor = self._network(mel.to(self._type), pairs)
        return drawn[: self.batch - short].float()
