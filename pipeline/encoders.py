"""How a job's pictures are encoded: the choice of encoder, format and options; knows no frames, no files.

`choose_encoding` settles what the user left open, refuses what cannot work before any work is done,
and opens the encoder once to prove that it does.  Defaults: libx264 at CRF 18, preset veryfast,
a keyframe at least every 2 s, one thread (a second one would change x264's bytes).
"""

from collections.abc import Mapping
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext

from pipeline.encoder_options import encoder_options
from pipeline.encoder_table import ENCODERS, HARDWARE, SOFTWARE, Encoder
from pipeline.hdr import Hdr10, hdr_options
from pipeline.job import EncodeRequest
from pipeline.part import EncodeSpec
from pipeline.real_time import ordinary_threads
from pipeline.timeline import Timeline
from tasks.errors import JobError
from tasks.picture import PictureFormat, PixelLayout, pixel_layout

#: Seconds between keyframes at most, and bounds of that in frames.
GOP_SECONDS, SHORTEST_GOP, LONGEST_GOP = 2, 2, 250


#: Codecs that a container holds and players open.
CONTAINERS: Mapping[str, tuple[str, ...]] = {
    "mp4": ("h264", "hevc", "av1", "vp9", "ffv1"),
    "mov": ("h264", "hevc", "prores"),
    "mkv": ("h264", "hevc", "av1", "vp9", "prores", "ffv1"),
    "webm": ("vp9", "av1"),
}
ENDINGS = {"mp4": "mp4", "m4v": "mp4", "mov": "mov", "mkv": "mkv", "webm": "webm"}
#: FFmpeg's names of the muxers.
MUXERS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm"}


def container_of(output_uri: str) -> str:
    """mp4, mov, mkv or webm, by the output's ending.

    Raises:
        JobError: another ending.
    """
    ending = output_uri.rsplit("/", 1)[-1].rpartition(".")[2].lower()
    if ending not in ENDINGS:
        raise JobError(f"output {output_uri}: found ending {ending!r}; expected one of .{', .'.join(ENDINGS)}")
    return ENDINGS[ending]


def choose_encoding(
    picture: PictureFormat,
    timeline: Timeline,
    request: EncodeRequest,
    container: str,
    *,
    hdr: Hdr10 | None = None,
) -> EncodeSpec:
    """The whole of how the output's pictures are encoded; `picture` is what enters the encoder.

    Raises:
        JobError: encoder, container, format or a value do not go together, or the encoder does not open.
    """
    encoder = _choose_encoder(picture, request, container)
    layout = _choose_layout(encoder, picture, request)
    width, height = _coded_size(encoder, layout, picture)
    if picture.field_order != "progressive" and not encoder.interlaced:
        raise JobError(
            f"{encoder.name} cannot keep the fields of an interlaced picture; use --codec h264, or --deinterlace"
        )
    rate = timeline.frame_rate or _mean_rate(timeline)
    hdr_settings = hdr_options(encoder.name, hdr or Hdr10())
    spec = EncodeSpec(
        encoder=encoder.name,
        pixel_format=layout.name,
        width=width,
        height=height,
        time_base=timeline.time_base,
        frame_rate=rate,
        options=tuple(sorted(encoder_options(encoder, layout, picture, request, hdr_settings).items())),
        colour=picture.colour,
        sample_aspect_ratio=picture.sample_aspect_ratio,
        field_order=picture.field_order,
        gop_frames=max(SHORTEST_GOP, min(LONGEST_GOP, round(GOP_SECONDS * rate))),
        codec_tag="hvc1" if encoder.codec == "hevc" and container in ("mp4", "mov") else "",
        notes=_notes(layout, picture, width, height),
    )
    check_opens(spec)
    return spec


def configure(context: VideoCodecContext, spec: EncodeSpec) -> None:
    """Set all of `spec` on an encoder that is not yet open."""
    context.width, context.height, context.pix_fmt = spec.width, spec.height, spec.pixel_format
    context.time_base = spec.time_base
    context.framerate = spec.frame_rate or Fraction(25)
    context.gop_size = spec.gop_frames
    context.sample_aspect_ratio = spec.sample_aspect_ratio
    context.colorspace, context.color_primaries = spec.colour.matrix, spec.colour.primaries
    context.color_trc, context.color_range = spec.colour.transfer, 2 if spec.colour.full_range else 1
    context.field_order = {"progressive": 1, "tff": 2, "bff": 3}[spec.field_order]
    context.options = dict(spec.options)


def check_opens(spec: EncodeSpec) -> None:
    """Open the encoder and throw it away; a hardware encoder must also encode a frame.

    Raises:
        JobError: it does not open.
    """
    reason = _hardware_fault(spec) if ENCODERS[spec.encoder].hardware else _opening_fault(spec)
    if reason:
        instead = ENCODERS[spec.encoder].codec if ENCODERS[spec.encoder].hardware else "auto"
        raise JobError(
            f"encoder {spec.encoder} does not open for {spec.width}x{spec.height} {spec.pixel_format}: "
            f"{reason}; "
            f"use --codec {instead}, or other values"
        )


def working_hardware_encoders() -> dict[str, str]:
    """Each hardware encoder known here, and why it does not work on this machine; empty where it does."""
    from tasks.picture import Colour

    colour = Colour(1, 1, 1, False)
    return {
        e.name: _hardware_fault(
            EncodeSpec(e.name, "yuv420p", 256, 256, Fraction(1, 25), Fraction(25), (), colour, Fraction(1))
        )
        for e in HARDWARE
    }


def _choose_encoder(picture: PictureFormat, request: EncodeRequest, container: str) -> Encoder:
    allowed = CONTAINERS[container]
    if request.codec == "auto":
        return _automatic(picture, request, [e for e in SOFTWARE if e.codec in allowed], container)
    by_codec = {e.codec: e for e in SOFTWARE}
    found = ENCODERS.get(request.codec) or by_codec.get(request.codec)
    if found is None:
        raise JobError(f"--codec {request.codec}: expected auto, {', '.join(by_codec)}, or {', '.join(ENCODERS)}")
    if found.codec not in allowed:
        fits = ", ".join(f".{c}" for c, codecs in CONTAINERS.items() if found.codec in codecs)
        raise JobError(
            f"--codec {request.codec}: a .{container} file does not hold {found.codec}; "
            f"name the output {fits}, or use --codec {', '.join(allowed)}"
        )
    return found


def _automatic(picture: PictureFormat, request: EncodeRequest, encoders: list[Encoder], container: str) -> Encoder:
    """libx264 (libvpx-vp9 in webm) unless only another of them holds an odd size or a depth exactly."""
    ranked = ("libvpx-vp9", "libsvtav1") if container == "webm" else ("libx264", "libsvtav1")
    usable = sorted((e for e in encoders if e.name in ranked), key=lambda e: ranked.index(e.name))
    if request.preset or request.crf is not None or request.qp is not None or request.pixel_format:
        return usable[0]  # Values were meant for the encoder that `auto` is known to be.
    interlaced = picture.field_order != "progressive"
    odd = not _takes_size(usable[0], picture.layout, picture)
    deep = container == "webm" and picture.layout.depth > 8
    if odd or deep:
        for encoder in usable:
            holds = picture.layout.name in _formats(encoder) and _takes_size(encoder, picture.layout, picture)
            if holds and (encoder.interlaced or not interlaced):
                return encoder
    return usable[0]


def _formats(encoder: Encoder) -> tuple[str, ...]:
    """Planar YCbCr formats that the encoder takes."""
    if encoder.hardware:
        return encoder.formats
    names = [f.name for f in av.Codec(encoder.name, "w").video_formats or ()]
    # mp4's and webm's description of VP9 has no word for 4:4:0: such a file does not open again.
    unwanted = ("yuvj", "yuv440") if encoder.codec == "vp9" else ("yuvj",)
    return tuple(n for n in names if pixel_layout(n) is not None and not n.startswith(unwanted))


def _choose_layout(encoder: Encoder, picture: PictureFormat, request: EncodeRequest) -> PixelLayout:
    names = _formats(encoder)
    if request.pixel_format is not None:
        if request.pixel_format not in names:
            raise JobError(f"--pixel-format {request.pixel_format}: {encoder.name} takes {', '.join(names)}")
        chosen = pixel_layout(request.pixel_format)
        assert chosen is not None
        return chosen
    layouts = [layout for n in names if (layout := pixel_layout(n)) is not None]
    return min(layouts, key=lambda layout: _loss(picture.layout, layout))


def _loss(source: PixelLayout, held: PixelLayout) -> tuple[int, ...]:
    """Order of conversions: first keep chroma resolution, then depth, then add least."""
    lost = max(0, held.chroma_shift_x - source.chroma_shift_x) + max(0, held.chroma_shift_y - source.chroma_shift_y)
    gained = max(0, source.chroma_shift_x - held.chroma_shift_x) + max(0, source.chroma_shift_y - held.chroma_shift_y)
    return lost, max(0, source.depth - held.depth), gained, max(0, held.depth - source.depth)


def _multiples(encoder: Encoder, layout: PixelLayout, picture: PictureFormat) -> tuple[int, int]:
    """Width and height must be multiples of these."""
    fields = 2 if picture.field_order != "progressive" and encoder.name == "libx264" else 1
    if encoder.any_size:
        return 1, 1
    return 1 << layout.chroma_shift_x, (1 << layout.chroma_shift_y) * fields


def _takes_size(encoder: Encoder, layout: PixelLayout, picture: PictureFormat) -> bool:
    across, down = _multiples(encoder, layout, picture)
    return picture.width % across == 0 and picture.height % down == 0


def _coded_size(encoder: Encoder, layout: PixelLayout, picture: PictureFormat) -> tuple[int, int]:
    across, down = _multiples(encoder, layout, picture)
    return -(-picture.width // across) * across, -(-picture.height // down) * down


def _mean_rate(timeline: Timeline) -> Fraction:
    seconds = (timeline.end_pts - int(timeline.pts[0])) * timeline.time_base
    return max(Fraction(1), (len(timeline) / seconds).limit_denominator(1001)) if seconds > 0 else Fraction(25)


def _notes(layout: PixelLayout, picture: PictureFormat, width: int, height: int) -> tuple[str, ...]:
    source = picture.layout
    notes = []
    if layout.name != source.name:
        rounding = " by rounding" if layout.depth < source.depth else ""
        how = [f"{source.depth} to {layout.depth} bits{rounding}"] if layout.depth != source.depth else []
        if (layout.chroma_shift_x, layout.chroma_shift_y) != (source.chroma_shift_x, source.chroma_shift_y):
            how.append("chroma to another resolution")
        notes.append(f"pixel format {source.name} converted to {layout.name} ({', '.join(how)})")
    if (width, height) != (picture.width, picture.height):
        notes.append(
            f"size {picture.width}x{picture.height} padded to {width}x{height} by repeating the last column or row"
        )
    if picture.colour.guessed:
        notes.append("colour was not stated by the source; the guess is written into the output")
    return tuple(notes)


def _opening_fault(spec: EncodeSpec) -> str:
    try:
        context = av.CodecContext.create(spec.encoder, "w")
        assert isinstance(context, VideoCodecContext)
        configure(context, spec)
        with ordinary_threads():
            context.open()
    except (av.FFmpegError, ValueError) as error:
        return str(error)
    return ""


def _hardware_fault(spec: EncodeSpec) -> str:
    """Why one frame cannot be encoded; the libraries load only when the encoder opens."""
    try:
        context = av.CodecContext.create(spec.encoder, "w")
        assert isinstance(context, VideoCodecContext)
        configure(context, spec)
        frame = av.VideoFrame(spec.width, spec.height, spec.pixel_format)
        frame.pts = 0
        with ordinary_threads():
            packets = [*context.encode(frame), *context.encode(None)]
        return "" if packets else "it gave no packet for one frame"
    except (av.FFmpegError, ValueError) as error:
        return str(error)
