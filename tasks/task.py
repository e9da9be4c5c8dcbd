"""What a task is: how it is named and configured, what it needs, and its five verbs.

A task goes through `load -> measure -> conclude -> render -> release`.  `measure` looks at one
scan unit of the source (independent of all others), `conclude` runs once over all of them as
pure arithmetic, and `render` reads nothing but slices of what `conclude` returned: so a video
cut in one segment or in many comes out the same.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from tasks.mel import mel_slice
from tasks.picture import FrameBatch, PictureFormat
from tasks.runtime.choice import Machine
from tasks.weights import Weights

if TYPE_CHECKING:
    from tasks.device_batch import DeviceBatch
    from tasks.residency.demand import Demand

Arrays = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Photo:
    """A picture that a selector of faces names, as it travels with a task's specification."""

    uri: str
    sha256: str
    content: bytes = field(default=b"", repr=False)
    "Of the file; empty where it is not needed here."


@dataclass(frozen=True)
class TaskSpec:
    """A task as a job asks for it: its name and its options, checked and complete."""

    name: str
    options: tuple[tuple[str, str], ...] = ()
    "Sorted (key, value) pairs; every option stands here, defaults included."
    weights: tuple[Weights, ...] = ()
    "Of the options that name a model; filled in by the plan."
    speakers: tuple[str, ...] = ()
    "Whose mouths speak the further voices of the job, in their order; filled in by the plan."
    photos: tuple[Photo, ...] = ()
    "That selectors of faces name; filled in by the plan."
    machine: Machine | None = None
    "That decides at which precision all nodes of a run draw; filled in before rendering, where a task leaves it open."

    def option(self, key: str) -> str:
        return dict(self.options)[key]

    def weights_of(self, option: str) -> Weights | None:
        """The weights that an option names, None where it names none."""
        return next((one for one in self.weights if one.option == option), None)


@dataclass(frozen=True)
class Needs:
    """What a task must be given, declared before any work."""

    audio: bool = False
    "Mel spectrogram of the job's voice (80 columns a second)."
    scan: bool = False
    source_sound: bool = False
    "Some of the source's own sound, where it has any."
    frame_rate_factor: Fraction = Fraction(1)
    vram_bytes: int = 0


@dataclass(frozen=True)
class Voice:
    """The job's voice as features, computed once for the whole audio."""

    mel: npt.NDArray[np.float32]
    "(80, T) mel spectrogram, 80 columns a second; may be memory-mapped."
    duration_seconds: float
    others: tuple["Voice", ...] = ()
    "Those of the job's further speakers, in the order of `TaskSpec.speakers`."


@dataclass(frozen=True, eq=False)
class SoundStretch:
    """The source's own sound while some of its frames are shown, and a little around them."""

    start: int
    "The first of the source frames."
    seconds: npt.NDArray[np.float64]
    "(n,) when each of them is shown, from column 0 of the mel spectrogram on."
    mel: npt.NDArray[np.float32]
    "(80, T)"


@dataclass(frozen=True)
class OutputFrames:
    """Which source frame each of the n output frames shows, and when."""

    source_frames: npt.NDArray[np.int64]
    "(n,) numbers in presentation order; may repeat, may run backwards."
    start_seconds: npt.NDArray[np.float64]
    "(n,) from the start of the output."
    duration_seconds: npt.NDArray[np.float64]
    format: PictureFormat
    source_sound: tuple[SoundStretch, ...] = ()
    "Of the source itself, where a task needs it and there is any."

    def __len__(self) -> int:
        return len(self.source_frames)


@dataclass(frozen=True)
class UnitMeasurement:
    """What `measure` saw in source frames [start, end): a dict of arrays, storable as npz."""

    start: int
    end: int
    arrays: Arrays


@dataclass(frozen=True)
class TaskInputs:
    """All that `render` may read for output frames [start, end)."""

    start: int
    end: int
    per_frame: Arrays
    "Arrays whose first axis has end - start entries."
    constant: Arrays

    def narrow(self, start: int, end: int) -> "TaskInputs":
        """The same for output frames [start, end) within these."""
        a, b = start - self.start, end - self.start
        return TaskInputs(start, end, {k: v[a:b] for k, v in self.per_frame.items()}, self.constant)

    def digest(self) -> str:
        """Hex SHA-256 over names, shapes and bytes; equal inputs have equal digests."""
        sha = hashlib.sha256(f"{self.start}:{self.end}".encode())
        for group in (self.per_frame, self.constant):
            for name in sorted(group):
                array = np.ascontiguousarray(group[name])
                sha.update(f"|{name}|{array.dtype.str}|{array.shape}|".encode())
                sha.update(array.view(np.uint8).data if array.size else b"")
        return sha.hexdigest()


@dataclass(frozen=True, eq=False)
class SoundWindow:
    """Mel columns of which each output frame hears some; cut with the frames, never copied for each of them."""

    mel: npt.NDArray[np.float32]
    "(80, T); may be memory-mapped."
    first: npt.NDArray[np.int64]
    "(n,) the first column that each output frame hears; may lie outside, where it is silent."
    columns: int
    "How many it hears."

    def cut(self, start: int, end: int) -> "tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]":
        """(80, columns) that frames [start, end) hear, and where in them each begins."""
        first = self.first[start:end]
        low, high = (int(first.min()), int(first.max()) + self.columns) if len(first) else (0, 0)
        return mel_slice(self.mel, low, high - low), first - low


def sound_name(array: str, voice: int) -> str:
    """What an input array of one of the job's voices is called."""
    return f"{array}{voice}" if voice else array


@dataclass(frozen=True)
class Shown:
    """A small picture that the report shows."""

    group: str
    "people | kept: of a person who was found, or of a frame that was left alone"
    title: str
    line: str
    jpeg: bytes = field(repr=False)


@dataclass(frozen=True)
class TaskPlan:
    """What a task will do to every output frame; the result of `conclude`."""

    per_frame: Arrays = field(default_factory=dict)
    "Arrays whose first axis has one entry for each output frame."
    constant: Arrays = field(default_factory=dict)
    "Arrays that every segment reads (a mouth bank)."
    sounds: tuple[SoundWindow, ...] = ()
    "What of each voice the frames hear; inputs get it under `sound_name` of `mel` and `mel_first`."
    reasons: tuple[str, ...] = ()
    "Why a source frame is kept as it is; `kept[i]` is an index into it, -1 where drawn."
    kept: npt.NDArray[np.int8] | None = None
    "(n,) per output frame; None where every frame is rendered."
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    "What the report should say (faces found, chosen track, gain)."
    shown: tuple[Shown, ...] = ()
    "Few and small."
    notes: tuple[str, ...] = ()
    "What a person should be told at once, as sentences."
    asked: Arrays = field(default_factory=dict)
    "What a check holds what was drawn against; no part of it reaches a renderer."
    digest: str = ""
    "Of the task and its weights, for the keys of what it draws; filled in by whoever concludes."

    def slice(self, start: int, end: int) -> TaskInputs:
        per_frame = {k: v[start:end] for k, v in self.per_frame.items()}
        constant = dict(self.constant)
        for voice, sound in enumerate(self.sounds):
            constant[sound_name("mel", voice)], per_frame[sound_name("mel_first", voice)] = sound.cut(start, end)
        return TaskInputs(start, end, per_frame, constant)

    def kept_by_reason(self, start: int, end: int) -> dict[str, int]:
        """Frames of [start, end) kept as in the source, by reason."""
        if self.kept is None:
            return {}
        kept = self.kept[start:end]
        return {r: int(n) for i, r in enumerate(self.reasons) if (n := np.count_nonzero(kept == i))}


@runtime_checkable
class Pooled(Protocol):
    """A task whose networks lie among the device's residents."""

    @property
    def models(self) -> tuple[str, ...]:
        """Networks of the device's residents that a batch uses, in order."""

    def demands(self, format: PictureFormat) -> "tuple[Demand, ...]":
        """What each of `models` asks of the device for pictures of that format; known once loaded."""


@runtime_checkable
class Computing(Protocol):
    """A task that tells in which arithmetic it draws, which is its device's to decide."""

    @property
    def arithmetic(self) -> str:
        """What is counted of each frame that is drawn so, as `in bf16`; empty where nothing was to be chosen."""


class Task(Protocol):
    """One kind of work on pictures.  A task that needs no scan returns an empty plan."""

    spec: TaskSpec

    @property
    def needs(self) -> Needs: ...

    def digest(self) -> str:
        """Hex digest of weights and pixel-engine version: what else the pixels depend on."""

    def load(self, device: str) -> None:
        """Bring networks onto the device; called once in the process that measures or renders."""

    def measure(self, start: int, batches: Iterator[FrameBatch]) -> UnitMeasurement:
        """Independent measurements of one scan unit; `batches` are its source frames in order."""

    def conclude(self, units: Iterable[UnitMeasurement], output: OutputFrames, voice: Voice | None) -> TaskPlan:
        """The whole-video result; pure, reads units in order and may hold only what it needs of each."""

    def render(self, batch: "DeviceBatch", inputs: TaskInputs) -> "DeviceBatch":
        """The batch to go on with: `batch`, changed in place, or one `resized` to the task's output size.

        `inputs` covers exactly its frames.
        """

    def release(self) -> None:
        """Free the device."""
