"""`python -m tasks.training.appearance --data DIR [--out FILE]`: the mean face from permitted footage, and figures."""

import argparse
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from tasks.faces.appearance import Appearance, textures
from tasks.faces.portraits import Portrait, PortraitKeeper
from tasks.faces.rgb_pictures import RgbPictures
from tasks.faces.scan import FaceScanner
from tasks.training.landmarks.footage import sources

#: Frames looked at in each clip.
FRAMES = 240
#: Different files of one person, by parts of their names; and files that show several people, or one that is shown
#: under another name too.
SAME_PERSON = ("obama", "DH_live", "10_gt", "asl_gestures_book|asl_gestures_walk")
LEFT_OUT = ("partial", "t1.jpg", "whole_imgs", "32bit", "real_faces_face_04", "GFPGAN__")

Directions = dict[str, NDArray[np.float32]]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--data", type=Path, required=True)
    asked.add_argument("--out", type=Path, help="where the mean face goes; without it only figures are told")
    given = asked.parse_args()
    torch.set_num_threads(1)
    scanner = FaceScanner("cpu")
    learnt = {source.name for source in sources(given.data)}
    seen = {name: portraits(scanner, given.data / name) for name in sorted(learnt | set(_faces(given.data)))}
    seen = {name: found for name, found in seen.items() if found}
    if given.out:
        means = [np.mean([textures(one.picture) for one in seen[name]], 0) for name in seen if name in learnt]
        np.save(given.out, np.mean(means, 0).astype(np.float16))
        print(f"{given.out}: the mean of {len(means)} sources")
    embedded = {name: Appearance().embed(found) for name, found in seen.items() if not _has(name, LEFT_OUT)}
    for what, names in (("that made the mean face", learnt), ("that did not", set(embedded) - learnt)):
        tell(what, {name: directions for name, directions in embedded.items() if name in names})


def _faces(data: Path) -> list[str]:
    return [str(path.relative_to(data)) for folder in ("faces", "stills") for path in (data / folder).iterdir()]


def portraits(scanner: FaceScanner, path: Path) -> list[Portrait]:
    """The clear portraits of the first frames of a clip, or of a still."""
    scanner.reset()
    keeper, film = PortraitKeeper(), cv2.VideoCapture(str(path))
    for number in range(FRAMES):
        good, frame = film.read()
        if not good:
            break
        pictures = RgbPictures([np.ascontiguousarray(frame[..., ::-1])])
        keeper.look(number, scanner.measure(pictures)[0], pictures, 0, (frame.shape[1], frame.shape[0]))
    film.release()
    return [one for one in keeper.kept() if one.clear]


def tell(what: str, embedded: Directions) -> None:
    """Verification of one person against others: by single pictures, and by halves of a clip."""
    halves = [(x[: len(x) // 2], x[len(x) // 2 :]) for x in embedded.values() if len(x) >= 4]
    pairs = [(embedded[a] @ embedded[b].T, a, b) for a, b in combinations(embedded, 2)]
    own = [cosines for cosines, a, b in pairs if _one_person(a, b)]
    others = [cosines for cosines, a, b in pairs if not _one_person(a, b)]
    single = [np.concatenate([(a @ b.T).ravel() for a, b in halves]), np.concatenate([c.ravel() for c in others])]
    tracks = [np.array([(a @ b.T).mean() for a, b in halves]), np.array([c.mean() for c in others])]
    print(f"{len(embedded)} sources {what}")
    for name, (same, other) in (("picture against picture", single), ("half a clip against the other", tracks)):
        rate, at = equal_error(same, other)
        low, high = float(np.quantile(same, 0.02)), float(np.quantile(other, 0.98))
        print(f"  {name}: equal error {100 * rate:.1f} % at {at:.2f}; {len(same)} same, {len(other)} other pairs")
        print(f"    98 % of the same person above {low:.2f}, 98 % of others below {high:.2f}")
    print("  one person in two files:", ", ".join(f"{float(cosines.mean()):.2f}" for cosines in own) or "none")


def equal_error(same: NDArray[np.floating], other: NDArray[np.floating]) -> tuple[float, float]:
    """(rate, cosine) at which as many of the same are refused as others are taken."""
    steps = np.unique(np.concatenate([same, other]))
    refused = np.searchsorted(np.sort(same), steps) / len(same)
    taken = 1 - np.searchsorted(np.sort(other), steps) / len(other)
    best = int(np.argmin(np.abs(refused - taken)))
    return float(refused[best] + taken[best]) / 2, float(steps[best])


def _one_person(a: str, b: str) -> bool:
    return any(_has(a, names.split("|")) and _has(b, names.split("|")) for names in SAME_PERSON)


def _has(name: str, parts: Sequence[str]) -> bool:
    return any(part in name for part in parts)


if __name__ == "__main__":
    main()
