"""The generator among the networks of a device: pairs of faces and sound in batches of one shape.

A short batch is filled up, so that the bits of a face never depend on its company.  Where the device runs out of
memory fewer are drawn at once; those bits are told to be within a tolerance, and the step stands in the report.
"""

import logging
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from tasks.checkpoint import fill, read
from tasks.errors import WeightsError
from tasks.lip_sync.wav2lip.kinds import KINDS, Kind, drawn_faces, kind_of, shown_pairs
from tasks.nets.wav2lip import SIDE
from tasks.residency.demand import Demand
from tasks.residency.ladder import Setting
from tasks.residency.residents import residents_on
from tasks.residency.shortage import told_as_out_of_vram
from tasks.runtime.choice import AUTO, Machine, Precision, Way, Wish, choose_way
from tasks.runtime.machine import machine_of
from tasks.runtime.run import TYPES, Held, held, network_of, runner
from tasks.weights import Weights

log = logging.getLogger("reelyard")

#: Faces of 96 pixels in one run of the network, fewer of larger ones: more gain nothing on a CPU and waste more where
#: a batch is short.
BATCH: Final = {"cpu": 4, "cuda": 32}
#: The best first, for each kind of device that decides: on a GPU fp32 is fast enough beside everything else.
PRECISIONS: Final[dict[str, tuple[Precision, ...]]] = {"cpu": ("bf16", "fp32"), "cuda": ("fp32", "bf16")}
#: What a face takes on its way through, for each of its pixels: counted over the layers, not measured.
_PIXEL_BYTES: Final = 1000


class Generator:
    """The network of a checkpoint on one device, from its making to `release`."""

    def __init__(
        self,
        weights: Weights,
        device: str,
        *,
        precision: str = AUTO,
        runtime: str = AUTO,
        like: Machine | None = None,
    ) -> None:
        """The network in host memory until its first use.

        `like`: what the precision is chosen by, where nodes of a run differ.

        Raises:
            WeightsError: the file is missing or of another network.
            JobError: it cannot be computed as was asked for.
        """
        if not weights.path:
            raise WeightsError(f"{weights.name}: is not on this node; run `reelyard models fetch {weights.name}`")
        wish = Wish(runtime, precision)
        of = Path(weights.name).stem
        self.way = way_of(wish, device, of, like)
        log.info("%s draws on %s: %s", weights.name, device, self.way)
        self.name = " ".join((of, weights.sha256[:8], self.way.runtime, self.way.provider, self.way.precision))
        "Among the device's networks: the same weights computed in another way are others."
        self._device, self._residents = torch.device(device), residents_on(device)
        built = self._residents.built
        one = self._residents.add(self.name, lambda: _made(weights, self.way, device))
        network = network_of(one)
        self._kind = next(kind for kind in KINDS if type(network) is kind.build)
        self._type = TYPES[self.way.precision if self.way.hardware else "fp32"]
        self._run = runner(one, self.way, device, built)
        self.batch = max(1, BATCH[self._device.type] * SIDE // self._kind.side)

    @property
    def side(self) -> int:
        """Of the faces it draws, in pixels."""
        return self._kind.side

    @property
    def arithmetic(self) -> str:
        """What is counted of every frame that it draws."""
        return f"drawn by {self.name.split(' ', 1)[0]}, {self.way}"

    def demand(self) -> Demand:
        """What it asks of the device, whatever the size of pictures."""
        return Demand(self.name, f"lip-sync {self.name}", self.batch, self.side, self.batch * _face_bytes(self._kind))

    def draw(self, mel: Tensor, faces: Tensor) -> Tensor:
        """RGB (N, 3, side, side) in 0..1 of faces of that size with mouths as mel (N, 1, 80, 16) asks.

        Raises:
            OutOfVram: not even one face fits the device.
        """
        demand = self.demand()

        @torch.inference_mode()
        def work(setting: Setting) -> Tensor:
            count = setting.batch_frames
            with told_as_out_of_vram(f"{demand.what} on {self._device}, {count} faces at once"):
                pairs = shown_pairs(self._kind, faces)  # (N, 6, side, side)
                groups = (slice(at, at + count) for at in range(0, len(mel), count))
                drawn = torch.cat([self._drawn(mel[some], pairs[some], count) for some in groups])
            return drawn_faces(self._kind, drawn)

        return self._residents.render(
            demand.what,
            (self.name,),
            work,
            batch_frames=self.batch,
            activation_bytes=demand.activation_bytes,
        )

    def release(self) -> None:
        """Give the network up; it goes with the last who uses it."""
        self._residents.remove(self.name)

    def _drawn(self, mel: Tensor, pairs: Tensor, count: int) -> Tensor:
        short = count - len(mel)
        if short:
            mel, pairs = (functional.pad(x, (0, 0, 0, 0, 0, 0, 0, short)) for x in (mel, pairs))
        pairs = pairs.to(self._type, memory_format=torch.channels_last)
        return self._run(mel.to(self._type), pairs)[: count - short].float()


def way_of(wish: Wish, device: str, of: str, like: Machine | None = None) -> Way:
    """How a generator is computed on a device.

    Raises:
        JobError: not as was asked for.
    """
    machine = machine_of(device, wish)
    return choose_way(wish, machine, PRECISIONS[(like or machine).kind], of, like=like)


def _made(weights: Weights, way: Way, device: str) -> Held:
    """The network with its weights, as it is kept on the device.

    Raises:
        WeightsError: the file is of another network.
    """
    state = read(Path(weights.path), key=weights.key)
    network: nn.Module = kind_of(state).build()
    fill(network, state, of=weights.path)
    return held(network.eval(), way, device, residents_on(device).built)


def _face_bytes(kind: Kind) -> int:
    return _PIXEL_BYTES * kind.side**2
