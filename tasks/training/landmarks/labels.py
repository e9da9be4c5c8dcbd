"""Labelled crops: faces of permitted footage, their variants, and pictures of no face.

A crop is `SIDE` pixels square, upright, and 2.2 times as wide as the 51 points, so that
training can turn, shift and scale it without meeting its edge.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.faces.detect import detect_faces, overlap
from tasks.faces.points import FACEMESH_VERTICES
from tasks.training.landmarks import footage
from tasks.training.landmarks.teacher import (
    FaceMesh,
    apply,
    cut,
    mesh_in_picture,
    meshes,
    region_of_box,
    region_of_mesh,
)
from tasks.training.landmarks.variants import ANY_MOUTH, SMILE, mixture, other_mouth, shows_teeth

log = logging.getLogger(__name__)

#: Crops are made and labelled at `WIDE` and kept at `SIDE` pixels.
WIDE = 256
SIDE = 176
_WIDTHS = 2.2
_VERTICES = list(FACEMESH_VERTICES)
#: How often a variant's mouth is another, and how many of those are smiles with teeth.
_OTHER_MOUTH, _SMILES = 0.75, 0.35


@dataclass(frozen=True)
class Amount:
    """How much is made of each source."""

    pictures: int = 90
    least_variants: int = 160
    "and three times as many as it has faces"
    portrait_variants: int = 480
    "the demo portrait, a toothy smile, is one still: as many as a clip has crops"


@dataclass(frozen=True)
class Labelled:
    """N crops with their points and where they came from; group -1 holds no face."""

    crops: NDArray[np.uint8]
    "(N, SIDE, SIDE, 3) RGB"
    points: NDArray[np.float32]
    "(N, 51, 2) in crop pixels; zeros where there is no face"
    group: NDArray[np.int32]
    "(N,) the source that a crop came from"
    toothy: NDArray[np.bool_]
    "(N,) whether teeth show between parted lips"


@dataclass(frozen=True)
class Person:
    """The faces of one source, and how many variants of them are wanted."""

    crops: list[NDArray[np.uint8]]
    "WIDE crops"
    mesh: NDArray[np.float32]
    "(N, 468, 2) in crop pixels"
    variants: int


def crop_matrix(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, 3) matrix from crop pixels (WIDE) to picture pixels round points (51, 2), eyes level."""
    across = points[50] - points[47]
    angle = float(np.arctan2(across[1], across[0]))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    level = points @ turn
    low, high = level.min(0), level.max(0)
    scale = _WIDTHS * float((high - low).max()) / WIDE
    linear = scale * turn
    offset = turn @ ((low + high) / 2) - linear @ np.array([(WIDE - 1) / 2] * 2)
    return np.concatenate((linear, offset[:, None]), 1).astype(np.float32)


def steady_meshes(
    teacher: FaceMesh, crops: list[NDArray[np.uint8]], guess: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Meshes (N, 468, 2) and least confidences of WIDE crops: the mean over a plain and a wider look."""
    looks, sure = [], []
    for margin in (1.42, 1.6):
        regions = [region_of_mesh(mesh, margin) for mesh in guess]
        found, confidence = meshes(teacher, np.stack([cut(c, r) for c, r in zip(crops, regions, strict=True)]))
        guess = np.stack([apply(r, m) for r, m in zip(regions, found, strict=True)])
        looks.append(guess)
        sure.append(confidence)
    return np.mean(looks, 0).astype(np.float32), np.min(sure, 0)


def faces_of(
    teacher: FaceMesh, source: footage.Source, at_most: int
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.float32]], list[NDArray[np.uint8]]]:
    """WIDE crops of one source with their meshes, and WIDE crops of what the cascades took for a face."""
    crops, found, alarms = [], [], []
    last: NDArray[np.float32] | None = None
    for index, picture in enumerate(footage.pictures(source.path, at_most)):
        luma = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        boxes = np.zeros((0, 4), np.float32)
        if last is None or index % 20 == 0:
            boxes = detect_faces(luma, 1 if index % 20 == 0 else 0)
        starts = [region_of_mesh(last)] if last is not None else []
        starts += [region_of_box(box) for box in boxes]
        tries = [mesh_in_picture(teacher, picture, start, 3) for start in starts]
        sure = [t for t in tries if t[1] > 0.9]
        last = sure[0][0] if sure else None
        if last is not None:
            matrix = crop_matrix(last[_VERTICES])
            crops.append(cut(picture, matrix, WIDE))
            found.append(apply(_inverse(matrix), last))
        alarms += [cut(picture, _box_matrix(b), WIDE) for b in boxes if not _any_face(b, sure)]
    return crops, found, alarms


def _any_face(box: NDArray[np.float32], found: list[tuple[NDArray[np.float32], float]]) -> bool:
    extents = [np.concatenate((m.min(0), m.max(0) - m.min(0))) for m, _ in found]
    return not found or any(overlap(box, e.astype(np.float32)) > 0.1 for e in extents)


def _box_matrix(box: NDArray[np.float32]) -> NDArray[np.float32]:
    x, y, w, h = box
    scale = 1.6 * w / WIDE
    return np.array([[scale, 0, x - 0.3 * w], [0, scale, y - 0.3 * h]], np.float32)


def _inverse(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.invertAffineTransform(matrix), np.float32)


def label(teacher: FaceMesh, data: Path, seed: int, amount: Amount = Amount()) -> Labelled:
    """All labelled crops of the permitted footage under `data`; the same for the same seed."""
    rng = np.random.default_rng(seed)
    people: list[Person] = []
    nothing: list[NDArray[np.uint8]] = []
    for source in [*footage.sources(data), footage.DEMO_PORTRAIT]:
        crops, guess, alarms = faces_of(teacher, source, amount.pictures)
        nothing += alarms[:60]
        log.info("%s: %d faces, %d false alarms", source.name, len(crops), len(alarms))
        if crops:
            mesh, sure = steady_meshes(teacher, crops, np.stack(guess))
            good = np.flatnonzero(sure > 0.8)
            portrait = source == footage.DEMO_PORTRAIT
            wanted = amount.portrait_variants if portrait else max(amount.least_variants, 3 * len(good))
            people.append(Person([crops[i] for i in good], mesh[good], wanted))
    nothing += _elsewhere(data, rng, min(20, amount.pictures))
    return _assembled(teacher, people, nothing, rng)


def _elsewhere(data: Path, rng: Generator, at_most: int) -> list[NDArray[np.uint8]]:
    """Random squares and false alarms of pictures that show no face."""
    out = []
    for source in footage.sources(data, faces=False):
        for picture in footage.pictures(source.path, at_most):
            luma = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
            out += [cut(picture, _box_matrix(box), WIDE) for box in detect_faces(luma, 1)[:4]]
            for _ in range(8):
                w = float(rng.uniform(0.1, 0.7)) * min(luma.shape)
                x, y = rng.uniform(0, luma.shape[1] - w), rng.uniform(0, luma.shape[0] - w)
                out.append(cut(picture, _box_matrix(np.array([x, y, w, w], np.float32)), WIDE))
    return out


def _assembled(teacher: FaceMesh, people: list[Person], nothing: list[NDArray[np.uint8]], rng: Generator) -> Labelled:
    crops: list[NDArray[np.uint8]] = []
    points: list[NDArray[np.float32]] = []
    groups: list[int] = []
    for group, person in enumerate(people):
        made, guess = _variants(person, people, rng)
        relabelled, sure = steady_meshes(teacher, made, guess)
        good = np.flatnonzero(sure > 0.7)
        kept = [*person.crops, *(made[i] for i in good)]
        crops += [_small(c) for c in kept]
        points += list(_small_points(np.concatenate((person.mesh, relabelled[good]))[:, _VERTICES]))
        groups += [group] * len(kept)
        log.info("group %d: %d faces, %d of %d variants", group, len(person.crops), len(good), len(made))
    toothy = [shows_teeth(crop, at) for crop, at in zip(crops, points, strict=True)] + [False] * len(nothing)
    crops += [_small(c) for c in nothing]
    points += [np.zeros((51, 2), np.float32)] * len(nothing)
    groups += [-1] * len(nothing)
    return Labelled(np.stack(crops), np.stack(points).astype(np.float32), np.array(groups, np.int32), np.array(toothy))


def _variants(
    person: Person, people: list[Person], rng: Generator
) -> tuple[list[NDArray[np.uint8]], NDArray[np.float32]]:
    """Variants of one person: other mouths, many of them smiles, and mixtures with other people."""
    made, guess = [], []
    for turn in range(person.variants):
        i = turn % len(person.crops)
        crop, mesh = person.crops[i], person.mesh[i]
        if rng.random() < 0.45:
            other = people[int(rng.integers(len(people)))]
            j = int(rng.integers(len(other.crops)))
            crop = mixture(crop, mesh, other.crops[j], other.mesh[j], rng)
        if rng.random() < _OTHER_MOUTH:
            wanted = SMILE if rng.random() < _SMILES else ANY_MOUTH
            crop = other_mouth(crop, mesh[_VERTICES], rng, wanted)
        made.append(crop)
        guess.append(mesh)
    return made, np.stack(guess)


def _small(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _small_points(points: NDArray[np.float32]) -> NDArray[np.float32]:
    k = SIDE / WIDE
    return ((points + 0.5) * k - 0.5).astype(np.float32)
