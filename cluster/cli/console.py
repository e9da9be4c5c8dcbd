"""What a person sees: lines on stderr, one JSON document on stdout, errors with their exit code."""

import json
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tasks.errors import JobError, ReelyardError, SegmentError

#: Exit codes of every command.
RENDERED, FAILED, BAD_REQUEST, PARTIAL, STOPPED = 0, 1, 2, 3, 130


def say(line: str) -> None:
    """A line for a person."""
    print(line, file=sys.stderr, flush=True)


def print_json(document: object) -> None:
    """The one document of a `--json` run."""
    print(json.dumps(document, indent=2, default=str, ensure_ascii=False))


@contextmanager
def told_errors(verbose: bool, resume: str = "") -> Iterator[None]:
    """Errors of the block as one line and an exit code; `resume` says how to go on after a stop.

    Ends the process by SystemExit.
    """
    _log_to_stderr(verbose)
    signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except KeyboardInterrupt:
        say(f"stopped{': ' + resume if resume else ''}")
        raise SystemExit(STOPPED) from None
    except ReelyardError as error:
        if verbose:
            raise
        say(f"error: {error.message}")
        raise SystemExit(exit_code(error)) from None
    except BrokenPipeError:
        raise SystemExit(FAILED) from None
    except Exception as error:
        if verbose:
            raise
        say(f"error: {type(error).__name__}: {error} (a fault of Reelyard: --verbose shows where)")
        raise SystemExit(FAILED) from None


def exit_code(error: ReelyardError) -> int:
    """2 where the request is wrong, else 1."""
    refused = isinstance(error, JobError) or (isinstance(error, SegmentError) and error.kind == "JobError")
    return BAD_REQUEST if refused else FAILED


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class _Said(logging.Handler):
    """Log records as lines for a person."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def _log_to_stderr(verbose: bool) -> None:
    logger = logging.getLogger("reelyard")
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    if not logger.handlers:
        logger.addHandler(_Said())


def seconds(count: float) -> str:
    """`4.2 s`, `3:05`, `1:02:03`."""
    if count < 60:
        return f"{count:.1f} s"
    minutes, rest = divmod(round(count), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
