"""Drawing a speaking mouth: the source's own pixels warped, the inside of the mouth from its bank.

Works on float RGB regions on any device.  Each picture is a function of its own values alone, so a
batch of any size gives the same pixels.  Where the mask is 0 the pixels are bit-identical.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tasks.lip_sync.bank import SIZE, BankEntry, MouthBank, tone_places
from tasks.lip_sync.shape import Array, MouthShape, evaluate, measure_shape, measure_width, measure_yaw
from tasks.lip_sync.warp import LipTarget, curve, make_fields, place_lips, support, tensor

#: Half the edge between lip and inside, in half widths, and at least in pixels.
EDGE: Final = 0.022
EDGE_PIXELS: Final = 0.7


@dataclass(frozen=True)
class Box:
    """Half-open range of pixels."""

    left: int
    top: int
    right: int
    bottom: int


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


def region_of(points: NDArray[np.floating], height: int, width: int, align: int = 2) -> Box | None:
    """The smallest box, aligned to `align` pixels, that covers the mask of faces (N, 51, 2).

    None where nothing of it lies in a picture of `height` x `width`.
    """
    s = measure_shape(points)
    box = support(s)
    corners = np.stack([box[:, [0, 1]], box[:, [2, 1]], box[:, [0, 3]], box[:, [2, 3]]], axis=1)
    columns, rows = s.to_pixels(corners)
    left, top = (int(np.floor(v.min() / align)) * align for v in (columns, rows))
    right, bottom = (int(np.ceil((v.max() + 1) / align)) * align for v in (columns, rows))
    clipped = Box(max(left, 0), max(top, 0), min(right, width), min(bottom, height))
    return clipped if clipped.left < clipped.right and clipped.top < clipped.bottom else None


@torch.inference_mode()
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
    shape = measure_shape(points)
    target = place_lips(shape, gaps, widths, weights, np.asarray(bank.bank.profile))
    mix = _mix_entries(bank.bank, measure_yaw(points), measure_width(points) * target.width)
    opacity = np.clip(4 * np.asarray(weights, dtype=np.float64), 0, 1)
    if rgb.is_cuda:
        return _draw(rgb, target, mix, opacity, bank)
    drawn = [
        _draw(rgb[i : i + 1], target.at(slice(i, i + 1)), mix[i : i + 1], opacity[i : i + 1], bank)
        for i in range(len(rgb))
    ]
    return torch.cat([d[0] for d in drawn]), torch.cat([d[1] for d in drawn])


def _draw(
    rgb: Tensor, target: LipTarget, mix: Array, opacity: Array, bank: LoadedBank
) -> tuple[Tensor, Tensor]:
    x, y = _mouth_frame(target.shape, rgb.shape[-2], rgb.shape[-1], rgb.device)
    fields = make_fields(target, rgb.device)
    left, top, right, bottom = (fields.box[:, i, None, None] for i in range(4))
    place = torch.stack([(x - left) * (2 / (right - left)) - 1, (y - top) * (2 / (bottom - top)) - 1], dim=-1)
    looked = F.grid_sample(fields.values, place, mode="bilinear", padding_mode="zeros", align_corners=True)
    dx, up, down, mask = looked.unbind(1)
    below = y > curve(target.meet, x / tensor(target.width, rgb.device)[:, None, None])
    drawn = _shift(rgb, target.shape, dx, torch.where(below, down, up))
    rows, columns = _mouth_box(target, rgb.shape[-2], rgb.shape[-1])
    if rows.start < rows.stop and columns.start < columns.stop:
        cut = (slice(None), rows, columns)
        band = _Band(x[cut], y[cut], dx[cut], up[cut], down[cut], rows, columns)
        drawn[:, :, rows, columns] = _draw_lips(rgb, band, target, mix, bank)
    mask = (mask * tensor(opacity, rgb.device)[:, None, None])[:, None]
    return torch.where(mask > 0, torch.lerp(rgb, drawn, mask), rgb), mask


@dataclass(frozen=True)
class _Band:
    """The pixels around the opening: places, displacements, and where they lie in the region."""

    x: Tensor
    y: Tensor
    dx: Tensor
    up: Tensor
    down: Tensor
    rows: slice
    columns: slice


def _draw_lips(rgb: Tensor, band: _Band, target: LipTarget, mix: Array, bank: LoadedBank) -> Tensor:
    """Both lips with an even edge between them, and the inside of the mouth where they are apart."""
    s, device = target.shape, rgb.device
    half = _column(s.half_width, device)
    along = band.x / _column(target.width, device)
    meet = curve(target.meet, along)
    corner = (band.rows.start, band.columns.start)
    upper_lip = _shift(rgb, s, band.dx, band.up, corner)
    lower_lip = _shift(rgb, s, band.dx, band.down, corner)
    lips = torch.lerp(upper_lip, lower_lip, ((band.y - meet) * half + 0.5).clamp(0, 1)[:, None])
    upper, lower = curve(target.upper, along), curve(target.lower, along)
    own = curve(s.lower, along) - curve(s.upper, along)
    edge = (EDGE * half).clamp(min=EDGE_PIXELS) * 2
    inside = _soft((band.y - upper) * half / edge + 0.5) * _soft((lower - band.y) * half / edge + 0.5)
    seen = _soft(torch.maximum(lower - upper, own) / 0.06) * _soft((1.02 - along.abs()) / 0.10)
    colour = _inside_colour(rgb, band, target, mix, bank)
    depth = ((band.y - upper) * half / (0.10 * half)).clamp(min=0)
    shade = (1 - 0.20 * torch.exp(-depth)) * (1 - 0.30 * along.clamp(-1, 1) ** 4)
    shaded = colour * shade[:, None]
    seam = torch.exp(-(((band.y - (upper + lower) / 2) / 0.026) ** 2) - ((lower - upper) / 0.06) ** 2)
    seam = seam * _column(target.closing, device) * _soft((1.0 - along.abs()) / 0.15)
    lips = lips * (1 - 0.55 * seam)[:, None]
    return torch.lerp(lips, shaded, (inside * seen)[:, None])


def _inside_colour(rgb: Tensor, band: _Band, target: LipTarget, mix: Array, bank: LoadedBank) -> Tensor:
    """Teeth rigid to the upper lip, tongue and lower teeth to the lower lip, dark between them."""
    s, device = target.shape, rgb.device
    tone = _tone(rgb, s)
    middle = np.linspace(-0.5, 0.5, 11)
    upper = _column(evaluate(target.upper, middle).mean(axis=1), device)
    lower = _column(evaluate(target.lower, middle).mean(axis=1), device)
    across = _column(s.half_width / s.eye_distance, device)
    down = _column(s.half_width / s.nose_length, device)
    nose = _column(s.nose[:, 0], device)
    colour = torch.zeros((*band.x.shape[:1], 3, *band.x.shape[1:]), device=device)
    for i, entry in enumerate(bank.bank.entries):
        if not mix[:, i].any():
            continue
        column = entry.nose_column + (band.x - nose) * across * entry.eye_distance
        from_upper = entry.upper_row + (band.y - upper) * down * entry.nose_length
        from_lower = entry.lower_row + (band.y - lower) * down * entry.nose_length
        below = _look(bank.pictures[i], column, from_lower)
        above = _look(bank.pictures[i], column, from_upper)
        seen = torch.lerp(bank.darks[i], below[:, :3], below[:, 4:])
        seen = torch.lerp(seen, above[:, :3], above[:, 3:4])
        gain = (tone / bank.tones[i]).clamp(0.3, 3.0)
        weight = tensor(mix[:, i], device)[:, None]
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


def _mouth_frame(shape: MouthShape, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """x and y of every pixel in the mouth frame: (N, h, w) each."""
    along = shape.axis / shape.half_width[:, None]
    offset = (shape.origin * along).sum(axis=1)
    across = shape.origin[:, 1] * along[:, 0] - shape.origin[:, 0] * along[:, 1]
    columns = torch.arange(width, device=device, dtype=torch.float32)[None, None, :]
    rows = torch.arange(height, device=device, dtype=torch.float32)[None, :, None]
    cosine, sine = _column(along[:, 0], device), _column(along[:, 1], device)
    x = columns * cosine + (rows * sine - _column(offset, device))
    y = rows * cosine - (columns * sine + _column(across, device))
    return x, y


def _shift(
    rgb: Tensor, shape: MouthShape, dx: Tensor, dy: Tensor, corner: tuple[int, int] = (0, 0)
) -> Tensor:
    """`rgb` looked up at the pixels from `corner` (row, column) on minus displacements of the mouth frame."""
    device = rgb.device
    scaled = shape.axis * shape.half_width[:, None]
    cosine, sine = _column(scaled[:, 0], device), _column(scaled[:, 1], device)
    rows = torch.arange(dx.shape[1], device=device, dtype=torch.float32)[None, :, None] + corner[0]
    columns = torch.arange(dx.shape[2], device=device, dtype=torch.float32)[None, None, :] + corner[1]
    across = columns - (dx * cosine - dy * sine)
    down = rows - (dx * sine + dy * cosine)
    height, width = rgb.shape[-2:]
    grid = torch.stack([across * (2 / (width - 1)) - 1, down * (2 / (height - 1)) - 1], dim=-1)
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
    height, width = rgb.shape[-2:]
    places = np.stack([columns * (2 / (width - 1)) - 1, rows * (2 / (height - 1)) - 1], axis=-1)
    grid = tensor(places[:, None], rgb.device)
    looked = F.grid_sample(rgb, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return looked.mean(dim=(2, 3))


def _mouth_box(target: LipTarget, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the region that hold every pixel of the N openings."""
    s = target.shape
    x = np.linspace(-1, 1, 17)
    upper = np.minimum(evaluate(target.upper, x), evaluate(target.meet, x)).min(axis=1) - 0.12
    lower = np.maximum(evaluate(target.lower, x), evaluate(target.meet, x)).max(axis=1) + 0.12
    across = np.stack([-1.05 * target.width, 1.05 * target.width] * 2, axis=-1)
    down = np.stack([upper, upper, lower, lower], axis=-1)
    columns, rows = s.to_pixels(np.stack([across, down], axis=-1))
    top, bottom = max(int(rows.min()) - 1, 0), min(int(rows.max()) + 3, height)
    left, right = max(int(columns.min()) - 1, 0), min(int(columns.max()) + 3, width)
    return slice(top, bottom), slice(left, right)


def _column(values: Array, device: torch.device) -> Tensor:
    return tensor(values, device)[:, None, None]


def _soft(t: Tensor) -> Tensor:
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)
