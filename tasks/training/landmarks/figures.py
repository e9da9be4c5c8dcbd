"""`python -m tasks.training.landmarks.figures --data DIR --teacher FILE`: figures on unseen people.

The people are those of the clips that may not train what ships, so the network never saw them.
The reference is the teacher, following each face by its own rule and looking at it both ways (one way alone it errs to
one side); nobody labelled these by hand.
"""

import argparse
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from tasks.faces import points as face
from tasks.faces.detect import detect_faces
from tasks.faces.landmarks import WEIGHTS, LandmarkModel
from tasks.faces.measure import geometry, measurements
from tasks.faces.rgb_pictures import RgbPictures
from tasks.faces.scan import FaceScanner
from tasks.faces.tracks import FaceTrack, associate
from tasks.nets.face_mesh import FaceMesh
from tasks.training.landmarks.footage import pictures
from tasks.training.landmarks.teacher import (
    load_teacher,
    mesh_in_picture,
    points_in_picture,
    region_of_box,
    region_of_mesh,
)

log = logging.getLogger(__name__)

#: Clips of people whom the network never saw; their licences keep them out of training.
UNSEEN = (
    *(
        "DH_live__video_data_000001_video",
        "DH_live__web_demo_static_assets2_01",
        "IP_LAP__test_template_video_129",
    ),
    *(
        "MuseTalk__data_video_yongen",
        "SampleVideo__hls_WindowsVideo",
        "V-Express__test_samples_emo_talk_mola_gt",
    ),
    *("V-Express__test_samples_short_case_10_gt", "V-Express__test_samples_short_case_tys_gt"),
    *("V-Express__test_samples_vasa-1_10_gt", "V-Express__test_samples_vasa-1_l4_gt"),
    *(
        "video-retalking__examples_face_1",
        "video-retalking__examples_face_2",
        "video-retalking__examples_face_4",
    ),
)


@dataclass(frozen=True)
class ClipFigures:
    """Errors are parts of the outer-eye distance, means over the frames where both found the face."""

    name: str
    frames: int
    missed: int
    "frames where the teacher is sure and the scanner has no face, or one more than 10 % off"
    all_points: float
    lips: float
    opening_r: float
    opening_slope: float
    jitter_teacher: float
    jitter_raw: float
    jitter_smoothed: float
    looks_needed: int
    looks_for_newcomers: int
    milliseconds: float
    "CPU time of the scan per frame"


def reference(teacher: FaceMesh, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """The teacher's points (T, 51, 2) in picture pixels, NaN where it is not sure of a face."""
    out = np.full((len(frames), face.POINTS, 2), np.nan, np.float32)
    last: NDArray[np.float32] | None = None
    for t, frame in enumerate(frames):
        regions = [region_of_mesh(last)] if last is not None else []
        if not regions:
            luma = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
            regions = [region_of_box(box) for box in detect_faces(luma, 1)[:3]]
        rounds = 1 if last is not None else 4
        last = None
        for region in regions:
            mesh, sure = mesh_in_picture(teacher, frame, region, rounds)
            if sure > 0.9:
                last = mesh
                out[t] = points_in_picture(teacher, frame, mesh)
                break
    return out


def jitter(points: NDArray[np.float32]) -> float:
    """Median length of the lips' second difference over time, in outer-eye distances."""
    steps = points[2:, face.LIPS] - 2 * points[1:-1, face.LIPS] + points[:-2, face.LIPS]
    size = geometry(points[1:-1]).size_pixels
    return float(np.nanmedian(np.linalg.norm(steps, axis=-1).mean(-1) / size))


def measure_clip(
    name: str, frames: Sequence[NDArray[np.uint8]], wanted: NDArray[np.float32], scanner: FaceScanner
) -> tuple[ClipFigures, FaceTrack | None]:
    """The figures of one clip and the track of the teacher's face."""
    scanner.reset()
    started = time.process_time()
    found = measurements(scanner.measure(RgbPictures(frames)))
    spent = time.process_time() - started
    raw = _nearest(found.points, found.frame, wanted)
    tracks = associate(found, Fraction(25))
    track = max(tracks, key=lambda one: float((one.size_pixels * one.valid).sum()), default=None)
    smooth = np.full_like(wanted, np.nan)
    if track is not None:
        smooth[track.start : track.end][track.valid] = track.points[track.valid]
    size = geometry(wanted).size_pixels[:, None]
    error = np.linalg.norm(raw - wanted, axis=-1) / size
    sure = ~np.isnan(wanted[:, 0, 0])
    good = sure & ~np.isnan(raw[:, 0, 0])
    ours, its = geometry(raw[good]).opening, geometry(wanted[good]).opening
    figures = ClipFigures(
        name,
        len(frames),
        int(sure.sum() - (good & (np.nan_to_num(error.mean(1), nan=9) < 0.1)).sum()),
        float(error[good].mean()),
        float(error[good][:, face.LIPS].mean()),
        float(np.corrcoef(ours, its)[0, 1]),
        float(np.cov(ours, its)[0, 1] / max(float(np.var(its, ddof=1)), 1e-12)),
        jitter(wanted[good]),
        jitter(raw[good]),
        jitter(smooth[good]),
        scanner.looks_needed,
        scanner.looks_for_newcomers,
        1000 * spent / len(frames),
    )
    return figures, track


def _nearest(points: NDArray[np.float32], frame: NDArray[np.int64], wanted: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each frame the measured face nearest to the wanted one, NaN where there is none."""
    out = np.full_like(wanted, np.nan)
    for t in range(len(wanted)):
        here = points[frame == t]
        if len(here) and not np.isnan(wanted[t, 0, 0]):
            out[t] = here[np.linalg.norm(here - wanted[t], axis=-1).mean(1).argmin()]
    return out


def clip_frames(data: Path, name: str, at_most: int) -> list[NDArray[np.uint8]]:
    """The first frames of a clip."""
    out = []
    for picture in pictures(data / "faces" / f"{name}.mp4", 100_000):
        out.append(picture)
        if len(out) == at_most:
            break
    return out


def main() -> None:
    ask = argparse.ArgumentParser(prog="python -m tasks.training.landmarks.figures", description=__doc__)
    ask.add_argument("--data", type=Path, required=True)
    ask.add_argument("--teacher", type=Path, required=True)
    ask.add_argument("--weights", type=Path, default=WEIGHTS)
    ask.add_argument("--frames", type=int, default=150)
    asked = ask.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    teacher, scanner = load_teacher(asked.teacher), FaceScanner(model=LandmarkModel(weights=asked.weights))
    every = []
    for name in UNSEEN:
        frames = clip_frames(asked.data, name, asked.frames)
        figures, _ = measure_clip(name, frames, reference(teacher, frames), scanner)
        every.append(figures)
        log.info("%s", line(figures))
    log.info("%s", summary(every))


def line(f: ClipFigures) -> str:
    return (
        f"{f.name[:34]:34} {f.frames:4} missed {f.missed:3}"
        f" all {100 * f.all_points:5.2f} lips {100 * f.lips:5.2f} %"
        f" r {f.opening_r:.3f} slope {f.opening_slope:.2f}"
        f" jitter teacher {100 * f.jitter_teacher:.2f} raw {100 * f.jitter_raw:.2f}"
        f" smoothed {100 * f.jitter_smoothed:.2f} %,"
        f" Haar {f.looks_needed}+{f.looks_for_newcomers}, {f.milliseconds:.1f} ms"
    )


def summary(every: Sequence[ClipFigures]) -> str:
    weight = np.array([f.frames for f in every], float)
    fields = (
        "all_points",
        "lips",
        "opening_r",
        "opening_slope",
        "jitter_teacher",
        "jitter_raw",
        "jitter_smoothed",
    )
    mean = {name: float(np.average([getattr(f, name) for f in every], weights=weight)) for name in fields}
    median = float(np.median([f.opening_r for f in every]))
    return (
        f"{len(every)} clips, {int(weight.sum())} frames: missed {sum(f.missed for f in every)},"
        f" all {100 * mean['all_points']:.2f} %, lips {100 * mean['lips']:.2f} %,"
        f" r mean {mean['opening_r']:.3f} median {median:.3f}, slope {mean['opening_slope']:.2f},"
        f" jitter teacher {100 * mean['jitter_teacher']:.2f} raw {100 * mean['jitter_raw']:.2f}"
        f" smoothed {100 * mean['jitter_smoothed']:.2f} %"
    )


if __name__ == "__main__":
    main()
