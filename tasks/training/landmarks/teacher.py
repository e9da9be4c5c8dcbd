"""The teacher: MediaPipe's FaceMesh read from a checkpoint, for training and figures; knows no files of ours."""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from tasks.checkpoint import load
from tasks.faces.points import FACEMESH_VERTICES, MIRROR
from tasks.nets.face_mesh import SIDE, VERTICES, FaceMesh

#: MediaPipe's region: the square round the face, enlarged by this.
REGION_MARGIN = 1.5
_EYES = (33, 263)
_VERTICES, _MIRROR = list(FACEMESH_VERTICES), list(MIRROR)


def load_teacher(path: Path) -> FaceMesh:
    """The teacher with the weights of `path`, ready to run."""
    return load(FaceMesh(), path)


def region_of_box(box: NDArray[np.float32], margin: float = REGION_MARGIN) -> NDArray[np.float32]:
    """(2, 3) matrix from teacher-crop pixels to picture pixels for an upright (x, y, w, h) box."""
    x, y, w, h = (float(v) for v in box)
    return _region(x + w / 2, y + h / 2, margin * max(w, h), 0.0)


def region_of_mesh(mesh: NDArray[np.float32], margin: float = REGION_MARGIN) -> NDArray[np.float32]:
    """As `region_of_box`, from the mesh (468, 2) of this or the previous picture, turned upright."""
    across = mesh[_EYES[1]] - mesh[_EYES[0]]
    angle = float(np.arctan2(across[1], across[0]))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    level = mesh @ turn
    low, high = level.min(0), level.max(0)
    centre = turn @ ((low + high) / 2)
    return _region(float(centre[0]), float(centre[1]), margin * float((high - low).max()), angle)


def _region(x: float, y: float, side: float, angle: float) -> NDArray[np.float32]:
    scale = side / SIDE
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    middle = (SIDE - 1) / 2
    return np.array([[a, -b, x - a * middle + b * middle], [b, a, y - b * middle - a * middle]], np.float32)


def cut(picture: NDArray[np.uint8], matrix: NDArray[np.float32], side: int = SIDE) -> NDArray[np.uint8]:
    """(side, side, 3) of `picture` under `matrix` (crop to picture), averaged where it shrinks."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale > 1.5:  # shrinking: average first, else the crop aliases
        k = 1 / scale
        small = np.asarray(cv2.resize(picture, None, fx=k, fy=k, interpolation=cv2.INTER_AREA), np.uint8)
        fit = np.array([small.shape[1] / picture.shape[1], small.shape[0] / picture.shape[0]])
        matrix = matrix * fit[:, None]
        matrix[:, 2] += 0.5 * fit - 0.5
        picture = small
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(picture, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.uint8)


@torch.inference_mode()
def meshes(
    teacher: FaceMesh, crops: NDArray[np.uint8], batch: int = 32
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Meshes (N, 468, 2) in crop pixels and confidences (N,) in 0..1 of crops (N, 192, 192, 3) RGB."""
    points, confidences = [], []
    for start in range(0, len(crops), batch):
        x = torch.from_numpy(crops[start : start + batch]).permute(0, 3, 1, 2).float() / 127.5 - 1
        mesh, logit = teacher(x)
        points.append(mesh[..., :2].numpy() - 0.5)  # the network counts pixel corners, we count centres
        confidences.append(torch.sigmoid(logit).numpy())
    if not points:
        return np.zeros((0, VERTICES, 2), np.float32), np.zeros(0, np.float32)
    return np.concatenate(points), np.concatenate(confidences)


def points_both_ways(teacher: FaceMesh, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The 51 points (N, 51, 2) in crop pixels: the mean of a look at the crops and one at their mirror images.

    One look alone puts every face too far to one side: the teacher contradicts its own mirror image by some 3 %
    of the outer-eye distance across, on everybody the same way.
    """
    plain, mirrored = (meshes(teacher, seen)[0][:, _VERTICES] for seen in (crops, crops[:, :, ::-1].copy()))
    back = mirrored[:, _MIRROR] * (-1, 1) + (SIDE - 1, 0)
    return np.asarray((plain + back) / 2, np.float32)


def apply(matrix: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Points (..., 2) mapped by a (2, 3) matrix."""
    out: NDArray[np.float32] = points @ matrix[:, :2].T + matrix[:, 2]
    return out


def mesh_in_picture(
    teacher: FaceMesh, picture: NDArray[np.uint8], region: NDArray[np.float32], rounds: int = 2
) -> tuple[NDArray[np.float32], float]:
    """The mesh (468, 2) in picture pixels, its region refined `rounds` times from its own result."""
    mesh, confidence = np.zeros((VERTICES, 2), np.float32), 0.0
    for _ in range(rounds):
        found, sure = meshes(teacher, cut(picture, region)[None])
        mesh, confidence = apply(region, found[0]), float(sure[0])
        region = region_of_mesh(mesh)
    return mesh, confidence


def points_in_picture(teacher: FaceMesh, picture: NDArray[np.uint8], mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """The 51 points in picture pixels, looked at both ways, of the face whose mesh was found before."""
    region = region_of_mesh(mesh)
    return apply(region, points_both_ways(teacher, cut(picture, region)[None])[0])
