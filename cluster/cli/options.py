"""The options that `render`, `plan` and `demo` share: declared once, as the fields of one value."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, TypeVar, get_type_hints

import typer

_WHAT, _HOW, _WHERE, _OUTPUT = "What is rendered", "Encoding", "Where it runs", "Output and report"
_PLAN = "Plan and cost"


def _option(*names: str, panel: str, help: str, metavar: str | None = None, min: float | None = None) -> object:
    return typer.Option(*names, help=help, metavar=metavar, min=min, rich_help_panel=panel)


@dataclass(frozen=True)
class RenderOptions:
    """What was typed, unchecked."""

    source: Annotated[str, typer.Argument(help="Photo or video: a path, s3:// or http(s):// URI.")] = ""
    output: Annotated[
        str,
        _option("-o", "--output", panel=_OUTPUT, help="What is written: .mp4, .mov, .mkv or .webm; path or URI."),
    ] = ""
    job: Annotated[
        str | None,
        _option("--job", panel=_WHAT, metavar="FILE", help="A job of .yaml or .json; what is typed overrides it."),
    ] = None
    task: Annotated[
        list[str] | None,
        _option("--task", panel=_WHAT, metavar="NAME[:key=value,…]", help="A task; may be given several times."),
    ] = None
    audio: Annotated[str | None, _option("--audio", panel=_WHAT, help="The new voice: any file with sound.")] = None
    speaker: Annotated[
        list[str] | None,
        _option(
            "--speaker",
            panel=_WHAT,
            metavar="WHO=VOICE",
            help="A voice of their own for one more face: 2=b.wav, left=b.wav, like:bob.jpg=b.wav; several times.",
        ),
    ] = None
    sound: Annotated[
        str | None,
        _option("--sound", panel=_WHAT, metavar="mix|main", help="Of several voices: all are heard, or --audio alone."),
    ] = None
    fit: Annotated[
        str | None,
        _option(
            "--fit",
            panel=_WHAT,
            help="audio[:ping-pong|loop|hold] draws the video out to the voice; video keeps it.",
        ),
    ] = None
    face: Annotated[
        str | None,
        _option("--face", panel=_WHAT, help="largest, all, left, right, #N, track:N, like:PHOTO: whose mouth moves."),
    ] = None
    identity: Annotated[
        str | None,
        _option("--identity", panel=_WHAT, metavar="MODEL", help="What tells people apart: embedded, arcface, a file."),
    ] = None
    no_face: Annotated[
        str | None,
        _option("--no-face", panel=_WHAT, metavar="keep|fail", help="Frames without a usable face."),
    ] = None
    sync_offset: Annotated[
        str | None,
        _option(
            "--sync-offset",
            panel=_WHAT,
            metavar="MS|auto",
            help="Milliseconds by which the mouth comes later than the voice; auto: as the source's own does. 0.",
        ),
    ] = None
    height: Annotated[
        str | None, _option("--height", panel=_WHAT, metavar="LINES", help="Lines of the output: with --task upscale.")
    ] = None
    frame_rate: Annotated[
        str | None, _option("--frame-rate", panel=_WHAT, help="Constant rate: 25, 29.97, 30000/1001.")
    ] = None
    trim: Annotated[
        str | None, _option("--trim", panel=_WHAT, metavar="START:END", help="Seconds, or H:MM:SS-H:MM:SS.")
    ] = None
    label: Annotated[str | None, _option("--label", panel=_WHAT, help="A visible text on every frame.")] = None
    damaged: Annotated[
        str | None,
        _option("--damaged", panel=_WHAT, metavar="fail|repeat", help="Frames that cannot be decoded; fail by itself."),
    ] = None
    alpha: Annotated[
        str | None,
        _option("--alpha", panel=_WHAT, metavar="drop|fail", help="Transparency, which outputs cannot hold; dropped."),
    ] = None
    decoder: Annotated[
        str | None,
        _option(
            "--decoder",
            panel=_WHAT,
            metavar="software|nvdec",
            help="Who decodes; nvdec where a GPU's frames prove to be those of software.",
        ),
    ] = None
    deinterlace: Annotated[bool, _option("--deinterlace", panel=_WHAT, help="Make fields into whole pictures.")] = False
    bake_rotation: Annotated[
        bool,
        _option("--bake-rotation", panel=_WHAT, help="Turn the pictures instead of carrying the rotation."),
    ] = False
    segment_seconds: Annotated[
        float | None,
        _option("--segment-seconds", panel=_HOW, help="Usual length of a segment (10 to 30 by itself)."),
    ] = None
    codec: Annotated[
        str | None,
        _option(
            "--codec", panel=_HOW, help="auto (by itself), h264, hevc, av1, vp9, prores, ffv1, or an encoder's name."
        ),
    ] = None
    crf: Annotated[float | None, _option("--crf", panel=_HOW, help="Constant quality; lower is better.")] = None
    qp: Annotated[int | None, _option("--qp", panel=_HOW, help="Constant quantiser; 0 is lossless with h264.")] = None
    preset: Annotated[str | None, _option("--preset", panel=_HOW, help="Speed of the encoder.")] = None
    pixel_format: Annotated[str | None, _option("--pixel-format", panel=_HOW, help="yuv420p, yuv420p10le, …")] = None
    in_process: Annotated[bool, _option("--in-process", panel=_WHERE, help="Threads of this process, no Ray.")] = False
    address: Annotated[
        str | None, _option("--address", panel=_WHERE, metavar="HOST:PORT", help="Join this Ray cluster.")
    ] = None
    device: Annotated[str, _option("--device", panel=_WHERE, metavar="auto|cpu|cuda", help="Where tasks compute.")] = (
        "auto"
    )
    gpus_per_cell: Annotated[
        float | None,
        _option("--gpus-per-cell", panel=_WHERE, metavar="SHARE", help="0.5: two cells on each GPU; 1 by itself."),
    ] = None
    storage_option: Annotated[
        list[str] | None,
        _option("--storage-option", panel=_WHERE, metavar="KEY=VALUE", help="endpoint_url, region, anon, …"),
    ] = None
    work: Annotated[
        str | None,
        _option("--work", panel=_OUTPUT, help="Where parts lie meanwhile; beside the output by itself."),
    ] = None
    models: Annotated[
        str | None,
        _option("--models", panel=_WHERE, metavar="URI", help="A prefix asked for weights before public addresses."),
    ] = None
    catalogue: Annotated[
        list[str] | None,
        _option("--catalogue", panel=_WHERE, metavar="FILE.toml", help="Models of your own, by name."),
    ] = None
    overwrite: Annotated[bool, _option("--overwrite", panel=_OUTPUT, help="Replace an output of another job.")] = False
    keep_parts: Annotated[bool, _option("--keep-parts", panel=_OUTPUT, help="Leave the parts in place.")] = False
    quality: Annotated[
        bool, _option("--quality", panel=_OUTPUT, help="Look at what was drawn, and tell how good it came out.")
    ] = False
    quality_gate: Annotated[
        str | None,
        _option(
            "--quality-gate",
            panel=_OUTPUT,
            metavar="NAME=VALUE,…",
            help="Put an output aside that is outside: seam, flicker, border at most; sharpness, sync at least.",
        ),
    ] = None
    report: Annotated[
        str | None,
        _option("--report", panel=_OUTPUT, metavar="FILE.json", help="Where the report goes, its page beside it."),
    ] = None
    json: Annotated[bool, _option("--json", panel=_OUTPUT, help="Print the report as one JSON document.")] = False
    verbose: Annotated[bool, _option("-v", "--verbose", panel=_OUTPUT, help="Tracebacks and every decision.")] = False


@dataclass(frozen=True, kw_only=True)
class BatchOptions(RenderOptions):
    """What was typed for a batch: options of a render that hold for every item, and those of the whole."""

    manifest: Annotated[
        str,
        typer.Argument(help=".jsonl, .csv, .yaml or .json; or a pattern as 's3://in/*.mp4', or a folder/."),
    ]
    prefix: Annotated[
        str, _option("-o", "--output", panel=_OUTPUT, metavar="PREFIX/", help="Folder or prefix of the outputs.")
    ] = ""
    name: Annotated[
        str | None,
        _option(
            "--name",
            panel=_OUTPUT,
            metavar="TEMPLATE",
            help="As '{stem}_{audio}.{ext}'; of stem, audio, task, line, index, ext, parent.",
        ),
    ] = None
    stage: Annotated[
        str | None, _option("--stage", panel=_WHERE, metavar="URI", help="Send local sources there first.")
    ] = None
    max_videos_in_flight: Annotated[
        int | None, _option("--max-videos-in-flight", panel=_WHERE, min=1, help="By the size of the cluster by itself.")
    ] = None
    metrics_port: Annotated[
        int | None, _option("--metrics-port", panel=_WHERE, min=0, help="Serve Prometheus; 0: any port.")
    ] = None
    dry_run: Annotated[
        bool, _option("--dry-run", panel=_PLAN, help="Look at every source and tell the plan; write nothing.")
    ] = False
    gpus: Annotated[int | None, _option("--gpus", panel=_PLAN, min=1, help="Plan for so many GPUs.")] = None
    gpu_kind: Annotated[
        str | None, _option("--gpu-kind", panel=_PLAN, metavar="KIND", help="l4, a10g, a100, h100, …")
    ] = None
    price_per_gpu_hour: Annotated[
        float | None, _option("--price-per-gpu-hour", panel=_PLAN, min=0.0, help="Tells the cost.")
    ] = None
    partial_ok: Annotated[
        bool, _option("--partial-ok", panel=_OUTPUT, help="Exit with 0 where some videos failed.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class PlanOptions(RenderOptions):
    """What was typed for a plan: of one source here, or of a manifest on GPUs."""

    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Photo or video; with --gpus a manifest, pattern or folder/ too.")
    ] = ""
    gpus: Annotated[int | None, _option("--gpus", panel=_PLAN, min=1, help="Predict a run on so many GPUs.")] = None
    gpu_kind: Annotated[
        str | None, _option("--gpu-kind", panel=_PLAN, metavar="KIND", help="l4, a10g, a100, h100, …")
    ] = None
    price_per_gpu_hour: Annotated[
        float | None, _option("--price-per-gpu-hour", panel=_PLAN, min=0.0, help="Tells the cost.")
    ] = None
    like: Annotated[
        str | None,
        _option("--like", panel=_PLAN, metavar="REPORT", help="Frames cost what they did in that batch's report.json."),
    ] = None


Options = TypeVar("Options", bound=RenderOptions)


def takes_render_options(command: Callable[[RenderOptions], None], *left_out: str) -> Callable[..., None]:
    """A command whose parameters are the fields of RenderOptions; those in `left_out` keep their defaults."""
    return takes_options(RenderOptions, command, *left_out)


def takes_options(kind: type[Options], command: Callable[[Options], None], *left_out: str) -> Callable[..., None]:
    """A command whose parameters are the fields of `kind`; those in `left_out` keep their defaults."""

    unasked = {field.name: "" for field in fields(kind) if field.default is MISSING}

    @functools.wraps(command)
    def typed(**given: object) -> None:
        command(kind(**{**unasked, **given}))  # type: ignore[arg-type]

    hints = get_type_hints(kind, include_extras=True)
    shown = [field for field in fields(kind) if field.name not in left_out]
    empty = inspect.Parameter.empty
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in shown
    ]
    typed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    typed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del typed.__dict__["__wrapped__"]
    return typed
