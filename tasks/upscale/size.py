"""What sizes `upscale` makes of pictures, and which values of its options are right; knows no network."""

from fractions import Fraction
from typing import Final

from tasks.errors import JobError
from tasks.picture import PictureFormat
from tasks.task import TaskSpec

AUTO: Final = "auto"
ARCHITECTURES: Final = ("srvgg", "rrdb")
"By the catalogue's names, of the networks that enlarge."
FACTORS: Final = ("2", "3", "4")
_LARGEST_RATIO: Final = 8
_LARGEST_SIDE: Final = 16384
"Of H.264 and HEVC at their highest levels."
SMALLEST_TILE: Final = 64


def output_size(spec: TaskSpec, format: PictureFormat) -> tuple[int, int]:
    """(width, height) as stored of what becomes of pictures of `format`.

    Raises:
        JobError: options contradict each other, the height is less than the source's, or the result is
            larger than any encoder takes.
    """
    _check_mix(spec)
    ratio = _ratio(spec, format)
    width, height = (_side(side, ratio) for side in (format.width, format.height))
    if max(width, height) > _LARGEST_SIDE:
        raise JobError(
            f"task 'upscale': {format.width}x{format.height} would become {width}x{height}; expected at most "
            f"{_LARGEST_SIDE} pixels a side, which encoders take: choose a smaller factor or height"
        )
    return width, height


def tile_fault(value: str) -> str:
    """What was expected of `tile`, empty where it is right."""
    right = value == AUTO or (value.isdecimal() and SMALLEST_TILE <= int(value) <= _LARGEST_SIDE)
    return "" if right else f"auto, or a side of {SMALLEST_TILE} to {_LARGEST_SIDE} pixels"


def height_fault(value: str) -> str:
    """What was expected of `height`, empty where it is right."""
    right = value == AUTO or (value.isdecimal() and 16 <= int(value) <= _LARGEST_SIDE)
    return "" if right else f"auto, or 16 to {_LARGEST_SIDE} lines"


def _check_mix(spec: TaskSpec) -> None:
    model, mix, denoise = (spec.option(name) for name in ("model", "mix", "denoise"))
    if mix != "none" and model == "embedded":
        raise JobError(f"task 'upscale': found mix={mix} without a model, expected the model that it is mixed with")
    if float(denoise) != 1 and mix == "none":
        raise JobError(
            f"task 'upscale': found denoise={denoise} and no mix, expected the second network, as "
            "model=realesr-general-x4v3,mix=realesr-general-wdn-x4v3"
        )


def _ratio(spec: TaskSpec, format: PictureFormat) -> Fraction:
    factor, height = spec.option("factor"), spec.option("height")
    if height == AUTO:
        return Fraction(2 if factor == AUTO else int(factor))
    if factor != AUTO:
        raise JobError(f"task 'upscale': found factor={factor} and height={height}, expected one of them")
    shown = format.upright_size[0]
    ratio = Fraction(int(height), shown)
    if ratio < 1:
        raise JobError(
            f"task 'upscale': height={height} is less than the source's {shown} lines as shown; "
            f"expected {shown} or more: upscale does not shrink"
        )
    if ratio > _LARGEST_RATIO:
        raise JobError(
            f"task 'upscale': height={height} is {float(ratio):.1f} times the source's {shown} lines; "
            f"expected at most {_LARGEST_RATIO} times"
        )
    return ratio


def _side(side: int, ratio: Fraction) -> int:
    """A side enlarged; where that is no whole number, the nearest even one, which every layout holds."""
    enlarged = side * ratio
    return int(enlarged) if enlarged.denominator == 1 else 2 * round(enlarged / 2)
