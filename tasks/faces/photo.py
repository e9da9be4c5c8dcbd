"""The face that a photo shows, as a portrait to compare people with; knows no files."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.errors import JobError
from tasks.faces.measure import FrameFaces
from tasks.faces.portraits import Portrait, PortraitKeeper
from tasks.faces.rgb_pictures import RgbPictures
from tasks.faces.scan import FaceScanner
from tasks.faces.selector import FaceSelector
from tasks.task import Photo

#: The longer side that a photo is made smaller to.
_SIDE: Final = 2000


def face_of_photo(photo: Photo, selector: FaceSelector) -> Portrait:
    """The face of the photo that the selector means.

    Raises:
        JobError: it is no picture, or shows no face, or several and the selector does not say which.
    """
    faces = faces_in(photo)
    where = f"face like:{photo.uri}"
    if not faces:
        raise JobError(
            f"{where}: found no clear face in the photo, expected one from the front with its eyes at least 16 pixels "
            "apart; take another photo, or choose by number, as --face track:0"
        )
    if not selector.number and len(faces) > 1:
        raise JobError(
            f"{where}: found {len(faces)} faces in the photo, expected to be told which: add #1 for the leftmost, "
            f"up to #{len(faces)}, as like:{photo.uri}#1"
        )
    if selector.number > len(faces):
        raise JobError(f"{where}#{selector.number}: found {len(faces)} clear faces in the photo, expected as many")
    return faces[max(selector.number, 1) - 1]


def faces_in(photo: Photo) -> tuple[Portrait, ...]:
    """The clear faces of a photo, from the left.

    Raises:
        JobError: it is no picture.
    """
    data = np.frombuffer(photo.content, np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None  # turned as its Exif says
    if picture is None:
        raise JobError(f"face like:{photo.uri}: found no picture in the file, expected a JPEG, PNG or WebP")
    rgb = _smaller(np.asarray(picture, np.uint8))[..., ::-1]
    pictures = RgbPictures([np.ascontiguousarray(rgb)])
    (faces,) = FaceScanner("cpu").measure(pictures)
    keeper = PortraitKeeper()
    keeper.look(0, FrameFaces(faces.faces), pictures, 0, (rgb.shape[1], rgb.shape[0]))
    return tuple(sorted((one for one in keeper.kept() if one.clear), key=lambda one: float(one.points[:, 0].mean())))


def _smaller(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = _SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
