"""Reads and writes of files and objects by URI; the only room that knows fsspec.

Plain paths and `file://` are served by the operating system, all else by fsspec: `s3://`,
`http(s)://` (read only), `memory://`, and what further drivers are installed.  A write is seen
whole or not at all.
"""

import contextlib
import errno
import hashlib
import os
import random
import re
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar, cast
from urllib.parse import unquote

from pipeline.index import SourceIdentity
from pipeline.remote_reader import RemoteReader
from pipeline.storage_errors import AlreadyThere, NotFound, changed, explain, is_transient
from pipeline.unfinished import Unfinished, abort_upload, partial_files, pending_uploads
from tasks.errors import SourceError, StorageError

Result = TypeVar("Result")

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_ATTEMPTS = 4
_FIRST_WAIT_SECONDS = 0.25
_EDGE_BYTES = 1 << 20
_PARTIAL = ".partial"
_HONOURS_CREATE: dict[tuple[str, tuple[tuple[str, str], ...]], bool] = {}


def scheme_of(uri: str) -> str:
    """`s3`, `http`, `memory`, …; `file` for plain paths."""
    match = _SCHEME.match(uri)
    return match.group(1).lower() if match else "file"


@dataclass(frozen=True)
class Storage:
    """All storage by URI; a small value that pickles and may be used by several threads.

    `options`: endpoint_url, key, secret, token, anon, region for `s3://`; what is not given comes
    from the environment's standard variables.
    """

    options: Mapping[str, str] = field(default_factory=dict)

    def local_path(self, uri: str) -> Path | None:
        """The path of a local URI, None for a remote one."""
        match = _SCHEME.match(uri)
        if match is None:
            return Path(uri)
        return Path(unquote(uri[len("file://") :])) if match.group(1).lower() == "file" else None

    def size(self, uri: str) -> int:
        """Bytes.

        Raises:
            NotFound, AccessRefused, StorageError: it cannot be asked.
        """
        if (path := self.local_path(uri)) is not None:
            return int(self._attempt(lambda: _regular_file(path).st_size, uri, "read"))
        size = self._info(uri).get("size")
        if size is None:
            raise StorageError(f"{uri}: the server does not tell its size; copy the file to local disk first")
        return int(size)

    def exists(self, uri: str) -> bool:
        """Whether a file or object lies there; asked by exact key, never from a cached listing."""
        try:
            self.size(uri)
        except NotFound:
            return False
        return True

    def read(self, uri: str) -> bytes:
        """The whole object."""
        if (path := self.local_path(uri)) is not None:
            return self._attempt(path.read_bytes, uri, "read")
        fs, key = self._remote(uri)
        return cast(bytes, self._attempt(lambda: fs.cat_file(key), uri, "read"))

    def read_range(self, uri: str, start: int, end: int, identity: SourceIdentity | None = None) -> bytes:
        """Bytes [start, end) in one request; fewer where the object ends before `end`.

        Raises:
            SourceError: the object is no longer the one of `identity`.
        """
        if end <= start:
            return b""
        if (path := self.local_path(uri)) is not None:
            return self._attempt(lambda: _read_local(path, start, end), uri, "read")
        data = self._attempt(lambda: self._get(uri, start, end, identity), uri, "read")
        if len(data) > end - start:
            raise StorageError(
                f"{uri}: asked for {end - start} bytes, found {len(data)}: the server ignores Range requests; "
                "copy the file to local disk or a store that serves ranges"
            )
        return data

    def open(self, uri: str, identity: SourceIdentity | None = None) -> BinaryIO:
        """A seekable reader; a plain file, or blocks of 1 MiB that grow when read in order."""
        if (path := self.local_path(uri)) is not None:
            return self._attempt(lambda: path.open("rb"), uri, "read")
        size = identity.size if identity is not None else self.size(uri)
        reader = RemoteReader(lambda start, end: self.read_range(uri, start, end, identity), size)
        return cast(BinaryIO, reader)

    def identity(self, uri: str) -> SourceIdentity:
        """By which the object is known again.

        Raises:
            NotFound, AccessRefused, StorageError: it cannot be read.
        """
        if (path := self.local_path(uri)) is not None:
            found = self._attempt(lambda: _regular_file(path), uri, "read")
            return self._weak_identity(uri, found.st_size, str(found.st_mtime_ns))
        info = self._info(uri)
        size, etag = (
            self.size(uri) if info.get("size") is None else int(info["size"]),
            str(info.get("ETag") or ""),
        )
        if etag:
            return SourceIdentity(hashlib.sha256(f"{etag}|{size}".encode()).hexdigest(), size, False, etag)
        modified = info.get("LastModified") or info.get("created") or info.get("mtime") or ""
        return self._weak_identity(uri, size, str(modified))

    def check_unchanged(self, uri: str, identity: SourceIdentity) -> None:
        """Nothing, if the object is still the one of `identity`.

        Raises:
            SourceError: it is gone or another one.
        """
        try:
            found = self.identity(uri)
        except NotFound as error:
            raise SourceError(
                f"{uri}: was there when it was indexed, now is gone; put it back and run again"
            ) from error
        if found.key != identity.key:
            raise changed(uri)

    def put_bytes(self, data: bytes, uri: str, *, create_only: bool = False) -> None:
        """The object written, whole or not at all.

        Raises:
            AlreadyThere: `create_only` and the URI is taken.
        """
        if (path := self.local_path(uri)) is not None:
            self._attempt(lambda: _write_local(path, lambda out: out.write(data), create_only), uri, "write")
            return
        fs, key = self._writable(uri)
        self._refuse_taken(uri, create_only)
        mode = "create" if create_only else "overwrite"
        self._attempt(lambda: fs.pipe_file(key, data, mode=mode), uri, "write")

    def put_file(self, path: str | os.PathLike[str], uri: str, *, create_only: bool = False) -> None:
        """A local file copied to the URI, whole or not at all.

        Raises:
            AlreadyThere: `create_only` and the URI is taken.
        """
        if (target := self.local_path(uri)) is not None:
            with open(path, "rb") as source:
                self._attempt(lambda: _write_local(target, lambda out: _copy(source, out), create_only), uri, "write")
            return
        fs, key = self._writable(uri)
        self._refuse_taken(uri, create_only)
        mode = {"mode": "create"} if create_only else {}
        self._attempt(lambda: fs.put_file(os.fspath(path), key, **mode), uri, "write")

    def list(self, prefix: str, *, deep: bool = True) -> tuple[str, ...]:
        """URIs of all objects below the folder `prefix` (in it alone where not `deep`), sorted; never cached.

        They are spelled as `prefix` is.
        """
        prefix = prefix.rstrip("/")
        if (path := self.local_path(prefix)) is not None:
            inside = path.rglob("*") if deep else path.glob("*")
            found = (p.relative_to(path).as_posix() for p in inside if p.is_file())
            return tuple(sorted(f"{prefix}/{name}" for name in found if not name.endswith(_PARTIAL)))
        fs, key = self._remote(prefix)
        key = key.rstrip("/")
        with contextlib.suppress(NotFound):
            names = self._attempt(lambda: fs.find(key, maxdepth=None if deep else 1), prefix, "list")
            return tuple(sorted(f"{prefix}{name[len(key) :]}" for name in names if name.startswith(f"{key}/")))
        return ()

    def delete(self, uri: str) -> None:
        """The URI is free afterwards, whether or not something lay there."""
        with contextlib.suppress(NotFound):
            if (path := self.local_path(uri)) is not None:
                self._attempt(lambda: path.unlink(missing_ok=True), uri, "delete")
                return
            fs, key = self._writable(uri)
            self._attempt(lambda: fs.rm_file(key), uri, "delete")

    def delete_empty_folders(self, prefix: str) -> None:
        """Remove the local folder `prefix` as far as it is empty; stores of objects have no folders."""
        if (path := self.local_path(prefix)) is None or not path.is_dir():
            return
        folders = sorted((p for p in path.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts))
        for folder in [*folders, path]:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def unfinished(self, uri: str) -> tuple[Unfinished, ...]:
        """Writes to `uri`, or to what lies below it, begun and never ended; those that still run too.

        Empty where the store does not tell.
        """
        if (path := self.local_path(uri)) is not None:
            return partial_files(uri, path, _PARTIAL)
        fs, key = self._remote(uri)
        return self._attempt(lambda: pending_uploads(fs, uri, key), uri, "list") if scheme_of(uri) == "s3" else ()

    def discard(self, write: Unfinished) -> None:
        """Give back what an unfinished write holds; one that still runs then fails."""
        if (path := self.local_path(write.uri)) is not None:
            self._attempt(lambda: (path.parent / write.token).unlink(missing_ok=True), write.uri, "delete")
            return
        fs, key = self._writable(write.uri)
        with contextlib.suppress(NotFound):
            self._attempt(lambda: abort_upload(fs, key, write.token), write.uri, "delete")

    def honours_create(self, prefix: str) -> bool:
        """Whether a create-only write below `prefix` really refuses a second writer; asked once."""
        if self.local_path(prefix) is not None:
            return True
        known = (prefix.rstrip("/"), tuple(sorted(self.options.items())))
        if known not in _HONOURS_CREATE:
            _HONOURS_CREATE[known] = self._probe_create(known[0])
        return _HONOURS_CREATE[known]

    def _probe_create(self, prefix: str) -> bool:
        uri = f"{prefix}/.create-{uuid.uuid4().hex}"
        fs, key = self._writable(uri)
        self._attempt(lambda: fs.pipe_file(key, b"first", mode="create"), uri, "write")
        try:
            self._attempt(lambda: fs.pipe_file(key, b"second", mode="create"), uri, "write")
        except AlreadyThere:
            return True
        finally:
            self.delete(uri)
        return False

    def _refuse_taken(self, uri: str, create_only: bool) -> None:
        """Some stores ignore the condition of a create: ask first, which closes all but the race."""
        if create_only and self.exists(uri):
            raise AlreadyThere(f"{uri}: already there; nothing was written")

    def _weak_identity(self, uri: str, size: int, modified: str) -> SourceIdentity:
        sha = hashlib.sha256(f"{size}|{modified}".encode())
        sha.update(self.read_range(uri, 0, min(size, _EDGE_BYTES)))
        sha.update(self.read_range(uri, max(0, size - _EDGE_BYTES), size))
        return SourceIdentity(sha.hexdigest(), size, True)

    def _info(self, uri: str) -> Mapping[str, Any]:
        fs, key = self._remote(uri)
        info = cast(Mapping[str, Any], self._attempt(lambda: fs.info(key), uri, "read"))
        if info.get("type") == "directory":
            raise NotFound(f"{uri}: found a folder, expected a file")
        return info

    def _get(self, uri: str, start: int, end: int, identity: SourceIdentity | None) -> bytes:
        fs, key = self._remote(uri)
        etag = identity.etag if identity is not None else ""
        if scheme_of(uri) == "s3":
            return cast(bytes, import_module("fsspec.asyn").sync(fs.loop, _get_s3, fs, key, start, end, etag))
        if scheme_of(uri) in ("http", "https") and etag and not etag.startswith("W/"):
            return cast(bytes, fs.cat_file(key, start=start, end=end, headers={"If-Match": etag}))
        return cast(bytes, fs.cat_file(key, start=start, end=end))

    def _writable(self, uri: str) -> tuple[Any, str]:
        if scheme_of(uri) in ("http", "https"):
            raise StorageError(f"{uri}: http is read only; write to a path, s3:// or another object store")
        return self._remote(uri)

    def _remote(self, uri: str) -> tuple[Any, str]:
        """The file system of a remote URI and its name there."""
        try:
            fs, key = import_module("fsspec.core").url_to_fs(uri, **_driver_options(scheme_of(uri), self.options))
        except (ImportError, ValueError) as error:
            raise StorageError(
                f"{uri}: found scheme {scheme_of(uri)!r}; expected a path, file, s3, http, https or memory ({error})"
            ) from error
        if scheme_of(uri) == "s3":
            fs.retries = 1
        return fs, cast(str, key)

    def _attempt(self, call: Callable[[], Result], uri: str, verb: str) -> Result:
        """What `call` returns; transient failures are tried again with growing, jittered waits."""
        for attempt in range(_ATTEMPTS):
            try:
                return call()
            except (StorageError, SourceError):
                raise
            except Exception as error:
                if attempt == _ATTEMPTS - 1 or not is_transient(error):
                    raise explain(error, uri, verb) from error
                time.sleep(_FIRST_WAIT_SECONDS * 2**attempt * (0.5 + random.random()))
        raise AssertionError("unreachable")


def _driver_options(scheme: str, options: Mapping[str, str]) -> dict[str, Any]:
    if scheme != "s3":
        return {"use_listings_cache": False} if scheme in ("http", "https") else {}
    chosen: dict[str, Any] = {k: options[k] for k in ("endpoint_url", "key", "secret", "token") if k in options}
    if "anon" in options:
        chosen["anon"] = options["anon"].lower() in ("1", "true", "yes")
    if "region" in options:
        chosen["client_kwargs"] = {"region_name": options["region"]}
    # Retries are counted here, not three layers deep.
    config = {"connect_timeout": 10, "read_timeout": 60, "retries": {"total_max_attempts": 1}}
    return {**chosen, "use_listings_cache": False, "config_kwargs": config}


async def _get_s3(fs: Any, key: str, start: int, end: int, etag: str) -> bytes:
    """One GET of a range, refused by the store where the object is no longer `etag`."""
    bucket, name, _ = fs.split_path(key)
    condition = {"IfMatch": etag} if etag else {}
    reply = await fs._call_s3("get_object", Bucket=bucket, Key=name, Range=f"bytes={start}-{end - 1}", **condition)
    try:
        return cast(bytes, await reply["Body"].read())
    finally:
        reply["Body"].close()


def _regular_file(path: Path) -> os.stat_result:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "found a folder, expected a file", str(path))
    return path.stat()


def _read_local(path: Path, start: int, end: int) -> bytes:
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        parts = []
        while start < end and (part := file.read(end - start)):
            parts.append(part)
            start += len(part)
        return b"".join(parts)


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    source.seek(0)
    shutil.copyfileobj(source, target, 4 << 20)


def _write_local(path: Path, write: Callable[[IO[bytes]], object], create_only: bool) -> None:
    """Written beside the target, flushed to disk, then given its name in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.parent / f".{path.name[:100]}.{uuid.uuid4().hex}{_PARTIAL}"
    try:
        with scratch.open("xb") as out:
            write(out)
            out.flush()
            os.fsync(out.fileno())
        if create_only:
            os.link(scratch, path)
        else:
            scratch.replace(path)
        _flush_folder(path.parent)
    finally:
        scratch.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
