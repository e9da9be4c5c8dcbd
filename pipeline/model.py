"""What is known of a file of weights: where it lies, how it is known again, what its licence forbids."""

import re
from dataclasses import dataclass

from tasks.errors import JobError

#: What a licence may forbid, in the words of a message.
COMMERCIAL_USE = "commercial use"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".pkl", ".onnx")


@dataclass(frozen=True, kw_only=True)
class Model:
    """One file of weights; refused at birth where it could not be found or known again."""

    name: str
    "By which it is asked for: small letters, digits, `.`, `_` and `-`."
    task: str
    "What it is for, in the words of a list."
    architecture: str
    "The network that the weights fit."
    file: str
    "Its name on disk; the suffix says how it is read."
    sha256: str
    "Of the whole file, 64 small hexadecimal digits."
    licence: str
    forbids: tuple[str, ...] = ()
    "What the licence forbids."
    urls: tuple[str, ...] = ()
    "Where it lies, tried in this order."
    page: str = ""
    "A page for people, where no address of the file itself is known."
    size_bytes: int | None = None
    "None where nobody has told it."
    key: str = ""
    "Under which the weights sit in the file; empty: the usual ones are tried."
    precisions: tuple[str, ...] = ("fp32",)

    def __post_init__(self) -> None:
        where = f"model {self.name!r}"
        if not _NAME.fullmatch(self.name):
            raise JobError(f"{where}: expected a name of small letters, digits, '.', '_' and '-', as my-wav2lip")
        if "/" in self.file or "\\" in self.file or not self.file.endswith(SUFFIXES):
            raise JobError(f"{where}: found file {self.file!r}, expected a bare name ending in {', '.join(SUFFIXES)}")
        if not _SHA256.fullmatch(self.sha256):
            raise JobError(
                f"{where}: found sha256 {self.sha256!r}, expected 64 small hexadecimal digits, as `sha256sum` prints"
            )
        if self.size_bytes is not None and self.size_bytes <= 0:
            raise JobError(f"{where}: found size_bytes {self.size_bytes}, expected a count above 0")

    @property
    def terms(self) -> str:
        """What the licence forbids, as a sentence for a person; empty where nothing is."""
        return f"{self.name}: its licence ({self.licence}) forbids {', '.join(self.forbids)}" if self.forbids else ""
