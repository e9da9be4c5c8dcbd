"""What the user asked for, checked and frozen; knows no storage, no codec, no machine."""

import re
from dataclasses import dataclass
from fractions import Fraction

from pipeline.model import Model
from pipeline.speakers import Speaker
from tasks.errors import JobError
from tasks.task import TaskSpec

#: Who may decode; NVDEC only where its frames prove to be those of software.
DECODERS = ("software", "nvdec")


@dataclass(frozen=True)
class EncodeRequest:
    """How the user wants the output encoded; what is left open is settled by the plan."""

    codec: str = "auto"
    "auto | h264 | hevc | av1 | vp9 | prores | ffv1, or an encoder's own name."
    crf: float | None = None
    qp: int | None = None
    preset: str | None = None
    pixel_format: str | None = None


@dataclass(frozen=True)
class RenderJob:
    """One source to one output."""

    source: str
    output: str
    tasks: tuple[TaskSpec, ...] = ()
    audio: str | None = None
    fit: str = "audio:ping-pong"
    "audio:loop | audio:ping-pong | audio:hold | video; only read where `audio` is given."
    speakers: tuple[Speaker, ...] = ()
    "Each with a voice of their own, beside `audio`."
    sound: str = "mix"
    "mix | main: of several voices all are heard, or `audio` alone."
    frame_rate: Fraction | None = None
    trim: tuple[Fraction | None, Fraction | None] = (None, None)
    "[start, end) in seconds of the source."
    segment_seconds: float | None = None
    encode: EncodeRequest = EncodeRequest()
    label: str | None = None
    quality: bool = False
    "Whether what is drawn is looked at and judged; a gate asks for it too."
    quality_gate: tuple[tuple[str, float], ...] = ()
    "Limits by the names of `tasks.quality.KINDS`; an output outside them is put aside."
    damaged: str = "fail"
    "fail | repeat"
    alpha: str = "drop"
    "drop | fail"
    deinterlace: bool = False
    decoder: str = "software"
    "One of `DECODERS`."
    bake_rotation: bool = False
    overwrite: bool = False
    keep_parts: bool = False
    models: str = ""
    "A prefix asked for weights before public addresses; empty: none."
    catalogue: tuple[Model, ...] = ()
    "Models of the user's own, beside those that Reelyard knows."
    work: str | None = None
    "URI under which parts, scans and indexes lie; beside the output where not given."
    storage_options: tuple[tuple[str, str], ...] = ()

    @property
    def checked(self) -> bool:
        """Whether the quality of what is drawn is measured."""
        return self.quality or bool(self.quality_gate)


def parse_frame_rate(text: str) -> Fraction:
    """A frame rate as the field writes it: 25, 29.97, 30000/1001; NTSC decimals become exact.

    Raises:
        JobError: not a positive number.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise JobError(f"--frame-rate {text}: found no number; expected 25, 29.97 or 30000/1001") from error
    if not 0 < rate <= 1000:
        raise JobError(f"--frame-rate {text}: expected more than 0 and at most 1000 frames a second")
    for ntsc in (Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(120000, 1001)):
        if abs(rate - ntsc) < Fraction(1, 200) and rate.denominator != 1:
            return ntsc
    return rate


_CLOCK = re.compile(r"^(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)$")


def parse_clock(text: str) -> Fraction | None:
    """Seconds of `90`, `1:30`, `0:01:30.5`; None for an empty text.

    Raises:
        JobError: none of these.
    """
    if not text:
        return None
    match = _CLOCK.match(text)
    if match is None:
        raise JobError(f"--trim: found {text!r}; expected seconds or [hours:]minutes:seconds")
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)


def parse_trim(text: str) -> tuple[Fraction | None, Fraction | None]:
    """`START:END` or `START-END`; either may be left out.  `5:12.5`, `5:`, `:10`, `1:00-1:30`.

    Raises:
        JobError: unreadable, or the end is not after the start.
    """
    separator = "-" if "-" in text else ":"
    if text.count(separator) != 1:
        raise JobError(f"--trim {text}: expected START:END in seconds, or H:MM:SS-H:MM:SS")
    start_text, end_text = text.split(separator)
    start, end = parse_clock(start_text), parse_clock(end_text)
    if end is not None and end <= (start or 0):
        raise JobError(f"--trim {text}: the end is not after the start")
    return start, end


_FITS = ("audio:ping-pong", "audio:loop", "audio:hold", "video")


def parse_fit(text: str) -> str:
    """One of the fits in full; `audio` is short for audio:ping-pong.

    Raises:
        JobError: unknown.
    """
    fit = "audio:ping-pong" if text == "audio" else text
    if fit not in _FITS:
        raise JobError(f"--fit {text}: expected one of {', '.join(_FITS)}")
    return fit
