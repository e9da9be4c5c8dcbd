"""The lip-sync task: scans faces, concludes over the whole video, and has a backend draw mouths into batches."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from tasks.device_batch import DeviceBatch
from tasks.errors import JobError, SourceError
from tasks.faces.finder import open_finder
from tasks.faces.identity import open_embedding
from tasks.faces.landmarks import WEIGHTS as LANDMARKS
from tasks.faces.landmarks import LandmarkModel
from tasks.faces.measure import FrameFaces, measurements, measurements_to_arrays
from tasks.faces.photo import face_of_photo
from tasks.faces.portraits import Portrait, PortraitKeeper, portraits_to_arrays
from tasks.faces.scan import FaceScanner
from tasks.faces.selector import FaceSelector, parse_face_selector
from tasks.lip_sync.backend import Backend
from tasks.lip_sync.candidates import CandidateKeeper, candidates_to_arrays
from tasks.lip_sync.cast import Cast, People, cast_of, people_of
from tasks.lip_sync.occlusion.parsing import FaceParts
from tasks.lip_sync.occlusion.surface import SurfaceKeeper, surfaces_to_arrays
from tasks.lip_sync.quality.verdict import judge
from tasks.lip_sync.quality.watch import Watch, Watched
from tasks.lip_sync.restore.restorer import Restorer, Restoring
from tasks.lip_sync.seen import KEPT_REASONS, SILENCE, Scan, frame_rate_of, read_units
from tasks.lip_sync.shown import kept_shown, people_shown, source_seconds, words_of
from tasks.lip_sync.source_offset import SourceOffset, applied_sentence, asked_offset_seconds, source_offset
from tasks.lip_sync.syncnet.clips import ClipKeeper, clips_to_arrays
from tasks.lip_sync.syncnet.expert import Expert, open_expert
from tasks.lip_sync.syncnet.runs import MARK, marked, plan_runs
from tasks.lip_sync.voice import WEIGHTS as VOICE
from tasks.lip_sync.voice import asked_openings
from tasks.picture import FrameBatch, PictureFormat
from tasks.plane_pictures import PlanePictures
from tasks.quality import Quality
from tasks.residency.demand import Demand
from tasks.table import task_entry
from tasks.task import Arrays, Needs, OutputFrames, Shown, TaskInputs, TaskPlan, TaskSpec, UnitMeasurement, Voice
from tasks.weights import Weights

#: Bumped by hand when the same plan is drawn or scanned otherwise.
VERSION: Final = 8
#: Options that mean nothing to the embedded backend.
_OF_GENERATORS: Final = ("mask", "precision", "runtime", "silence")
#: Options that mean nothing where nothing is restored.
_OF_RESTORING: Final = ("restore_strength", "restore_area")


class LipSyncTask:
    """The mouth of the chosen face speaks the job's audio; options as the table of tasks tells them."""

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec
        self._selectors = tuple(_selector(text) for text in (spec.option("face"), *spec.speakers))
        self._parts = _parts(spec)
        self._backend = _backend(spec, self._parts)
        self._restorer = _restorer(spec, self._parts)
        self._scanner: FaceScanner | None = None
        self._watch = Watch()

    @property
    def needs(self) -> Needs:
        return Needs(audio=True, scan=True, source_sound=True, vram_bytes=self._backend.vram_bytes)

    @property
    def arithmetic(self) -> str:
        return self._backend.arithmetic

    @property
    def models(self) -> tuple[str, ...]:
        """Networks of the device's residents that a batch uses, in order."""
        parts = () if self._parts is None else (self._parts.name,)
        return self._backend.models + parts + self._restorer.models

    def demands(self, format: PictureFormat) -> tuple[Demand, ...]:
        """What each of `models` asks of the device."""
        parts = () if self._parts is None else (self._parts.demand(),)
        return self._backend.demands() + parts + self._restorer.demands(format)

    def digest(self) -> str:
        """Of what is shipped, and of who finds faces: the scan is the same for any other model."""
        finder = self.spec.weights_of("detector")
        sha = hashlib.sha256(f"lip-sync-{VERSION} {finder.sha256 if finder else ''}".encode())
        for weights in (LANDMARKS, VOICE):
            sha.update(weights.read_bytes())
        return sha.hexdigest()

    def load(self, device: str) -> None:
        """Bring what draws onto the device; the scan's own networks are loaded by the first scan, a detector here.

        Raises:
            WeightsError: weights that are here are of another network.
            JobError: a photo that is here shows no face, or several.
        """
        if self._parts is not None:
            self._parts.load(device)
        self._backend.load(device)
        self._restorer.load(device)
        if (weights := self.spec.weights_of("detector")) is not None and weights.path:
            self._scanner = _scanner(weights)
        if (weights := self.spec.weights_of("identity")) is not None and weights.path:
            open_embedding(weights)
        self._expert()
        if any(photo.content for photo in self.spec.photos):
            self._photos()

    def measure(self, start: int, batches: Iterator[FrameBatch]) -> UnitMeasurement:
        """Faces of each frame, the mouths that a bank may be made of, and how each face looks."""
        if self._scanner is None:
            self._scanner = _scanner(self.spec.weights_of("detector"))
        self._scanner.reset()
        keeper, surfaces, portraits, clips = CandidateKeeper(), SurfaceKeeper(), PortraitKeeper(), ClipKeeper()
        found, end = list[FrameFaces](), start
        for batch in batches:
            pictures = PlanePictures(batch)
            for i, faces in enumerate(self._scanner.measure(pictures)):
                keeper.look(int(batch.source_frames[i]), faces, pictures, i)
                surfaces.look(faces, pictures, i)
                clips.look(int(batch.source_frames[i]), faces, pictures, i)
                portraits.look(int(batch.source_frames[i]), faces, pictures, i, batch.format.upright_size)
                found.append(faces)
            end = start + len(found)
        arrays = measurements_to_arrays(measurements(found))
        arrays |= candidates_to_arrays(keeper.kept()) | surfaces_to_arrays(surfaces.kept())
        arrays |= portraits_to_arrays(portraits.kept()) | clips_to_arrays(clips.kept())
        return UnitMeasurement(start, end, arrays)

    def conclude(self, units: Iterable[UnitMeasurement], output: OutputFrames, voice: Voice | None) -> TaskPlan:
        """What to draw in each output frame.

        Raises:
            JobError: there is no voice, or nobody is there who was asked for.
            SourceError: `no_face=fail` and a frame has no usable face.
        """
        if voice is None:
            raise JobError("lip-sync has no voice to speak: found no audio, expected one; give it with --audio FILE")
        scan, asked = read_units(units), self.spec.option("sync_offset")
        players = self._cast(scan, output)
        expert = self._expert()
        source = source_offset(scan, output, _within_stretches(self._selectors[0]), expert)
        offset_seconds = asked_offset_seconds(asked, source)
        plan = self._shown(self._backend.plan(scan, output, voice, players, offset_seconds), scan, output, players)
        plan = replace(
            plan,
            facts={**plan.facts, **self._restorer.facts, **source.facts},
            notes=_told(asked, source),
            asked={} if voice.others else {"opening": asked_openings(voice, output, offset_seconds)},
        )
        if expert is not None and not voice.others:
            plan = _seen_by_expert(plan, voice, output.start_seconds - offset_seconds)
        if self.spec.option("no_face") == "fail":
            _refuse_kept(plan, output)
        return plan

    def people(self, units: Iterable[UnitMeasurement], output: OutputFrames) -> tuple[Shown, ...]:
        """Everyone who is seen in the source, in order of appearance."""
        scan = read_units(units)
        return people_shown(
            self._people(scan, output), scan, source_seconds(scan, output), output.format.upright_size[0]
        )

    def _cast(self, scan: Scan, output: OutputFrames) -> Cast:
        eye = open_embedding(self.spec.weights_of("identity"))
        return cast_of(self._people(scan, output), self._selectors, eye, self._photos())

    def _expert(self) -> Expert | None:
        return open_expert(self.spec.weights_of("sync_model"))

    def _people(self, scan: Scan, output: OutputFrames) -> People:
        eye = open_embedding(self.spec.weights_of("identity"))
        return people_of(scan.found, scan.first, scan.portraits, frame_rate_of(scan, output), eye)

    def _photos(self) -> dict[FaceSelector, Portrait]:
        photos = {photo.uri: photo for photo in self.spec.photos}
        return {one: face_of_photo(photos[one.photo], one) for one in self._selectors if one.kind == "like"}

    def _shown(self, plan: TaskPlan, scan: Scan, output: OutputFrames, cast: Cast) -> TaskPlan:
        people = people_shown(cast.people, scan, source_seconds(scan, output), output.format.upright_size[0])
        facts = {**plan.facts, "people": words_of(people, cast.people)}
        return replace(plan, facts=facts, shown=(*people, *kept_shown(plan.kept, scan, output, cast)))

    def render(self, batch: DeviceBatch, inputs: TaskInputs) -> DeviceBatch:
        """Draw every mouth of the batch."""
        if "face" in inputs.per_frame:
            self._backend.render(batch, inputs)
            self._restorer.render(batch, inputs)
        return batch

    def look_before(self, batch: DeviceBatch, inputs: TaskInputs, frames: Sequence[int]) -> object:
        """The mouths of these pictures as the source has them."""
        return self._watch.before(batch, inputs, frames)

    def look_after(self, before: object, batch: DeviceBatch, inputs: TaskInputs) -> Arrays:
        """What became of them."""
        return self._watch.after(cast("list[Watched]", before), batch, inputs)

    def judge(self, looks: Iterable[UnitMeasurement], asked: Arrays, cuts: NDArray[np.bool_]) -> Quality:
        """How good the drawing of a whole video came out."""
        return judge(looks, asked, cuts, self._expert())

    def release(self) -> None:
        self._scanner = None
        if self._parts is not None:
            self._parts.release()
        self._backend.release()
        self._restorer.release()


def _parts(spec: TaskSpec) -> FaceParts | None:
    """The network that tells parts of faces, where something asks for it.

    Raises:
        JobError: it is asked for without its weights, or given for nothing.
    """
    asked = [f"{name}=parsing" for name in ("mask", "occlusion") if spec.option(name) == "parsing"]
    given = spec.option("parsing")
    if asked and given == "none":
        raise JobError(
            f"task {spec.name!r}: {', '.join(asked)} needs a network that tells parts of faces; found parsing=none; "
            "add parsing=face-parsing-18 (fetched by name) or parsing=FILE, or use mask=hull and occlusion=keep"
        )
    if given != "none" and not asked:
        raise JobError(
            f"task {spec.name!r}: found parsing={given}, which nothing asks for; "
            "add mask=parsing or occlusion=parsing, or leave it out"
        )
    weights = spec.weights_of("parsing")
    return None if weights is None else FaceParts(weights)


def _backend(spec: TaskSpec, parts: FaceParts | None) -> Backend:
    if spec.option("model") == "embedded":
        _refuse_generator_options(spec)
        from tasks.lip_sync.embedded import Embedded

        return Embedded(before=spec.option("occlusion") == "keep", parts=parts)
    from tasks.lip_sync.wav2lip.backend import Generated, Manner

    how = Manner(
        precision=spec.option("precision"),
        runtime=spec.option("runtime"),
        like=spec.machine,
        mask=spec.option("mask"),
        parts=parts,
        before=spec.option("occlusion") == "keep",
        silence=spec.option("silence"),
    )
    return Generated(spec.weights_of("model"), how)


def _restorer(spec: TaskSpec, parts: FaceParts | None) -> Restorer:
    if spec.option("restore") == "none" and (asked := _asked(spec, _OF_RESTORING)):
        raise JobError(
            f"task {spec.name!r}: {', '.join(asked)} is of a restored face; found restore=none; "
            "add restore=gfpgan or restore=FILE, or leave it out"
        )
    how = Restoring(float(spec.option("restore_strength")), spec.option("restore_area"))
    return Restorer(spec.weights_of("restore"), how, parts)


def _asked(spec: TaskSpec, names: Sequence[str]) -> list[str]:
    """Those of these options that are not as they are by themselves."""
    defaults = {option.name: option.default for option in task_entry(spec.name).options}
    return [f"{name}={spec.option(name)}" for name in names if spec.option(name) != defaults[name]]


def _refuse_generator_options(spec: TaskSpec) -> None:
    """What only a generator can do is not passed over in silence."""
    if asked := _asked(spec, _OF_GENERATORS):
        raise JobError(
            f"task {spec.name!r}: {', '.join(asked)} is of a generator; found model=embedded, which warps the source's "
            "own mouth; add model=wav2lip, model=wav2lip-gan or model=FILE, or leave it out"
        )


def _scanner(detector: Weights | None) -> FaceScanner:
    """On the CPU, one face at a time: a GPU gains nothing."""
    model = LandmarkModel("cpu")
    return FaceScanner(model=model, finder=open_finder(detector, model.mean_shape))


def _selector(text: str) -> FaceSelector:
    try:
        return parse_face_selector(text)
    except ValueError as error:
        raise JobError(f"task 'lip-sync': {error}") from error


def _within_stretches(selector: FaceSelector) -> FaceSelector:
    """Whose mouths the source's own sound is held against: numbers are of the whole video, a stretch has its own."""
    return FaceSelector("all") if selector.kind in ("track", "like") else selector


def _told(asked: str, source: SourceOffset) -> tuple[str, ...]:
    """Of the source's offset, where it has sound."""
    return tuple(filter(None, (source.sentence if source.found else "", applied_sentence(asked, source))))


def _seen_by_expert(plan: TaskPlan, voice: Voice, heard_seconds: NDArray[np.float64]) -> TaskPlan:
    """The plan with runs of drawn frames marked that SyncNet is to see, and what is heard with them."""
    drawn = np.zeros(len(heard_seconds), np.bool_) if plan.kept is None else plan.kept < 0
    runs = plan_runs(heard_seconds, drawn, voice.mel)
    per_frame = {**plan.per_frame, MARK: marked(runs, len(heard_seconds))}
    return replace(plan, per_frame=per_frame, asked={**plan.asked, **runs})


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
