"""The lip-sync task: scans faces, concludes over the whole video, and has a backend draw mouths into batches."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from tasks.device_batch import DeviceBatch
from tasks.errors import JobError, SourceError
from tasks.faces.choose import FaceSelector, parse_face_selector
from tasks.faces.landmarks import WEIGHTS as LANDMARKS
from tasks.faces.measure import FrameFaces, measurements, measurements_to_arrays
from tasks.faces.scan import FaceScanner
from tasks.lip_sync.backend import Backend
from tasks.lip_sync.candidates import CandidateKeeper, candidates_to_arrays
from tasks.lip_sync.looks import LookKeeper, looks_to_arrays
from tasks.lip_sync.seen import KEPT_REASONS, SILENCE, read_units
from tasks.lip_sync.voice import WEIGHTS as VOICE
from tasks.picture import FrameBatch, PictureFormat
from tasks.plane_pictures import PlanePictures
from tasks.residency.demand import Demand
from tasks.table import task_entry
from tasks.task import Needs, OutputFrames, TaskInputs, TaskPlan, TaskSpec, UnitMeasurement, Voice

#: Bumped by hand when the same plan is drawn or scanned otherwise.
VERSION: Final = 3
#: Options that mean nothing to the embedded backend.
_OF_GENERATORS: Final = ("mask", "occlusion", "precision", "silence")


class LipSyncTask:
    """The mouth of the chosen face speaks the job's audio; options as the table of tasks tells them."""

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec
        self._selector = _selector(spec.option("face"))
        self._backend = _backend(spec)
        self._scanner: FaceScanner | None = None

    @property
    def needs(self) -> Needs:
        return Needs(audio=True, scan=True, vram_bytes=self._backend.vram_bytes)

    @property
    def models(self) -> tuple[str, ...]:
        """None that others share: a generator lies on the device as long as it is loaded."""
        return ()

    def demands(self, format: PictureFormat) -> tuple[Demand, ...]:
        """None."""
        return ()

    def digest(self) -> str:
        """Of what is shipped: the scan is the same for any model, whose weights count for themselves."""
        sha = hashlib.sha256(f"lip-sync-{VERSION}".encode())
        for weights in (LANDMARKS, VOICE):
            sha.update(weights.read_bytes())
        return sha.hexdigest()

    def load(self, device: str) -> None:
        """Bring what draws onto the device; the scan's network is loaded by the first scan."""
        self._backend.load(device)

    def measure(self, start: int, batches: Iterator[FrameBatch]) -> UnitMeasurement:
        """Faces of each frame, the mouths that a bank may be made of, and how each face looks."""
        if self._scanner is None:
            self._scanner = FaceScanner("cpu")  # one face at a time: a GPU gains nothing
        self._scanner.reset()
        keeper, looks, found, end = CandidateKeeper(), LookKeeper(), list[FrameFaces](), start
        for batch in batches:
            pictures = PlanePictures(batch)
            for i, faces in enumerate(self._scanner.measure(pictures)):
                keeper.look(int(batch.source_frames[i]), faces, pictures, i)
                looks.look(int(batch.source_frames[i]), faces, pictures, i)
                found.append(faces)
            end = start + len(found)
        arrays = measurements_to_arrays(measurements(found))
        arrays |= candidates_to_arrays(keeper.kept()) | looks_to_arrays(looks.kept())
        return UnitMeasurement(start, end, arrays)

    def conclude(self, units: Iterable[UnitMeasurement], output: OutputFrames, voice: Voice | None) -> TaskPlan:
        """What to draw in each output frame.

        Raises:
            JobError: there is no voice.
            SourceError: `no_face=fail` and a frame has no usable face.
        """
        if voice is None:
            raise JobError("lip-sync has no voice to speak: found no audio, expected one; give it with --audio FILE")
        plan = self._backend.plan(read_units(units), output, voice, self._selector)
        if self.spec.option("no_face") == "fail":
            _refuse_kept(plan, output)
        return plan

    def render(self, batch: DeviceBatch, inputs: TaskInputs) -> DeviceBatch:
        """Draw every mouth of the batch."""
        if "face" in inputs.per_frame:
            self._backend.render(batch, inputs)
        return batch

    def release(self) -> None:
        self._scanner = None
        self._backend.release()


def _backend(spec: TaskSpec) -> Backend:
    offset_seconds = float(spec.option("sync_offset")) / 1000
    if spec.option("model") == "embedded":
        _refuse_generator_options(spec)
        from tasks.lip_sync.embedded import Embedded

        return Embedded(offset_seconds)
    from tasks.lip_sync.wav2lip.backend import Generated, Manner

    how = Manner(
        offset_seconds,
        precision=spec.option("precision"),
        box=spec.option("mask") == "box",
        before=spec.option("occlusion") == "keep",
        resting=spec.option("silence") == "keep",
    )
    return Generated(spec.weights_of("model"), how)


def _refuse_generator_options(spec: TaskSpec) -> None:
    """What only a generator can do is not passed over in silence."""
    defaults = {option.name: option.default for option in task_entry(spec.name).options}
    asked = [f"{name}={spec.option(name)}" for name in _OF_GENERATORS if spec.option(name) != defaults[name]]
    if asked:
        raise JobError(
            f"task {spec.name!r}: {', '.join(asked)} is of a generator; found model=embedded, which warps the source's "
            "own mouth; add model=wav2lip, model=wav2lip-gan or model=FILE, or leave it out"
        )


def _selector(text: str) -> FaceSelector:
    try:
        return parse_face_selector(text)
    except ValueError as error:
        raise JobError(f"task 'lip-sync': {error}") from error


def _refuse_kept(plan: TaskPlan, output: OutputFrames) -> None:
    kept = plan.kept if plan.kept is not None else np.zeros(0, np.int8)
    lost = np.flatnonzero((kept >= 0) & (kept != KEPT_REASONS.index(SILENCE)))
    if not len(lost):
        return
    first = int(lost[0])
    raise SourceError(
        f"lip-sync with no_face=fail: {len(lost)} of {len(output)} frames have no usable face, the first at "
        f"{output.start_seconds[first]:.2f} s ({plan.reasons[kept[first]]}); expected one in every frame: "
        "trim the source, choose another face, or use no_face=keep to leave such frames as they are"
    )
