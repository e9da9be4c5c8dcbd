"""Which network enlarges, from what a task's options name: the one that ships, one of the user's, or two mixed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import Tensor

from tasks.checkpoint import between, read
from tasks.errors import WeightsError
from tasks.nets.enlarging import EnlargingNet, enlarging_network
from tasks.runtime.run import Run
from tasks.task import TaskSpec
from tasks.upscale.foreign import ForeignNet, foreign_network
from tasks.weights import Weights

AnyNet = EnlargingNet | ForeignNet

#: The network that ships; `upscale.md` beside it tells of it.
EMBEDDED: Final = Path(__file__).parents[1] / "weights" / "upscale.safetensors"


@dataclass(frozen=True)
class Choice:
    """What a specification asks for; `name` is equal for equal weights alone."""

    name: str
    model: Weights | None
    mix: Weights | None
    denoise: float

    @classmethod
    def of(cls, spec: TaskSpec) -> "Choice":
        model, mix, denoise = spec.weights_of("model"), spec.weights_of("mix"), float(spec.option("denoise"))
        if model is None:
            return cls("embedded", None, None, 1.0)
        name = _short(model) if mix is None else f"{_short(model)} {denoise:g} {_short(mix)} {1 - denoise:g}"
        return cls(name, model, mix, denoise)

    def network(self) -> AnyNet:
        """The network with its weights, in host memory.

        Raises:
            WeightsError: they are not on this node, cannot be read, or are no enlarging network's.
        """
        if self.model is None:
            return enlarging_network(read(EMBEDDED), str(EMBEDDED))
        state = read(_path(self.model), key=self.model.key)
        if self.mix is not None:
            other = read(_path(self.mix), key=self.mix.key)
            state = between(state, other, self.denoise, of=f"{self.model.name} and {self.mix.name}")
        return _any_network({name: tensor.float() for name, tensor in state.items()}, self.model.name)


@dataclass(frozen=True)
class Enlarger:
    """A network as it is computed, with what tiles need to know of it."""

    scale: int
    multiple: int
    margin: int
    run: Run

    def __call__(self, x: Tensor) -> Tensor:
        return self.run(x)


def _any_network(state: Mapping[str, Tensor], source: str) -> AnyNet:
    try:
        return enlarging_network(state, source)
    except WeightsError as ours:
        return foreign_network(state, source, ours)


def is_tileable(network: AnyNet) -> bool:
    """False where a tile would not come out as of the whole picture, whatever it sees around it."""
    return bool(getattr(network, "tileable", True))


def digest_of_embedded() -> str:
    return hashlib.sha256(EMBEDDED.read_bytes()).hexdigest()


def _short(weights: Weights) -> str:
    return f"{Path(weights.name).stem} {weights.sha256[:8]}"


def _path(weights: Weights) -> Path:
    if not weights.path:
        raise WeightsError(f"{weights.name}: its file is not on this node; `reelyard models fetch {weights.name}`")
    return Path(weights.path)
