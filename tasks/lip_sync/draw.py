"""Drawing a speaking mouth: the source's own pixels warped, the inside of the mouth from its bank.

Works on float RGB regions on any device.  Each picture is a function of its own values alone, so a
batch of any size gives the same pixels.  Where the mask is 0 the pixels are bit-identical.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.lip_sync.bank import SIZE, BankEntry, MouthBank
from tasks.lip_sync.grid import Boxes, boxes_about, lay_grid, of_one_size
from tasks.lip_sync.lips import COLOUR_COUNTS, Lips, colour_places, inside_matrices, mouth_frames, shape_lips, soft
from tasks.lip_sync.lips import NODES as MOUTH_NODES
from tasks.lip_sync.sampling import colours_at, enlarged, moved, turned
from tasks.lip_sync.shape import Array, measure_shape, measure_width, measure_yaw
from tasks.lip_sync.warp import LipTarget, move_places, place_lips, support

#: Regions lie on a grid of so many pixels, as chroma does.
ALIGN: Final = 2
#: Nodes over the box of all that moves.
NODES: Final = (44, 40)


@dataclass(frozen=True)
class LoadedBank:
    """A mouth bank whose pictures lie on a device."""

    bank: MouthBank
    above: Tensor
    "(K, 4, 256, 256) float32 in 0..1: RGB, share of the upper teeth"
    below: Tensor
    "(K, 4, 256, 256) the same, share of what lies below them"
    darks: Tensor
    "(K, 3, 1, 1) colours of the hollow"
    tones: Tensor
    "(K, 3) skin colours"


def load_bank(bank: MouthBank, device: torch.device | str) -> LoadedBank:
    """The bank ready to draw from on `device`."""
    pairs = [_layers(e) for e in bank.entries]
    target = torch.device(device)
    above, below = (tensor(np.stack(layers), target) for layers in zip(*pairs, strict=True))
    darks = tensor(np.asarray([e.dark for e in bank.entries]), target)
    tones = tensor(np.asarray([e.tone for e in bank.entries]), target).clamp(min=0.02)
    return LoadedBank(bank, above, below, darks[:, :, None, None], tones)


def _layers(entry: BankEntry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What is sampled from the upper lip and from the lower one: (4, 256, 256) each."""
    rows = np.arange(SIZE, dtype=np.float64)[:, None]
    room = entry.lower_row - entry.upper_row
    full = np.clip((entry.teeth_row - entry.lower_row) / (0.2 * room) + 1, 0, 1)  # teeth fill the gap
    size = 3.0 + (0.06 + 0.14 * full) * room
    end = np.minimum(entry.teeth_row, entry.lower_edge - 0.5 * size)
    upper = soft((end - rows) / size + 0.5)
    lower = np.broadcast_to(soft((rows - entry.teeth_row) / size + 1.0), upper.shape)
    colour = np.moveaxis(entry.picture, -1, 0) / 255.0
    return np.concatenate([colour, upper[None]]), np.concatenate([colour, lower[None]])


@dataclass(frozen=True)
class Drawing:
    """What is to be drawn in N pictures; a picture's values depend on nothing but its own request."""

    boxes: Boxes
    "(N, 4) the regions that are drawn in: left, top, right, bottom; they may hang over the picture's border"
    mouths: Boxes
    "(N, 4) lips and inside, counted from the corner of their region"
    skin: NDArray[np.float32]
    "(N, 3, rows, columns) at nodes over the region: offsets across and down, in pixels, and mask times opacity"
    lips: Lips
    "at nodes over the mouth"
    closing: Array
    "(N,) how far open lips are brought together, 0..1"
    places: Array
    "(N, K, 2) pixels of the region where light is looked at"
    matrices: Array
    "(E, 2, N, 2, 3) from pixels of the mouth to those of the bank's entries"
    mix: Array
    "(N, E) shares of the bank's entries"

    def __len__(self) -> int:
        return len(self.boxes)

    def at(self, frames: slice | NDArray[np.int64]) -> "Drawing":
        """Some of the drawings."""
        names = ("boxes", "mouths", "skin", "closing", "places", "mix")
        some = {name: getattr(self, name)[frames] for name in names}
        return Drawing(**some, lips=self.lips.at(frames), matrices=self.matrices[:, :, frames])


def plan_drawing(
    points: NDArray[np.floating],
    gaps: NDArray[np.floating],
    widths: NDArray[np.floating],
    weights: NDArray[np.floating],
    bank: MouthBank,
    *,
    together: bool = False,
) -> Drawing:
    """The drawings of N faces `points` (N, 51, 2); see `draw_mouths` for the others (N,).

    Each has a region of its own size; with `together` all have one, to be drawn in one call.
    """
    shape = measure_shape(points)
    target = place_lips(shape, gaps, widths, weights, np.asarray(bank.profile))
    boxes = boxes_about(shape, support(shape), ALIGN)
    mouths = _within(boxes_about(shape, mouth_frames(target), 1), boxes)
    if together:
        boxes = of_one_size(boxes)
        mouths[:] = [*mouths[:, :2].min(axis=0), *mouths[:, 2:].max(axis=0)]
    opacity = np.clip(4 * np.asarray(weights, dtype=np.float64), 0, 1)
    corners = boxes[:, :2]
    there = mouths + np.tile(corners, 2)
    return Drawing(
        boxes=boxes,
        mouths=mouths,
        skin=_skin(target, boxes, opacity),
        lips=shape_lips(target, lay_grid(shape, there, *MOUTH_NODES)),
        closing=target.closing,
        places=colour_places(shape) - corners[:, None],
        matrices=inside_matrices(replace(target, shape=shape.moved(there[:, :2].astype(np.float64))), bank),
        mix=_mix_entries(bank, measure_yaw(points), measure_width(points) * target.width),
    )


def _within(mouths: Boxes, boxes: Boxes) -> Boxes:
    """The mouths counted from the corners of their regions, without what lies outside."""
    size = boxes[:, 2:] - boxes[:, :2]
    low = np.clip(mouths[:, :2] - boxes[:, :2], 0, size - 1)
    return np.concatenate([low, np.clip(mouths[:, 2:] - boxes[:, :2], low + 1, size)], axis=-1)


def _skin(target: LipTarget, boxes: Boxes, opacity: Array) -> NDArray[np.float32]:
    grid = lay_grid(target.shape, boxes, *NODES)
    motion = move_places(target, grid.x, grid.y)
    offsets = (np.where(motion.under > 0, *both) for both in zip(motion.below, motion.above, strict=True))
    return np.stack([*offsets, motion.mask * opacity[:, None, None]], axis=1).astype(np.float32)


def draw_mouths(
    rgb: Tensor,
    points: NDArray[np.floating],
    gaps: NDArray[np.floating],
    widths: NDArray[np.floating],
    weights: NDArray[np.floating],
    bank: LoadedBank,
) -> tuple[Tensor, Tensor]:
    """Whole pictures with mouths opened by `gaps`, and the mask (N, 1, H, W) of what changed.

    `rgb` (N, 3, H, W) float32, 0..1 but unclamped, is left as it is; `points` (N, 51, 2) lie in its
    pixels; `gaps` (N,) are inner-lip gaps in pixels, `widths` (N,) multiply the source's width,
    `weights` (N,) lead from the source's own mouth (0: picture unchanged, mask 0) to the request.
    Regions must lie inside the picture.
    """
    drawing = plan_drawing(points, gaps, widths, weights, bank.bank)
    drawn, mask = rgb.clone(), rgb.new_zeros(len(rgb), 1, *rgb.shape[-2:])
    for i, (left, top, right, bottom) in enumerate(drawing.boxes.tolist()):
        one = slice(i, i + 1), slice(None), slice(top, bottom), slice(left, right)
        drawn[one], mask[one] = draw(rgb[one], drawing.at(one[0]), bank)
    return drawn, mask


@torch.inference_mode()
def draw(rgb: Tensor, drawing: Drawing, bank: LoadedBank) -> tuple[Tensor, Tensor]:
    """The regions `rgb` (N, 3, h, w) of `drawing.boxes` with the drawings, and the mask (N, 1, h, w).

    On a processor regions are best drawn one by one: each stays in its cache.
    """
    size, device = (rgb.shape[-2], rgb.shape[-1]), rgb.device
    colours = _colours(rgb, drawing)
    skin = enlarged(tensor(drawing.skin, device), *size)
    left, top, right, bottom = drawing.mouths[0].tolist()
    drawn = torch.empty_like(rgb)
    for rows, columns in (
        (slice(0, top), slice(0, size[1])),
        (slice(bottom, size[0]), slice(0, size[1])),
        (slice(top, bottom), slice(0, left)),
        (slice(top, bottom), slice(right, size[1])),
    ):  # about the mouth, whose lips are looked up by themselves
        drawn[:, :, rows, columns] = moved(rgb, skin[:, :2, rows, columns], rows.start, columns.start)
    drawn[:, :, top:bottom, left:right] = _draw_lips(rgb, colours, drawing, bank)
    mask = skin[:, 2:].contiguous()
    return torch.lerp(rgb, drawn, mask, out=drawn), mask  # exact where the mask is 0: rgb + 0 * difference


def _colours(rgb: Tensor, drawing: Drawing) -> Tensor:
    """(N, 3, 7) mean colours of the skin, and left of, on and right of either lip."""
    looked = colours_at(rgb.contiguous(), tensor(drawing.places, rgb.device))
    return torch.stack([group.mean(dim=2) for group in torch.split(looked, list(COLOUR_COUNTS), dim=2)], dim=2)


def _draw_lips(rgb: Tensor, colours: Tensor, drawing: Drawing, bank: LoadedBank) -> Tensor:
    """Both lips with an even edge between them, and the inside of the mouth where they are apart."""
    left, top, right, bottom = drawing.mouths[0].tolist()
    size = bottom - top, right - left
    look = enlarged(tensor(drawing.lips.values, rgb.device), *size)
    upper, lower = (moved(rgb, look[:, at : at + 2], top, left) for at in (0, 2))
    lips = torch.lerp(upper, lower, look[:, 4:5].clamp(0, 1))
    if drawing.closing.any():
        lips = _closed(lips, colours[:, :, 1:], drawing)
    if not drawing.lips.open:
        return lips
    edges = _soft(look[:, 5:7])
    inside = edges[:, :1] * edges[:, 1:] * look[:, 7:8]
    return torch.lerp(lips, _inside_colour(colours[:, :, 0], drawing, bank, size) * look[:, 8:9], inside)


def _closed(lips: Tensor, colours: Tensor, drawing: Drawing) -> Tensor:
    """`lips` that are brought together: about the line where they meet as bright as lips are, and not dark."""
    shares = tensor(drawing.lips.light, lips.device).flatten(2)
    light = (colours @ shares).reshape(len(lips), 3, *drawing.lips.light.shape[2:])
    values = torch.cat([tensor(drawing.lips.closed, lips.device), light], dim=1)
    look = enlarged(values, lips.shape[-2], lips.shape[-1])
    line, strength, bright, dark, least = (look[:, i : i + 1] for i in range(5))
    light = look[:, 5:]
    lips = torch.lerp(lips, torch.minimum(lips, light), bright)
    lips = torch.lerp(lips, torch.maximum(lips, light * least), dark)
    closed: Tensor = lips * (1 - strength * torch.exp(-line * line))
    return closed


def _inside_colour(tone: Tensor, drawing: Drawing, bank: LoadedBank, size: tuple[int, int]) -> Tensor:
    """Teeth rigid to the upper lip, tongue and lower teeth to the lower lip, dark between them."""
    colour = tone.new_zeros(len(tone), 3, *size)
    for i, (from_upper, from_lower) in enumerate(drawing.matrices):
        if not drawing.mix[:, i].any():
            continue
        below = turned(bank.below[i], from_lower, *size)
        above = turned(bank.above[i], from_upper, *size)
        seen = torch.lerp(bank.darks[i], below[:, :3], below[:, 3:])
        seen = torch.lerp(seen, above[:, :3], above[:, 3:])
        share = (tone / bank.tones[i]).clamp(0.3, 3.0) * tensor(drawing.mix[:, i], tone.device)[:, None]
        colour += seen * share[:, :, None, None]
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


def tensor(values: NDArray[np.floating], device: torch.device) -> Tensor:
    """float32 on the device."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)


def _soft(t: Tensor) -> Tensor:
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)
