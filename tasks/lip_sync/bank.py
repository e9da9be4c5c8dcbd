"""The mouth bank: what the inside of this speaker's mouth looks like, kept from the source's own pictures.

Choosing is pure arithmetic over measurements of the whole video; the few chosen pictures are then
cut out with `crop_matrix` and turned into entries.  A source that never opens gets one drawn entry.
An entry's picture holds only the inside: beyond the edges of the lips its rows are repeated, so
that teeth can be sampled rigidly from either lip without ever meeting lip colour.
"""

import io
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.shape import (
    Array,
    MouthShape,
    evaluate,
    measure_eye_distance,
    measure_gap,
    measure_shape,
    measure_width,
    measure_yaw,
)

Picture = NDArray[np.uint8]
Colour = tuple[float, float, float]

SIZE: Final = 256
#: Crop pixels of half a mouth, and the crop row of the line between its corners.
HALF_WIDTH: Final = 75.0
CENTRE_ROW: Final = 92.0
CENTRE_COLUMN: Final = (SIZE - 1) / 2

MAX_ENTRIES: Final = 4
#: Below this gap (in eye distances) a mouth shows nothing worth keeping.
OPEN_ENOUGH: Final = 0.045
#: Opening of a speaker whose inside was never seen, in eye distances.
MODEST_GAP: Final = 0.10
#: Openings may exceed the widest that was seen by this much.
GAP_CAP: Final = 1.15

#: Skin with less difference between its channels is grey; teeth are at least by this factor less red than lips.
GREY: Final = 0.1
PALER: Final = 1.05

#: Skin in white light, over its mean; so much (a power) of what skin differs from it is thought to be the light's.
SKIN: Final = np.array([1.27, 0.94, 0.79])
TINT_SHARE: Final = 0.6

#: (x, y) in the mouth frame where skin is looked at to compare light: beside and below the mouth,
#: y from the lower lip (0) to the chin (1).
TONE_PLACES: Final = tuple((x, y) for y in (0.0, 0.3, 0.6) for x in (-1.25, -0.5, 0.0, 0.5, 1.25))


@dataclass(frozen=True)
class BankEntry:
    """One seen inside of a mouth; rows and columns are pixels of its crop."""

    picture: Picture
    "(256, 256, 3) uint8 RGB, the inside alone"
    yaw: float
    width: float
    "of the inner mouth in eye distances"
    gap: float
    "in eye distances"
    nose_column: float
    upper_row: float
    "mean row of the upper lip's edge"
    lower_row: float
    teeth_row: float
    "below it the upper teeth have ended"
    lower_edge: NDArray[np.float32]
    "(256,) row of the lower lip's edge in each column"
    eye_distance: float
    "in crop pixels"
    nose_length: float
    "in crop pixels"
    tone: Colour
    "mean skin colour around the mouth, 0..1"
    dark: Colour
    "colour of the hollow of the mouth, 0..1"


@dataclass(frozen=True)
class MouthBank:
    """The entries of one speaker and how far the mouth may open."""

    entries: tuple[BankEntry, ...]
    profile: tuple[float, float, float, float]
    "gap of this mouth along x as in `shape.evaluate`, mean 1 over the inner gaps"
    widest_gap: float
    "in eye distances"

    @property
    def gap_cap(self) -> float:
        """The widest opening to ask for, in eye distances."""
        return max(GAP_CAP * self.widest_gap, MODEST_GAP)


def choose_frames(
    points: NDArray[np.floating],
    sharpness: NDArray[np.floating],
    usable: NDArray[np.bool_],
    limit: int = MAX_ENTRIES,
) -> tuple[int, ...]:
    """The frames whose mouths make the bank: open, sharp, and different in yaw and width.

    `points` (T, 51, 2), `sharpness` (T,) and `usable` (T,) of one face over the whole video.
    Empty where the mouth never opens.
    """
    size = np.maximum(measure_eye_distance(points), 1e-3)
    gap = np.where(usable, measure_gap(points) / size, 0.0)
    if not usable.any() or gap.max() < OPEN_ENOUGH:
        return ()
    widest = float(np.quantile(gap[gap >= OPEN_ENOUGH], 0.98))
    seen = np.where(usable, sharpness * size, 0.0)
    sharp = seen / max(float(np.quantile(seen[usable], 0.9)), 1e-9)
    score = np.minimum(gap / widest, 1.0) * np.sqrt(np.clip(sharp, 0.05, 1.2))
    score = np.where(gap >= max(OPEN_ENOUGH, 0.55 * widest), score, 0.0)
    place = np.stack([measure_yaw(points) / 0.07, measure_width(points) / 0.07], axis=-1)
    chosen = [int(np.argmax(score))]
    while len(chosen) < limit:
        distance = np.min([np.hypot(*(place - place[i]).T) for i in chosen], axis=0)
        worth = score * np.minimum(distance, 1.5)
        best = int(np.argmax(worth))
        if distance[best] < 0.7 or worth[best] <= 0.35 * score[chosen[0]]:
            break
        chosen.append(best)
    return tuple(chosen)


def crop_matrix(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """(2, 3) from crop pixels to picture pixels: the mouth of `points` (51, 2), level and of one size."""
    s = measure_shape(points[None])
    scale = s.half_width[0] / HALF_WIDTH
    cosine, sine = s.axis[0] * scale
    turn = np.array([[cosine, -sine], [sine, cosine]])
    offset = s.origin[0] - turn @ (CENTRE_COLUMN, CENTRE_ROW)
    return np.concatenate([turn, offset[:, None]], axis=1).astype(np.float32)


def make_entry(crop: Picture, points: NDArray[np.floating]) -> BankEntry:
    """An entry from the crop (256, 256, 3) of `crop_matrix(points)`."""
    s = measure_shape(points[None])
    middle = np.linspace(-0.5, 0.5, 11)
    upper = CENTRE_ROW + HALF_WIDTH * float(evaluate(s.upper, middle).mean())
    lower = CENTRE_ROW + HALF_WIDTH * float(evaluate(s.lower, middle).mean())
    inside, lower_edge = _keep_inside(crop, s)
    tone = measure_tone(crop, s)
    scale = HALF_WIDTH / s.half_width[0]
    return BankEntry(
        picture=inside,
        yaw=float(measure_yaw(points)),
        width=float(measure_width(points)),
        gap=float(measure_gap(points) / measure_eye_distance(points)),
        nose_column=CENTRE_COLUMN + HALF_WIDTH * float(s.nose[0, 0]),
        upper_row=upper,
        lower_row=lower,
        teeth_row=_find_teeth(inside, upper, lower, tone),
        lower_edge=lower_edge,
        eye_distance=float(s.eye_distance[0] * scale),
        nose_length=float(s.nose_length[0] * scale),
        tone=tone,
        dark=_find_dark(inside, upper, lower, tone),
    )


def shows_inside(entry: BankEntry, crop: Picture, points: NDArray[np.floating]) -> bool:
    """Whether what lies between the lips of `make_entry`'s crop can be the inside of a mouth.

    Landmarks take a lit lip of a blurred or painted mouth for the gap: something as bright as skin all over and as
    red as the lip below it.  Teeth are paler than lips in any light; grey pictures cannot tell and are believed.
    """
    filled = entry.teeth_row >= entry.lower_row
    if not filled or max(entry.tone) - min(entry.tone) < GREY * max(entry.tone):
        return True
    s = measure_shape(points[None])
    x = np.linspace(-0.4, 0.4, 9)
    lip = evaluate(s.lower, x) + 0.5 * evaluate(s.lower_thickness, x / s.outer[:, None])
    rows = np.clip(np.rint(CENTRE_ROW + HALF_WIDTH * lip[0]).astype(int), 0, SIZE - 1)
    columns = np.rint(CENTRE_COLUMN + HALF_WIDTH * x).astype(int)
    below = cv2.blur(crop, (5, 5))[rows, columns].mean(axis=0)
    middle = slice(int(CENTRE_COLUMN - 30), int(CENTRE_COLUMN + 30))
    inside = entry.picture[round(entry.upper_row + 2) : max(round(entry.lower_row), round(entry.upper_row) + 3), middle]
    return bool(_green_to_red(inside.mean(axis=(0, 1))) > PALER * _green_to_red(below))


def _green_to_red(colour: Array) -> float:
    return float(colour[1]) / max(float(colour[0]), 1.0)


def make_bank(entries: tuple[BankEntry, ...], points: NDArray[np.floating]) -> MouthBank:
    """The bank of entries cut from the faces `points` (K, 51, 2), in the same order."""
    s = measure_shape(points)
    own = s.lower - s.upper
    mean = np.maximum(evaluate(own, s.gap_places).mean(axis=1), 1e-3)
    even = (own / mean[:, None]).mean(axis=0) * (1, 0, 1, 0)
    profile = 0.5 * even + 0.5 * np.asarray(_GENERIC)
    return MouthBank(entries, tuple(float(c) for c in profile), max(e.gap for e in entries))  # type: ignore[arg-type]


def draw_bank(crop: Picture, points: NDArray[np.floating]) -> MouthBank:
    """A bank for a mouth that was never seen open: a dark hollow, a soft row of teeth, a tongue.

    `crop` (256, 256, 3) of `crop_matrix(points)` gives the light.
    """
    s = measure_shape(points[None])
    scale = HALF_WIDTH / s.half_width[0]
    eye_distance = float(s.eye_distance[0] * scale)
    tone = measure_tone(crop, s)
    upper = CENTRE_ROW
    lower = upper + MODEST_GAP * eye_distance
    picture, teeth_row, dark = _draw_inside(upper, lower, tone)
    entry = BankEntry(
        picture=picture,
        yaw=float(measure_yaw(points)),
        width=float(measure_width(points)),
        gap=MODEST_GAP,
        nose_column=CENTRE_COLUMN + HALF_WIDTH * float(s.nose[0, 0]),
        upper_row=upper,
        lower_row=lower,
        teeth_row=teeth_row,
        lower_edge=np.full(SIZE, lower, dtype=np.float32),
        eye_distance=eye_distance,
        nose_length=float(s.nose_length[0] * scale),
        tone=tone,
        dark=dark,
    )
    return MouthBank((entry,), _GENERIC, MODEST_GAP)


def tone_places(shape: MouthShape) -> Array:
    """Where skin is looked at, in the mouth frame: (N, K, 2)."""
    x, y = np.asarray(TONE_PLACES).T
    lip = evaluate(shape.lower + shape.lower_thickness, np.zeros((1, 1)))
    rows = lip + 0.15 + y * np.maximum(0.8 * shape.chin[:, None] - lip, 0.1)
    return np.stack([np.broadcast_to(x, rows.shape), rows], axis=-1)


def measure_tone(crop: Picture, shape: MouthShape) -> Colour:
    """Mean skin colour around the mouth of a crop, 0..1."""
    places = tone_places(shape)[0] * HALF_WIDTH + (CENTRE_COLUMN, CENTRE_ROW)
    smooth = cv2.blur(crop, (7, 7))
    columns, rows = np.clip(np.rint(places).astype(int), 0, SIZE - 1).T
    r, g, b = smooth[rows, columns].mean(axis=0) / 255.0
    return float(r), float(g), float(b)


def bank_to_bytes(bank: MouthBank) -> bytes:
    """The bank as an .npz with PNG pictures."""
    arrays: dict[str, NDArray[np.generic]] = {
        "profile": np.asarray(bank.profile),
        "widest_gap": np.asarray(bank.widest_gap),
    }
    for i, e in enumerate(bank.entries):
        ok, png = cv2.imencode(".png", e.picture[..., ::-1])
        assert ok
        numbers = [getattr(e, name) for name in _NUMBERS]
        arrays[f"picture{i}"] = np.asarray(png).ravel()
        arrays[f"lower_edge{i}"] = e.lower_edge
        arrays[f"numbers{i}"] = np.asarray([*numbers, *e.tone, *e.dark])
    target = io.BytesIO()
    np.savez(target, **arrays)  # type: ignore[arg-type]
    return target.getvalue()


def bank_from_bytes(data: bytes) -> MouthBank:
    """The bank that `bank_to_bytes` wrote."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        entries = []
        for i in range(sum(name.startswith("picture") for name in arrays.files)):
            picture = cv2.imdecode(arrays[f"picture{i}"], cv2.IMREAD_COLOR)
            assert picture is not None
            n = [float(v) for v in arrays[f"numbers{i}"]]
            fields = dict(zip(_NUMBERS, n, strict=False))
            rgb = np.ascontiguousarray(picture[..., ::-1]).astype(np.uint8)
            k = len(_NUMBERS)
            entries.append(
                BankEntry(
                    picture=rgb,
                    lower_edge=arrays[f"lower_edge{i}"],
                    tone=(n[k], n[k + 1], n[k + 2]),
                    dark=(n[k + 3], n[k + 4], n[k + 5]),
                    **fields,
                )
            )
        a, b, c, d = (float(v) for v in arrays["profile"])
        return MouthBank(tuple(entries), (a, b, c, d), float(arrays["widest_gap"]))


_NUMBERS: Final = (
    *("yaw", "width", "gap", "nose_column", "upper_row", "lower_row", "teeth_row"),
    *("eye_distance", "nose_length"),
)
#: Gap along x of a mouth of which nothing is known.
_GENERIC: Final = (1.0, 0.0, 0.45, 0.0)


def _keep_inside(crop: Picture, shape: MouthShape) -> tuple[Picture, NDArray[np.float32]]:
    """The crop with the nearest row inside wherever it shows lips or skin, and the last rows inside."""
    columns = np.arange(SIZE, dtype=np.float64)
    x = np.clip((columns - CENTRE_COLUMN) / HALF_WIDTH, -0.93, 0.93)
    upper = CENTRE_ROW + HALF_WIDTH * evaluate(shape.upper, x)[0]
    lower = CENTRE_ROW + HALF_WIDTH * evaluate(shape.lower, x)[0]
    room = np.maximum(lower - upper, 0)
    first = upper + np.minimum(5.0, 0.25 * room)
    last = lower - np.minimum(3.5, 0.2 * room)
    rows = np.clip(np.arange(SIZE, dtype=np.float64)[:, None], first, np.maximum(last, first))
    places = np.broadcast_to(CENTRE_COLUMN + HALF_WIDTH * x, (SIZE, SIZE))
    maps = places.astype(np.float32), rows.astype(np.float32)
    inside = cv2.remap(crop, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(inside, dtype=np.uint8), last.astype(np.float32)


def _find_teeth(inside: Picture, upper: float, lower: float, tone: Colour) -> float:
    """The row where the upper teeth end; `lower` where they fill the whole gap."""
    light = inside[:, int(CENTRE_COLUMN - 30) : int(CENTRE_COLUMN + 30)].astype(np.float64).mean(axis=(1, 2))
    light = np.convolve(np.pad(light, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    first, last = round(upper + 3), max(round(lower - 3), round(upper + 4))
    column = light[first:last]
    peak = int(np.argmax(column[: max(1, int(0.7 * len(column)))]))
    hollow = float(column[peak:].min())
    skin = 255 * float(np.mean(tone))
    if column[peak] - hollow < 0.18 * skin:
        return lower if column.mean() > 0.75 * skin else upper + 0.5 * (lower - upper)
    below = np.flatnonzero(column[peak:] < hollow + 0.3 * (column[peak] - hollow))
    return float(min(first + peak + int(below[0]) + 2, lower))


def _find_dark(inside: Picture, upper: float, lower: float, tone: Colour) -> Colour:
    """Mean of the darkest tenth of the inside; never bright, and not blacker than flesh in this light."""
    rows = slice(round(upper + 2), max(round(lower - 2), round(upper + 3)))
    block = inside[rows, int(CENTRE_COLUMN - 45) : int(CENTRE_COLUMN + 45)].reshape(-1, 3).astype(np.float64)
    light = block.mean(axis=1)
    darkest = block[light <= np.quantile(light, 0.1)].mean(axis=0) / 255
    flesh = _in_light(tone, 0.25, 0.11, 0.10)
    darkest = darkest * min(1.0, 2.0 * float(flesh.mean()) / max(float(darkest.mean()), 1e-3))
    r, g, b = (float(v) for v in 0.5 * darkest + 0.5 * flesh)
    return r, g, b


def _draw_inside(upper: float, lower: float, tone: Colour) -> tuple[Picture, float, Colour]:
    """(picture, row where the teeth end, dark colour) of a mouth beside skin of colour `tone`."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float64)
    x = (columns - CENTRE_COLUMN) / HALF_WIDTH
    depth = (rows - upper) / (lower - upper)
    dark = _in_light(tone, 0.25, 0.105, 0.095)
    ivory = _in_light(tone, 1.30, 1.15, 0.97)
    tongue = _in_light(tone, 0.84, 0.43, 0.40)
    tooth = np.abs(((x / 0.215) + 0.5) % 1.0 - 0.5) * 2  # 0 in the middle of a tooth, 1 between two
    end = 0.44 - 0.20 * x * x - 0.035 * tooth**4
    teeth = _soft((end - depth) / 0.16 + 0.5) * _soft((0.95 - np.abs(x)) / 0.65)
    shade = (1 - 0.12 * tooth**6) * (1 - 0.22 * x * x)
    back = _soft((depth - 0.50 + 0.20 * x * x) / 0.50) * _soft((0.90 - np.abs(x)) / 0.5)
    colour = dark + (tongue - dark) * (0.8 * back)[..., None]
    colour = colour + (ivory * shade[..., None] - colour) * (0.88 * teeth)[..., None]
    picture = np.clip(np.rint(cv2.GaussianBlur(colour, (0, 0), 1.2) * 255), 0, 255).astype(np.uint8)
    r, g, b = (float(v) for v in dark)
    return picture, upper + 0.60 * (lower - upper), (r, g, b)


def _in_light(tone: Colour, red: float, green: float, blue: float) -> Array:
    """A colour, relative to skin, in the light that gives skin the colour `tone`; grey in grey pictures."""
    mean = float(np.mean(tone))
    chroma = float(np.clip(4 * (max(tone) - min(tone)) / max(*tone, 1e-3), 0, 1))
    grey = (red + green + blue) / 3
    tint = (np.maximum(tone, 1e-3) / max(mean, 1e-3) / SKIN) ** (TINT_SHARE * chroma)
    shown: Array = mean * tint * (grey + chroma * (np.array([red, green, blue]) - grey))
    return shown


def _soft(t: Array) -> Array:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)
