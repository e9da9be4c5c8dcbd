"""Every error a user of Reelyard can meet; knows the words, not the places that raise them.

    ReelyardError
    ├── JobError           the request is wrong: refused before work starts, never retried
    ├── SourceError        a source cannot be read, or not as the plan says; never retried
    ├── WeightsError       weights are missing, altered or of another network; never retried
    ├── ResourceShortage   the machine or cluster lacks what the job needs; never retried
    ├── OutOfVram          a model ran out of memory on its device; the ladder answers
    ├── StorageError       a read or write of storage failed; retried with back-off
    ├── WorkerLost         a process or node went away; the segment is done again elsewhere
    ├── StitchError        parts do not fit together; never retried
    └── SegmentError       one of the above, with the stage and worker where it happened

A message says what failed, on what (URI, segment, pts), what was found, what was expected and
what to do.  Every error survives pickling: fields are positional, `str()` is the message.
"""


class ReelyardError(Exception):
    """The base of the tree above; `message` is what the user reads."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class JobError(ReelyardError):
    """The request is wrong; nothing was done."""


class SourceError(ReelyardError):
    """A source cannot be read, or is not what its own index says."""


class WeightsError(ReelyardError):
    """Weights are missing, altered, or belong to another network."""


class ResourceShortage(ReelyardError):
    """The machine or cluster does not have what the job needs."""


class OutOfVram(ReelyardError):
    """A model ran out of memory on its device."""


class StorageError(ReelyardError):
    """A read or write of storage failed."""


class WorkerLost(ReelyardError):
    """A process or a node went away in the middle of its work."""


class StitchError(ReelyardError):
    """Parts do not fit together; nothing was written."""


class SegmentError(ReelyardError):
    """A failure with its place: `stage` (decode, render, encode), `worker`, `kind`.

    `kind` is the name of the class of the tree that caused it, or `bug`.
    """

    def __init__(self, message: str, stage: str = "", worker: str = "", kind: str = "bug") -> None:
        super().__init__(message)
        self.stage = stage
        self.worker = worker
        self.kind = kind

    def __reduce__(self) -> tuple[type["SegmentError"], tuple[str, str, str, str]]:
        return type(self), (self.message, self.stage, self.worker, self.kind)
