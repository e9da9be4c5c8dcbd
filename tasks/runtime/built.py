"""What was built once for a network, a shape and a machine, and where it is looked for; knows no storage.

Compiled code, engines and graphs are kept under a key of everything that they depend on, each behind a seal that
tells a broken file, or one of another key, from the right one.  They are programs: whoever may write where they are
kept decides what runs, as with an image.
"""

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Protocol

_SEAL: Final = b"reelyard built 1\n"
_DIGEST_BYTES: Final = 32


@dataclass(frozen=True)
class Recipe:
    """What something was built from."""

    what: str
    "compiled | graph | engine"
    network: str
    "Digest of its weights."
    precision: str
    machine: str
    "`tasks.runtime.machine.fingerprint`; empty for what fits all."
    library: str = ""
    "And version, of what reads it."

    def key(self, shapes: Sequence[Sequence[int]]) -> str:
        """A file's name; equal recipes and shapes, equal names."""
        about = repr((self.what, self.network, self.precision, self.machine, self.library, [list(s) for s in shapes]))
        return f"{self.what}-{hashlib.sha256(about.encode()).hexdigest()[:40]}"


class Built(Protocol):
    """Where such things are kept."""

    def find(self, key: str) -> bytes | None:
        """What was kept under that key, None where there is nothing, or nothing whole."""

    def keep(self, key: str, content: bytes) -> None:
        """Have it found from now on; says so in the log where that fails, and raises nothing."""


class NothingKept:
    """Everything is built by whoever needs it."""

    def find(self, key: str) -> bytes | None:
        return None

    def keep(self, key: str, content: bytes) -> None:
        pass


def seal_of(key: str, content: bytes) -> bytes:
    """What stands before the content where it is kept."""
    return _SEAL + key.encode() + b"\n" + hashlib.sha256(content).digest()


def opened(key: str, kept: IO[bytes]) -> tuple[bytes | None, str]:
    """(content, "") of what was kept under a key, or (None, what is wrong with it)."""
    head = _SEAL + key.encode() + b"\n"
    found = kept.read(len(head))
    if not found.startswith(_SEAL):
        return None, "it is no file of Reelyard's"
    if found != head:
        return None, "it was kept under another key"
    digest, content = kept.read(_DIGEST_BYTES), kept.read()
    if hashlib.sha256(content).digest() != digest:
        return None, "its bytes are not those that were kept"
    return content, ""


def packed(folder: Path, files: Iterable[Path]) -> bytes:
    """Files below a folder as one archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for path in sorted(files):
            archive.add(path, str(path.relative_to(folder)), recursive=False)
    return out.getvalue()


def unpack(content: bytes, folder: Path) -> None:
    """The files of an archive put below a folder; none of them lands outside it, and none in place of another.

    A library that is written over while a process has it open ends that process.

    Raises:
        OSError, tarfile.TarError: it cannot be read, or its files cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=folder) as beside:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            archive.extractall(beside, filter="data")
        for path in Path(beside).rglob("*"):
            target = folder / path.relative_to(beside)
            if path.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)
