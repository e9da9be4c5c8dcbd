"""Networks of architectures that are not ours, recognised and built by spandrel (an extra); knows no files.

spandrel tells what a network is, not how far it looks, so that is measured once when it is loaded: how much has to be
seen around a tile for it to come out as of the whole picture.  One that always sees the whole is never cut.
"""

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from tasks.errors import WeightsError
from tasks.nets.reach import measured_margin
from tasks.runtime.choice import Precision

_REMEDY: Final = "pip install 'reelyard[spandrel]', with torchvision of the same build as torch (pytorch.org tells how)"


class ForeignNet(nn.Module):
    """(N, 3, H, W) RGB in 0..1 -> (N, 3, scale * H, scale * W) in 0..1."""

    _described: Any

    def __init__(self, described: Any) -> None:
        """`described`: spandrel's ImageModelDescriptor; its network becomes this one's."""
        super().__init__()
        self.architecture = str(described.architecture.name)
        self.scale, self.multiple = int(described.scale), _multiple(described)
        self.precisions = _precisions(described)
        self.network: nn.Module = described.model.eval().requires_grad_(False)
        self._described = described
        self.pixel_bytes = _pixel_bytes(self, self.scale)
        found = measured_margin(self, self.multiple)
        self.tileable, self.margin = found is not None, found or 0

    @property
    def precision(self) -> torch.dtype:
        """Of the weights."""
        return next(self.network.parameters()).dtype

    @property
    def words(self) -> str:
        """What a report should say of it."""
        if self.tileable:
            seen = (
                f"tiles that see {self.margin} pixels around them differ from the whole by less than 1/255 (measured)"
            )
        else:
            seen = "its pixels depend on the whole picture (measured), so it is never tiled"
        return f"{self.architecture}, by spandrel: {seen}"

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self._described(x.to(self.precision).clamp(0, 1))
        return out.to(x.dtype)


def foreign_network(state: Mapping[str, Tensor], source: str, ours: WeightsError) -> ForeignNet:
    """The network that spandrel takes the weights for; `ours` is why they are none of ours.

    Raises:
        WeightsError: spandrel is not here, does not know them either, or they are of a network that does not enlarge.
    """
    described = _described(state, source, ours)
    shape = (described.input_channels, described.output_channels)
    if getattr(described, "purpose", "") == "Inpainting" or shape != (3, 3) or described.scale < 2:
        raise WeightsError(
            f"weights {source} are of {described.architecture.name} ({described.purpose}, {shape[0]} channels to "
            f"{shape[1]}, factor {described.scale}); expected a network that enlarges RGB by a whole factor from 2 up"
        )
    return ForeignNet(described)


def _described(state: Mapping[str, Tensor], source: str, ours: WeightsError) -> Any:
    try:
        import spandrel
    except (ImportError, RuntimeError, OSError) as error:  # torchvision of another build fails in its own ways.
        missing = isinstance(error, ModuleNotFoundError) and error.name == "spandrel"
        fault = "is not installed" if missing else f"does not load: {str(error).splitlines()[0]}"
        raise WeightsError(f"{ours.message}; other architectures need spandrel, which {fault}: {_REMEDY}") from error
    try:
        return spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(state))
    except spandrel.UnsupportedModelError as error:
        known = f"spandrel {spandrel.__version__} does not know them either"
        raise WeightsError(f"{ours.message}; {known}") from error
    except (RuntimeError, KeyError, ValueError, AssertionError) as error:
        raise WeightsError(
            f"weights {source} cannot be put into the network that spandrel takes them for: {error}"
        ) from error


def _precisions(described: Any) -> tuple[Precision, ...]:
    halves: list[Precision] = ["fp16"] if described.supports_half else []
    halves += ["bf16"] if described.supports_bfloat16 else []
    return (*halves, "fp32")


def _multiple(described: Any) -> int:
    """Of which sides of a tile must be, so that spandrel pads none."""
    required = described.size_requirements
    most = max(int(required.multiple_of), 1)
    return most * max(1, -(-int(required.minimum) // most)) if required.minimum else most


def _pixel_bytes(network: nn.Module, scale: int) -> int:
    """About what a layer takes for each pixel of the picture, by the widest that there is; measured on a GPU later."""
    sizes = [12 * scale * scale]
    side = 64
    hooks = [
        layer.register_forward_hook(lambda _, __, out: sizes.append(_bytes_of(out) // (side * side)))
        for layer in network.modules()
        if not any(True for _ in layer.children())
    ]
    with torch.inference_mode():
        network(torch.zeros((1, 3, side, side)))
    for hook in hooks:
        hook.remove()
    return 4 * max(sizes)


def _bytes_of(out: object) -> int:
    return out.numel() * out.element_size() if isinstance(out, Tensor) else 0
