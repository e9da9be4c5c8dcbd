"""The lip-sync task: scans faces, concludes over the whole video, and draws mouths into batches."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.device_batch import Box, DeviceBatch
from tasks.errors import JobError, SourceError
from tasks.faces.choose import FaceSelector, parse_face_selector
from tasks.faces.landmarks import WEIGHTS as LANDMARKS
from tasks.faces.measure import FrameFaces, measurements, measurements_to_arrays
from tasks.faces.scan import FaceScanner
from tasks.lip_sync.bank import bank_from_bytes
from tasks.lip_sync.candidates import CandidateKeeper, candidates_to_arrays
from tasks.lip_sync.draw import LoadedBank, boxes_of, draw, load_bank, plan_drawing
from tasks.lip_sync.motion import Speech, Wish, plan_wish
from tasks.lip_sync.plan import plan_lip_sync, read_units
from tasks.lip_sync.voice import WEIGHTS as VOICE
from tasks.lip_sync.voice import articulate
from tasks.mel import MelStatistics
from tasks.picture import FrameBatch
from tasks.plane_pictures import PlanePictures
from tasks.task import Needs, OutputFrames, TaskInputs, TaskPlan, TaskSpec, UnitMeasurement, Voice

#: Bumped by hand when the same plan is drawn or scanned otherwise.
VERSION: Final = 2


class LipSyncTask:
    """The mouth of the chosen face speaks the job's audio.

    Options: `face` (largest, all, left, right, #N), `no_face` (keep, fail), `sync_offset` (milliseconds
    by which the mouth comes later).
    """

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec
        self._selector = _selector(spec.option("face"))
        self._offset_seconds = float(spec.option("sync_offset")) / 1000
        self._device = "cpu"
        self._scanner: FaceScanner | None = None
        self._banks: dict[str, LoadedBank] = {}

    @property
    def needs(self) -> Needs:
        return Needs(audio=True, scan=True)

    def digest(self) -> str:
        sha = hashlib.sha256(f"lip-sync-{VERSION}".encode())
        for weights in (LANDMARKS, VOICE):
            sha.update(weights.read_bytes())
        return sha.hexdigest()

    def load(self, device: str) -> None:
        """Note the device; the scan's network is loaded by the first scan."""
        self._device = device

    def measure(self, start: int, batches: Iterator[FrameBatch]) -> UnitMeasurement:
        """Faces of each frame, and the mouths that a bank may be made of."""
        if self._scanner is None:
            self._scanner = FaceScanner("cpu")  # one face at a time: a GPU gains nothing
        self._scanner.reset()
        keeper, found, end = CandidateKeeper(), list[FrameFaces](), start
        for batch in batches:
            pictures = PlanePictures(batch)
            for i, faces in enumerate(self._scanner.measure(pictures)):
                keeper.look(int(batch.source_frames[i]), faces, pictures, i)
                found.append(faces)
            end = start + len(found)
        arrays = measurements_to_arrays(measurements(found)) | candidates_to_arrays(keeper.kept())
        return UnitMeasurement(start, end, arrays)

    def conclude(self, units: Iterable[UnitMeasurement], output: OutputFrames, voice: Voice | None) -> TaskPlan:
        """What to draw in each output frame.

        Raises:
            JobError: there is no voice.
            SourceError: `no_face=fail` and a frame has no usable face.
        """
        if voice is None:
            raise JobError("lip-sync has no voice to speak: found no audio, expected one; give it with --audio FILE")
        plan = plan_lip_sync(read_units(units), output, self._wish(voice, output), self._selector)
        if self.spec.option("no_face") == "fail":
            _refuse_kept(plan, output)
        return plan

    def render(self, batch: DeviceBatch, inputs: TaskInputs) -> DeviceBatch:
        """Draw every mouth of the batch."""
        bank = inputs.per_frame.get("bank")
        if bank is None:
            return batch
        for place in range(bank.shape[1]):
            for number in np.unique(bank[:, place]).tolist():
                if number >= 0:
                    self._draw(batch, inputs, place, number)
        return batch

    def release(self) -> None:
        self._scanner = None
        self._banks = {}

    def _wish(self, voice: Voice, output: OutputFrames) -> Wish:
        spoken = articulate(voice.mel, MelStatistics.of(voice.mel))
        mouth = spoken.at(output.start_seconds, output.duration_seconds, sync_offset_seconds=self._offset_seconds)
        return plan_wish(Speech(mouth.opening, mouth.closure, mouth.width), output.start_seconds)

    def _draw(self, batch: DeviceBatch, inputs: TaskInputs, place: int, number: int) -> None:
        """Draw the face of one bank that stands in one of the places of `inputs`."""
        frames = np.flatnonzero(inputs.per_frame["bank"][:, place] == number)
        points, gaps, widths, weights = (
            np.asarray(inputs.per_frame[name][frames, place], np.float64)
            for name in ("points", "gaps", "widths", "weights")
        )
        bank = self._bank(inputs.constant[f"bank{number}"])
        drawing = plan_drawing(points, gaps, widths, weights, bank.bank)
        boxes = boxes_of(drawing, *batch.format.upright_size)
        for group in _groups(boxes, together=batch.device.type == "cuda"):
            around = _of_one_size([box for i in group if (box := boxes[i]) is not None])
            corners = np.array([(box.x0, box.y0) for box in around], np.float64)
            numbers = [int(frames[i]) for i in group]
            rgb = batch.read(numbers, around, tone_mapped=True)
            drawn, mask = draw(rgb, drawing.at(np.array(group)).moved(corners), bank)
            batch.write(numbers, around, drawn, mask, tone_mapped=True)

    def _bank(self, stored: NDArray[np.generic]) -> LoadedBank:
        data = stored.tobytes()
        key = hashlib.blake2b(data, digest_size=16).hexdigest()
        if key not in self._banks:
            if len(self._banks) >= 8:
                self._banks.clear()
            self._banks[key] = load_bank(bank_from_bytes(data), self._device)
        return self._banks[key]


def _selector(text: str) -> FaceSelector:
    try:
        return parse_face_selector(text)
    except ValueError as error:
        raise JobError(f"task 'lip-sync': {error}") from error


def _groups(boxes: Sequence[Box | None], *, together: bool) -> list[list[int]]:
    """Indexes of the drawings that are drawn in one call: on a GPU all, on a CPU each in its own box."""
    inside = [i for i, box in enumerate(boxes) if box is not None]
    return ([inside] if inside else []) if together else [[i] for i in inside]


def _of_one_size(boxes: Sequence[Box]) -> list[Box]:
    """The boxes, grown to the right and downwards to the size of the largest."""
    width, height = max(box.width for box in boxes), max(box.height for box in boxes)
    return [Box(box.x0, box.y0, box.x0 + width, box.y0 + height) for box in boxes]


def _refuse_kept(plan: TaskPlan, output: OutputFrames) -> None:
    kept = plan.kept if plan.kept is not None else np.zeros(0, np.int8)
    lost = np.flatnonzero(kept >= 0)
    if not len(lost):
        return
    first = int(lost[0])
    raise SourceError(
        f"lip-sync with no_face=fail: {len(lost)} of {len(output)} frames have no usable face, the first at "
        f"{output.start_seconds[first]:.2f} s ({plan.reasons[kept[first]]}); expected one in every frame: "
        "trim the source, choose another face, or use no_face=keep to leave such frames as they are"
    )
