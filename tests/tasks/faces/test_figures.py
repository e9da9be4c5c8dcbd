"""The shipped network's figures on people it never saw, against its teacher; needs the real clips."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tasks.faces.landmarks import LandmarkModel
from tasks.faces.scan import FaceScanner
from tasks.training.landmarks.figures import ClipFigures, clip_frames, measure_clip, reference
from tasks.training.landmarks.teacher import load_teacher

CLIPS = (
    "DH_live__video_data_000001_video",
    "V-Express__test_samples_short_case_tys_gt",
    "video-retalking__examples_face_2",
)


@pytest.fixture(scope="module")
def figures(test_data: Path, model: LandmarkModel) -> list[ClipFigures]:
    cv2.setNumThreads(1)
    teacher = load_teacher(test_data / "weights" / "facemesh.pth")
    out = []
    for name in CLIPS:
        frames = clip_frames(test_data / "data", name, 60)
        out.append(measure_clip(name, frames, reference(teacher, frames), FaceScanner(model=model))[0])
    return out


def test_lips_of_unseen_people_are_near_the_teachers(figures: list[ClipFigures]) -> None:
    assert float(np.mean([f.lips for f in figures])) < 0.025


def test_openings_of_unseen_people_follow_the_teachers(figures: list[ClipFigures]) -> None:
    assert float(np.mean([f.opening_r for f in figures])) > 0.9


def test_points_are_calmer_than_the_teachers_even_unsmoothed(figures: list[ClipFigures]) -> None:
    assert all(f.jitter_smoothed < f.jitter_raw < f.jitter_teacher for f in figures)


def test_unseen_people_are_found_once_and_kept(figures: list[ClipFigures]) -> None:
    assert [f.looks_needed for f in figures] == [1] * len(figures)
    assert sum(f.missed for f in figures) == 0
