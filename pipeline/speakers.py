"""Further speakers of a job, each with a voice: who is meant, and that they can be."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tasks.errors import JobError
from tasks.faces.selector import parse_speaker
from tasks.task import TaskSpec


@dataclass(frozen=True)
class Speaker:
    """Whose mouth speaks which voice."""

    face: str
    "A selector of faces that means one person."
    audio: str
    "URI of any file with sound."

    def __str__(self) -> str:
        return f"{self.face}={self.audio}"


def read_speaker(text: str) -> Speaker:
    """`2=b.wav`, `left=b.wav`, `like:bob.jpg=b.wav`.

    Raises:
        JobError: it is none of these.
    """
    try:
        selector, audio = parse_speaker(text)
    except ValueError as error:
        raise JobError(f"--speaker: {error}") from error
    return Speaker(str(selector), audio)


def check_speakers(speakers: tuple[Speaker, ...], tasks: tuple[TaskSpec, ...], audio: str | None) -> None:
    """Nothing, if there is somebody to let speak.

    Raises:
        JobError: no lip sync, no voice of the job's own, or a face that is given two voices.
    """
    if not speakers:
        return
    if not any(_takes(spec) for spec in tasks):
        raise JobError(f"--speaker {speakers[0]}: none of the tasks moves a mouth; add --task lip-sync")
    if audio is None:
        raise JobError(
            f"--speaker {speakers[0]}: found no main voice; give one with --audio FILE, for whom --face means"
        )
    for number, speaker in enumerate(speakers):
        if speaker.face in {other.face for other in speakers[:number]}:
            raise JobError(f"--speaker {speaker}: {speaker.face} has a voice already; give each face one")


def with_speakers(spec: TaskSpec, speakers: tuple[Speaker, ...]) -> TaskSpec:
    """The specification told who has further voices, where it moves mouths."""
    return replace(spec, speakers=tuple(one.face for one in speakers)) if speakers and _takes(spec) else spec


def placed(speakers: tuple[Speaker, ...], place: Callable[[str], str]) -> tuple[Speaker, ...]:
    """The same with voices and photos where `place` puts them."""
    from pipeline.photos import with_photo_at

    return tuple(Speaker(with_photo_at(one.face, place), place(one.audio)) for one in speakers)


def _takes(spec: TaskSpec) -> bool:
    return spec.name == "lip-sync"
