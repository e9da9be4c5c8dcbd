"""What the embedded backend draws in every output frame: seen faces, banks and motion together; pure arithmetic.

Writes arrays with one entry per output frame, of which every segment reads its slice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.bank import MouthBank, bank_to_bytes, choose_frames, draw_bank, make_bank, make_entry, shows_inside
from tasks.lip_sync.cast import Cast
from tasks.lip_sync.motion import MouthMotion, Wish, plan_motion
from tasks.lip_sync.occlusion.hidden import Maps
from tasks.lip_sync.occlusion.plan import maps_of, told, with_maps
from tasks.lip_sync.seen import KEPT_REASONS, Scan, SeenFace, in_places, kept, seen_faces, shows
from tasks.lip_sync.shape import part_lips
from tasks.task import OutputFrames, TaskPlan

#: The shipped landmarks show openings too small; drawn mouths then follow a request best with this.
LIP_GAIN: Final = 1.3


def plan_lip_sync(
    scan: Scan, output: OutputFrames, wishes: Sequence[Wish], cast: Cast, *, before: bool = True
) -> TaskPlan:
    """What is drawn in each output frame, and why not where nothing is; a wish for each voice.

    With `before` what lies before a mouth stays as the source has it.
    """
    seen = seen_faces(scan, output, cast)
    maps = maps_of(scan, seen.faces) if before else [None] * len(seen.faces)
    mouths = [_plan_mouth(scan, wishes[face.voice], face, one) for face, one in zip(seen.faces, maps, strict=True)]
    drawn = [mouth.drawn for mouth in mouths]
    banks = {f"bank{k}": mouth.bank for k, mouth in enumerate(mouths) if mouth.bank and mouth.drawn.any()}
    return TaskPlan(
        in_places(len(output), seen.faces, drawn, with_maps([mouth.values for mouth in mouths], maps)),
        {name: np.frombuffer(bank_to_bytes(bank), np.uint8) for name, bank in banks.items()},
        reasons=KEPT_REASONS,
        kept=kept(len(output), seen.faces, drawn),
        facts=seen.facts(drawn) | told(len(output), seen.faces, drawn, maps),
    )


@dataclass(frozen=True)
class _Mouth:
    """How the mouth of one chosen face moves."""

    points: NDArray[np.float32]
    "(T, 51, 2)"
    motion: MouthMotion
    bank: MouthBank | None

    @property
    def drawn(self) -> NDArray[np.bool_]:
        """(T,) whether there is anything to draw."""
        return (self.motion.weights > 0) & (self.bank is not None)

    @property
    def values(self) -> dict[str, NDArray[np.floating]]:
        """What is needed to draw it."""
        return {"points": self.points, **{name: getattr(self.motion, name) for name in ("gaps", "widths", "weights")}}


def _plan_mouth(scan: Scan, wish: Wish, face: SeenFace, hidden: Maps | None) -> _Mouth:
    points = part_lips(face.points, LIP_GAIN)
    bank = _bank_of(scan, face, _covered(face, hidden))
    motion = plan_motion(wish.at(face.frames), face.showing(points), bank.gap_cap if bank else 0.0)
    return _Mouth(points, motion, bank)


def _covered(face: SeenFace, hidden: Maps | None) -> NDArray[np.int64]:
    """Frames of the track in which something lies before the face."""
    return np.zeros(0, np.int64) if hidden is None else np.unique(face.inside[hidden.any((1, 2))])


def _bank_of(scan: Scan, face: SeenFace, covered: NDArray[np.int64]) -> MouthBank | None:
    """The bank of one face; None where no picture of its mouth was kept."""
    own = [one for one in scan.candidates if shows(face, scan.first, one.frame, one.points)]
    own = [one for one in own if one.frame - scan.first - face.track.start not in covered] or own
    if not own:
        return None
    points = np.stack([one.points for one in own])
    sharpness = np.array([one.sharpness for one in own])
    picked = choose_frames(points, sharpness, np.ones(len(own), np.bool_))
    entries = [(make_entry(own[i].picture, own[i].points), own[i]) for i in picked]
    inside = [(entry, one) for entry, one in entries if shows_inside(entry, one.picture, one.points)]
    if not inside:
        best = max(own, key=lambda one: one.value)
        return draw_bank(best.picture, best.points)
    return make_bank(tuple(entry for entry, _ in inside), np.stack([one.points for _, one in inside]))
