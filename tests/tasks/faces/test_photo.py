"""The face of a photo: found, chosen among several, refused in words that help."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.errors import JobError
from tasks.faces.appearance import LIKENESS, Appearance
from tasks.faces.photo import face_of_photo, faces_in
from tasks.faces.selector import parse_face_selector
from tasks.task import Photo
from tests.tasks.faces.made import empty, moved, portrait, similarity, two_faces

ONLY, SECOND, THIRD = (parse_face_selector(f"like:bob.png{which}") for which in ("", "#2", "#3"))


def photo(picture: NDArray[np.uint8]) -> Photo:
    _, data = cv2.imencode(".png", picture[..., ::-1])
    return Photo("bob.png", "", data.tobytes())


def test_the_only_face_is_meant_whatever_its_size_and_tilt() -> None:
    still = face_of_photo(photo(portrait()), ONLY)
    turned = face_of_photo(photo(moved(similarity(20, 10, 1.4, 12))), ONLY)
    assert still.clear
    alike = float(np.prod(Appearance().embed([still, turned]), axis=0).sum())
    assert alike > LIKENESS.same
    assert np.abs(still.picture.astype(int) - turned.picture).mean() < 12, "framed alike"


def test_of_several_faces_one_must_be_named() -> None:
    two = photo(two_faces())
    assert len(faces_in(two)) == 2
    with pytest.raises(JobError, match=r"face like:bob\.png: found 2 faces.*add #1 for the leftmost, up to #2"):
        face_of_photo(two, ONLY)
    assert face_of_photo(two, SECOND).points[:, 0].mean() > 360
    with pytest.raises(JobError, match=r"like:bob\.png#3: found 2 clear faces in the photo"):
        face_of_photo(two, THIRD)


def test_a_photo_without_a_face_is_refused() -> None:
    with pytest.raises(JobError, match=r"found no clear face in the photo, expected one from the front.*another photo"):
        face_of_photo(photo(empty()), ONLY)


@pytest.mark.parametrize("content", [b"", b"RIFF of some song"])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(JobError, match=r"face like:bob\.png: found no picture in the file, expected a JPEG"):
        face_of_photo(Photo("bob.png", "", content), ONLY)
