"""Drawing a speaking mouth: the source's own pixels warped, the inside of the mouth from its bank.

Works on float RGB regions on any device.  Each picture is a function of its own values alone, so a
batch of any size gives the same pixels.  Where the mask is 0 the pixels are bit-identical.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tasks.lip_sync.bank import SIZE, BankEntry, MouthBank, tone_places
from tasks.lip_sync.shape import Array, MouthShape, evaluate, measure_shape, measure_width, measure_yaw
from tasks.lip_sync.warp import Fields, LipTarget, make_fields, place_lips
from tasks.turning import Box

#: Half the edge between lip and inside, in half widths, and at least in pixels.
EDGE: Final = 0.022
EDGE_PIXELS: Final = 0.7
#: Half the dark line between lips that are brought together, in half widths.
SEAM: Final = 0.024
#: Half the band about that line, in half widths, in which nothing may be brighter than lips or as dark as the inside:
#: what landmarks that err by a tooth's width leave of the teeth there.
TOOTHLESS: Final = 0.10
#: By how much that band is wider at the corners: landmarks cut off the dark wedge in which a broad smile ends.
CORNER_BAND: Final = 0.16
#: How far out it is drawn, in half widths of the mouth.
CORNER_REACH: Final = 1.18
#: Skin beside the corners of the source's mouth, above its line and below, in its half widths.
BESIDE_CORNERS: Final = (((1.20, -0.14), (1.30, -0.06)), ((1.20, 0.16), (1.30, 0.06)))
#: Lips are no darker than this share of the light about them, nor corners than that.
LIP_SHADE: Final = 0.6
CORNER_SHADE: Final = 0.86
#: Corners are dark in a mouth that is open by this much and more, in half widths.
HALF_SHUT: Final = 0.25


@dataclass(frozen=True)
class LoadedBank:
    """A mouth bank whose pictures lie on a device."""

    bank: MouthBank
    pictures: Tensor
    "(K, 5, 256, 256) float32 in 0..1: RGB, share of the upper teeth, share of what lies below them"
    darks: Tensor
    "(K, 3, 1, 1) colours of the hollow"
    tones: Tensor
    "(K, 3) skin colours"


def load_bank(bank: MouthBank, device: torch.device | str) -> LoadedBank:
    """The bank ready to draw from on `device`."""
    stacked = np.stack([_layers(e) for e in bank.entries])
    target = torch.device(device)
    darks = tensor(np.asarray([e.dark for e in bank.entries]), target)
    tones = tensor(np.asarray([e.tone for e in bank.entries]), target).clamp(min=0.02)
    return LoadedBank(bank, tensor(stacked, target), darks[:, :, None, None], tones)


def _layers(entry: BankEntry) -> NDArray[np.float32]:
    rows = np.arange(SIZE, dtype=np.float64)[:, None]
    room = entry.lower_row - entry.upper_row
    full = np.clip((entry.teeth_row - entry.lower_row) / (0.2 * room) + 1, 0, 1)  # teeth fill the gap
    soft = 3.0 + (0.06 + 0.14 * full) * room
    end = np.minimum(entry.teeth_row, entry.lower_edge - 0.5 * soft)
    upper = _fade((end - rows) / soft + 0.5)
    lower = _fade((rows - entry.teeth_row) / soft + 1.0)
    colour = np.moveaxis(entry.picture, -1, 0) / 255.0
    return np.concatenate([colour, upper[None], np.broadcast_to(lower, upper.shape)[None]]).astype(np.float32)


def _fade(t: Array) -> Array:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Drawing:
    """What is to be drawn in N pictures; a picture's values depend on nothing but its own request."""

    target: LipTarget
    mix: Array
    "(N, K) shares of the bank's entries"
    fields: Fields
    opacity: Array
    "(N,)"

    def __len__(self) -> int:
        return len(self.opacity)

    def at(self, frames: slice | NDArray[np.int64]) -> "Drawing":
        """Some of the drawings."""
        return Drawing(self.target.at(frames), self.mix[frames], self.fields.at(frames), self.opacity[frames])

    def moved(self, corners: Array) -> "Drawing":
        """The same in pixels that are counted from `corners` (N, 2)."""
        return replace(self, target=replace(self.target, shape=self.target.shape.moved(corners)))


def plan_drawing(
    points: NDArray[np.floating],
    gaps: NDArray[np.floating],
    widths: NDArray[np.floating],
    weights: NDArray[np.floating],
    bank: MouthBank,
) -> Drawing:
    """The drawings of N faces `points` (N, 51, 2); see `draw_mouths` for the others (N,)."""
    shape = measure_shape(points)
    target = place_lips(shape, gaps, widths, weights, np.asarray(bank.profile))
    mix = _mix_entries(bank, measure_yaw(points), measure_width(points) * target.width)
    opacity = np.clip(4 * np.asarray(weights, dtype=np.float64), 0, 1)
    return Drawing(target, mix, make_fields(target), opacity)


def boxes_of(drawing: Drawing, height: int, width: int, align: int = 2) -> tuple[Box | None, ...]:
    """For each drawing the smallest box on a grid of `align` pixels that covers its mask.

    It may hang over the border; None where nothing of it lies in a picture of `height` x `width`.
    """
    s, reach = drawing.target.shape, drawing.fields.box
    corners = np.stack([reach[:, [0, 1]], reach[:, [2, 1]], reach[:, [0, 3]], reach[:, [2, 3]]], axis=1)
    columns, rows = s.to_pixels(corners)
    edges = [
        *(np.floor(v.min(axis=1) / align).astype(int) * align for v in (columns, rows)),
        *(np.ceil((v.max(axis=1) + 1) / align).astype(int) * align for v in (columns, rows)),
    ]
    boxes = [Box(*(int(edge) for edge in box)) for box in zip(*edges, strict=True)]
    return tuple(b if b.x0 < width and b.y0 < height and b.x1 > 0 and b.y1 > 0 else None for b in boxes)


@torch.inference_mode()
def draw(rgb: Tensor, drawing: Drawing, bank: LoadedBank) -> tuple[Tensor, Tensor]:
    """`rgb` (N, 3, h, w) with the drawings, whose pixels are its own, and the mask (N, 1, h, w)."""
    if rgb.is_cuda:
        return _draw(rgb, drawing, bank)
    drawn, mask = torch.empty_like(rgb), rgb.new_empty(len(rgb), 1, *rgb.shape[-2:])
    for i in range(len(rgb)):  # one by one: each stays in the processor's cache, and its pixels its own
        one = slice(i, i + 1)
        drawn[one], mask[one] = _draw(rgb[one], drawing.at(one), bank)
    return drawn, mask


def draw_mouths(
    rgb: Tensor,
    points: NDArray[np.floating],
    gaps: NDArray[np.floating],
    widths: NDArray[np.floating],
    weights: NDArray[np.floating],
    bank: LoadedBank,
) -> tuple[Tensor, Tensor]:
    """The pictures with mouths opened by `gaps`, and the mask (N, 1, h, w) of what changed.

    `rgb` (N, 3, h, w) float32, 0..1 but unclamped, is left as it is; `points` (N, 51, 2) lie in its
    pixels; `gaps` (N,) are inner-lip gaps in pixels, `widths` (N,) multiply the source's width,
    `weights` (N,) lead from the source's own mouth (0: picture unchanged, mask 0) to the request.
    """
    return draw(rgb, plan_drawing(points, gaps, widths, weights, bank.bank), bank)


def _draw(rgb: Tensor, drawing: Drawing, bank: LoadedBank) -> tuple[Tensor, Tensor]:
    height, width = rgb.shape[-2:]
    left, top, right, bottom = drawing.fields.box.T
    x, y = _mouth_frame(drawing.target.shape, slice(0, height), slice(0, width), rgb.device)
    place = torch.stack(
        [
            x * _column(2 / (right - left), rgb.device) - _column((right + left) / (right - left), rgb.device),
            y * _column(2 / (bottom - top), rgb.device) - _column((bottom + top) / (bottom - top), rgb.device),
        ],
        dim=-1,
    )
    fields = tensor(drawing.fields.values, rgb.device)
    looked = F.grid_sample(fields, place, mode="bilinear", padding_mode="zeros", align_corners=True)
    drawn = _shift(rgb, torch.where(looked[:, 4:5] > 0, looked[:, 2:4], looked[:, 0:2]))
    rows, columns = _mouth_box(drawing.target, height, width)
    if rows.start < rows.stop and columns.start < columns.stop:
        drawn[:, :, rows, columns] = _draw_lips(rgb, looked[:, :4, rows, columns], rows, columns, drawing, bank)
    mask = looked[:, 5:6] * _column(drawing.opacity, rgb.device)[:, None]
    return torch.lerp(rgb, drawn, mask), mask  # exact where the mask is 0: rgb + 0 * difference


def _draw_lips(rgb: Tensor, shifts: Tensor, rows: slice, columns: slice, drawing: Drawing, bank: LoadedBank) -> Tensor:
    """Both lips with an even edge between them, and the inside of the mouth where they are apart."""
    target, s, device = drawing.target, drawing.target.shape, rgb.device
    half = _column(s.half_width, device)
    x, y = _mouth_frame(s, rows, columns, device)
    along = x / _column(target.width, device)
    meet = _curve(target.meet, along)
    upper_lip = _shift(rgb, shifts[:, :2], rows.start, columns.start)
    lower_lip = _shift(rgb, shifts[:, 2:], rows.start, columns.start)
    lips = torch.lerp(upper_lip, lower_lip, ((y - meet) * half + 0.5).clamp(0, 1)[:, None])
    upper, lower = _curve(target.upper, along), _curve(target.lower, along)
    edge = (EDGE * half).clamp(min=EDGE_PIXELS) * 2
    inside = _soft((y - upper) * half / edge + 0.5) * _soft((lower - y) * half / edge + 0.5)
    seen = _soft((lower - upper) / 0.05) * _soft((1.02 - along.abs()) / 0.10)
    colour = _inside_colour(rgb, x, y, drawing, bank)
    depth = ((y - upper) * half / (0.10 * half)).clamp(min=0)
    shade = (1 - 0.20 * torch.exp(-depth)) * (1 - 0.30 * along.clamp(-1, 1) ** 4)
    shaded = colour * shade[:, None]
    if target.closing.any():
        lips = _without_inside(lips, rgb, y - meet, along, target)
        line = (y - (upper + lower) / 2) * half / (SEAM * half).clamp(min=EDGE_PIXELS)
        seam = torch.exp(-line * line - ((lower - upper) / 0.05) ** 2) * _soft((1.0 - along.abs()) / 0.35)
        lips = lips * (1 - 0.5 * seam * _column(target.closing, device))[:, None]
    return torch.lerp(lips, shaded, (inside * seen)[:, None])


def _without_inside(lips: Tensor, rgb: Tensor, below: Tensor, along: Tensor, target: LipTarget) -> Tensor:
    """`lips` no brighter than they are in the source about the line where they are brought together, and not dark.

    `below` is the distance below that line, in half widths, `along` the place on it.
    """
    above_line, below_line = (_along_lips(light, along) for light in _lip_light(rgb, target.shape))
    light = torch.lerp(above_line, below_line, _soft(below / TOOTHLESS + 0.5)[:, None])
    corner = _soft((along.abs() - 0.65) / 0.35)
    share = _soft((CORNER_REACH - along.abs()) / 0.16) * _column(target.closing, rgb.device)
    away = below.abs()
    bright = (share * (1 - _soft(away / TOOTHLESS - 0.5)))[:, None]
    shut = 1 - _soft(_column(target.opening, rgb.device) / HALF_SHUT)
    dark = (share * shut * (1 - _soft(away / (TOOTHLESS + CORNER_BAND * corner) - 0.5)))[:, None]
    least = light * (LIP_SHADE + (CORNER_SHADE - LIP_SHADE) * corner)[:, None]
    lips = torch.lerp(lips, torch.minimum(lips, light), bright)
    return torch.lerp(lips, torch.maximum(lips, least), dark)


def _along_lips(light: tuple[Tensor, Tensor, Tensor], along: Tensor) -> Tensor:
    """Colours (N, 3) at the left corner, in the middle and at the right corner, at places `along` (N, h, w)."""
    left, middle, right = (colour[:, :, None, None] for colour in light)
    corner = torch.where((along < 0)[:, None], left, right)
    return torch.lerp(middle, corner, 0.7 * _soft((along.abs() - 0.65) / 0.35)[:, None])


def _lip_light(rgb: Tensor, shape: MouthShape) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Mean colours (N, 3) left of, on and right of the upper lip, and the same of the lower one."""
    x = np.broadcast_to(np.asarray([-0.5, -0.25, 0.0, 0.25, 0.5]), (len(shape), 5))
    wide = x / shape.outer[:, None]
    upper = evaluate(shape.upper, x) - 0.55 * evaluate(shape.upper_thickness, wide)
    lower = evaluate(shape.lower, x) + 0.55 * evaluate(shape.lower_thickness, wide)

    def at(places: Array) -> Tensor:
        return _mean_at(rgb, *shape.to_pixels(places))

    def about(y: Array, beside: Array) -> tuple[Tensor, Tensor, Tensor]:
        sides = (np.broadcast_to(beside * (side, 1.0), (len(shape), *beside.shape)) for side in (-1.0, 1.0))
        left, right = (at(places) for places in sides)
        return left, at(np.stack([x, y], axis=-1)), right

    above, below = (np.asarray(places) for places in BESIDE_CORNERS)
    return about(upper, above), about(lower, below)


def _inside_colour(rgb: Tensor, x: Tensor, y: Tensor, drawing: Drawing, bank: LoadedBank) -> Tensor:
    """Teeth rigid to the upper lip, tongue and lower teeth to the lower lip, dark between them."""
    target, s, device = drawing.target, drawing.target.shape, rgb.device
    tone = _tone(rgb, s)
    middle = np.linspace(-0.5, 0.5, 11)
    upper = _column(evaluate(target.upper, middle).mean(axis=1), device)
    lower = _column(evaluate(target.lower, middle).mean(axis=1), device)
    across = _column(s.half_width / s.eye_distance, device)
    down = _column(s.half_width / s.nose_length, device)
    nose = _column(s.nose[:, 0], device)
    colour = torch.zeros((*x.shape[:1], 3, *x.shape[1:]), device=device)
    for i, entry in enumerate(bank.bank.entries):
        if not drawing.mix[:, i].any():
            continue
        column = entry.nose_column + (x - nose) * across * entry.eye_distance
        from_upper = entry.upper_row + (y - upper) * down * entry.nose_length
        from_lower = entry.lower_row + (y - lower) * down * entry.nose_length
        below = _look(bank.pictures[i], column, from_lower)
        above = _look(bank.pictures[i], column, from_upper)
        seen = torch.lerp(bank.darks[i], below[:, :3], below[:, 4:])
        seen = torch.lerp(seen, above[:, :3], above[:, 3:4])
        gain = (tone / bank.tones[i]).clamp(0.3, 3.0)
        weight = tensor(drawing.mix[:, i], device)[:, None]
        colour = colour + seen * (gain * weight)[:, :, None, None]
    return colour


def _mix_entries(bank: MouthBank, yaw: Array, width: Array) -> Array:
    """(N, K) shares of the entries, by yaw and width; continuous, and mostly one or two."""
    yaws = np.asarray([e.yaw for e in bank.entries])
    wide = np.asarray([e.width for e in bank.entries])
    distance = ((yaw[:, None] - yaws) / 0.05) ** 2 + ((width[:, None] - wide) / 0.07) ** 2
    share = np.exp(-0.5 * np.minimum(distance - distance.min(axis=1, keepdims=True), 50))
    share = np.maximum(share / share.sum(axis=1, keepdims=True) - 0.04, 0)
    mixed: Array = share / share.sum(axis=1, keepdims=True)
    return mixed


def _mouth_frame(shape: MouthShape, rows: slice, columns: slice, device: torch.device) -> tuple[Tensor, Tensor]:
    """x and y in the mouth frame of a rectangle of pixels: (N, h, w) each."""
    along = shape.axis / shape.half_width[:, None]
    offset = (shape.origin * along).sum(axis=1)
    across = shape.origin[:, 1] * along[:, 0] - shape.origin[:, 0] * along[:, 1]
    right = torch.arange(columns.start, columns.stop, device=device, dtype=torch.float32)[None, None, :]
    down = torch.arange(rows.start, rows.stop, device=device, dtype=torch.float32)[None, :, None]
    cosine, sine = _column(along[:, 0], device), _column(along[:, 1], device)
    x = right * cosine + (down * sine - _column(offset, device))
    y = (down * cosine - _column(across, device)) - right * sine
    return x, y


def _shift(rgb: Tensor, displacement: Tensor, first_row: int = 0, first_column: int = 0) -> Tensor:
    """`rgb` looked up at pixels minus their displacement (N, 2, h, w); the first pixel is given."""
    height, width = rgb.shape[-2:]
    rows, columns = displacement.shape[-2:]
    across = torch.arange(columns, device=rgb.device, dtype=torch.float32) + first_column
    down = torch.arange(rows, device=rgb.device, dtype=torch.float32)[:, None] + first_row
    grid = torch.stack(
        [
            (across - displacement[:, 0]) * (2 / (width - 1)) - 1,
            (down - displacement[:, 1]) * (2 / (height - 1)) - 1,
        ],
        dim=-1,
    )
    return F.grid_sample(rgb, grid, mode="bicubic", padding_mode="border", align_corners=True)


def _look(picture: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """(3, 256, 256) looked up at crop pixels (N, h, w) -> (N, 3, h, w)."""
    grid = torch.stack([column * (2 / (SIZE - 1)) - 1, row * (2 / (SIZE - 1)) - 1], dim=-1)
    picture = picture[None].expand(len(column), -1, -1, -1)
    return F.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=True)


def _tone(rgb: Tensor, shape: MouthShape) -> Tensor:
    """Mean skin colour around the mouths: (N, 3)."""
    columns, rows = shape.to_pixels(tone_places(shape))
    spread = shape.half_width[:, None, None] * np.asarray([-0.06, 0.0, 0.06])
    columns = (columns[..., None] + spread).reshape(len(shape), -1)
    rows = np.repeat(rows, 3, axis=1)
    return _mean_at(rgb, columns, rows)


def _mean_at(rgb: Tensor, columns: Array, rows: Array) -> Tensor:
    """Mean colours (N, 3) of `rgb` at places (N, K)."""
    height, width = rgb.shape[-2:]
    places = np.stack([columns * (2 / (width - 1)) - 1, rows * (2 / (height - 1)) - 1], axis=-1)
    grid = tensor(places[:, None], rgb.device)
    looked = F.grid_sample(rgb, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return looked.mean(dim=(2, 3))


def _mouth_box(target: LipTarget, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the region that hold every pixel of the N openings."""
    s = target.shape
    x = np.linspace(-1, 1, 17)
    closing = target.closing > 0
    margin, reach = np.where(closing, 1.5 * (TOOTHLESS + CORNER_BAND), 0.12), np.where(closing, CORNER_REACH, 1.05)
    upper = np.minimum(evaluate(target.upper, x), evaluate(target.meet, x)).min(axis=1) - margin
    lower = np.maximum(evaluate(target.lower, x), evaluate(target.meet, x)).max(axis=1) + margin
    across = np.stack([-reach * target.width, reach * target.width] * 2, axis=-1)
    down = np.stack([upper, upper, lower, lower], axis=-1)
    columns, rows = s.to_pixels(np.stack([across, down], axis=-1))
    top, bottom = max(int(rows.min()) - 1, 0), min(int(rows.max()) + 3, height)
    left, right = max(int(columns.min()) - 1, 0), min(int(columns.max()) + 3, width)
    return slice(top, bottom), slice(left, right)


def _curve(coefficients: Array, x: Tensor) -> Tensor:
    """`shape.evaluate` on the device: (N, 4) at x (N, h, w) -> (N, h, w)."""
    c = tensor(coefficients, x.device)[:, :, None, None]
    body = c[:, 0] + x * (c[:, 1] + x * (c[:, 2] + x * c[:, 3]))
    return (1 - x * x).clamp(min=0) * body


def tensor(values: NDArray[np.floating], device: torch.device) -> Tensor:
    """float32 on the device."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)


def _column(values: Array, device: torch.device) -> Tensor:
    return tensor(values, device)[:, None, None]


def _soft(t: Tensor) -> Tensor:
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)
