"""Photos that a task's selectors of faces name: known by their content, read where a video is concluded."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from pipeline.storage import Storage
from tasks.errors import JobError, ReelyardError
from tasks.faces.selector import FaceSelector, parse_face_selector
from tasks.table import task_entry
from tasks.task import Photo, TaskSpec

#: A photo larger than this is no photo.
MOST_BYTES: Final = 64 << 20


def photo_of(selector: str) -> str:
    """The URI that a selector names, empty where it names none."""
    return parse_face_selector(selector).photo


def with_photo_at(selector: str, place: Callable[[str], str]) -> str:
    """The selector with its photo, if it names one, where `place` puts it."""
    found = parse_face_selector(selector)
    return str(found.at(place(found.photo))) if found.photo else selector


def photos_named(spec: TaskSpec) -> tuple[str, ...]:
    """The URIs of all photos that the task's selectors name, each once."""
    return tuple(dict.fromkeys(found.photo for found in _selectors(spec) if found.photo))


def placed(spec: TaskSpec, place: Callable[[str], str]) -> TaskSpec:
    """The same with the photos of its options where `place` puts them."""
    names = _selecting(spec)
    options = tuple((key, with_photo_at(value, place) if key in names else value) for key, value in spec.options)
    return replace(spec, options=options)


def with_photos(storage: Storage, spec: TaskSpec) -> TaskSpec:
    """The specification with what is known of its photos; their content stays where it is.

    Raises:
        JobError: a photo cannot be read, or is none.
    """
    return replace(spec, photos=tuple(replace(_read(storage, uri), content=b"") for uri in photos_named(spec)))


def photos_here(storage: Storage, spec: TaskSpec) -> TaskSpec:
    """The specification with the content of its photos.

    Raises:
        JobError: a photo cannot be read, or is another than when the job was planned.
    """
    return replace(spec, photos=tuple(_unchanged(storage, photo) for photo in spec.photos))


def _unchanged(storage: Storage, photo: Photo) -> Photo:
    found = _read(storage, photo.uri)
    if found.sha256 != photo.sha256:
        raise JobError(f"face like:{photo.uri}: the photo changed while the job ran; run the same command again")
    return found


def _read(storage: Storage, uri: str) -> Photo:
    try:
        size = storage.size(uri)
        if size > MOST_BYTES:
            raise JobError(f"face like:{uri}: {size / 1e6:.0f} MB; expected a photo of at most {MOST_BYTES >> 20} MB")
        content = storage.read(uri)
    except JobError:
        raise
    except ReelyardError as error:
        raise JobError(f"face like:{uri}: the photo cannot be read: {error.message}; check the spelling") from error
    return Photo(uri, hashlib.sha256(content).hexdigest(), content)


def _selecting(spec: TaskSpec) -> set[str]:
    return {option.name for option in task_entry(spec.name).options if option.selects}


def _selectors(spec: TaskSpec) -> list[FaceSelector]:
    chosen = [spec.option(name) for name in sorted(_selecting(spec))]
    return [parse_face_selector(text) for text in (*chosen, *spec.speakers)]
