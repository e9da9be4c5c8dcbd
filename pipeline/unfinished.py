"""Writes that were begun and never ended, as each kind of storage keeps them; nobody sees them by name.

A crash in the middle of a write leaves a hidden file beside the target, or in S3 a multipart upload
whose bytes are paid for until it is aborted.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Unfinished:
    """A write to `uri` that has not ended."""

    uri: str
    token: str
    "The upload's id, or the hidden file's name."


def partial_files(uri: str, path: Path, ending: str) -> tuple[Unfinished, ...]:
    """Hidden files `.name.id` + `ending` beside the file at `path`, or below it where it is a folder."""
    beside = path.parent.glob(f".*{ending}") if path.parent.is_dir() else ()
    found = [(uri, p) for p in beside if _target(p, ending) == path.name]
    for p in path.rglob(f".*{ending}") if path.is_dir() else ():
        folder = p.parent.relative_to(path).as_posix()
        below = "" if folder == "." else f"{folder}/"
        found.append((f"{uri.rstrip('/')}/{below}{_target(p, ending)}", p))
    return tuple(Unfinished(target, p.name) for target, p in sorted(found))


def _target(partial: Path, ending: str) -> str:
    return partial.name[1 : -len(ending)].rpartition(".")[0]


def pending_uploads(fs: Any, uri: str, key: str) -> tuple[Unfinished, ...]:
    """Multipart uploads to `key` or below it; `fs` is s3fs, `uri` how the caller spells the key."""
    bucket, name, _ = fs.split_path(key)
    found: list[tuple[str, str]] = []
    after: dict[str, str] = {}
    while True:
        page = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=name, **after)
        found += [(u["Key"], u["UploadId"]) for u in page.get("Uploads", [])]
        if not page.get("IsTruncated"):
            break
        after = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    below = f"{name.rstrip('/')}/"
    ours = [(k, upload) for k, upload in found if k == name or k.startswith(below)]
    return tuple(Unfinished(f"{uri.rstrip('/')}{k[len(name.rstrip('/')) :]}", upload) for k, upload in ours)


def abort_upload(fs: Any, key: str, token: str) -> None:
    """The upload is gone with its bytes."""
    bucket, name, _ = fs.split_path(key)
    fs.abort_mpu(bucket, name, token)
