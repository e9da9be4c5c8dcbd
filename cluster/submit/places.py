"""What a command names, seen from the cluster: paths of this machine, secrets, hosts that mean something else there.

Pure: looks at words only.  Everything a job is started with stands readable in `ray job list`
and on the dashboard, for everyone who reaches it.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from tasks.errors import JobError

#: Storage options that may be seen.
_OPEN_OPTIONS = ("endpoint_url", "region", "anon")
_REMEDIES = {
    "input": "which the cluster cannot read; put it on s3:// or another object store, or let it be uploaded: "
    "reelyard submit --stage s3://BUCKET/PREFIX …",
    "output": "where the cluster cannot write; expected s3:// or another object store",
    "list": "which the cluster cannot read; put the files on s3:// or another object store",
}
_LOOPBACK = re.compile(r"^(localhost|127\.\d+\.\d+\.\d+|::1|0\.0\.0\.0)$")
#: Names of query fields by which signed links carry their right.
_SIGNED = re.compile(r"signature|token|secret|password|credential|^sig$|api[-_]?key|access[-_]?key", re.IGNORECASE)


@dataclass(frozen=True)
class Reads:
    """Which fields of a command name what it reads, what it writes, and a list that travels with it."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    lists: tuple[str, ...] = ()
    "Small files that name what is read; they travel with the job."

    def use(self, name: str) -> str:
        """input | output | list"""
        return "input" if name in self.inputs else "output" if name in self.outputs else "list"


def refuse_secrets(values: Mapping[str, object]) -> None:
    """Nothing among the values may be a secret.

    Raises:
        JobError: a storage option, or a URI that carries a password or a signature.
    """
    for text in _listed(values.get("storage_option")):
        name = text.partition("=")[0]
        if name not in _OPEN_OPTIONS:
            raise JobError(
                f"--storage-option {name}=…: everyone who sees the cluster's jobs could read it; leave it out and give "
                "the cluster the right itself: a service account, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in "
                "the environment of its machines"
            )
    for value in values.values():
        for text in _listed(value):
            for word in (text, text.partition("=")[2]):
                _refuse_signed(word)


def _refuse_signed(text: str) -> None:
    if "://" not in text:
        return
    parts = urlsplit(text)
    shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
    if parts.password or (parts.username and parts.scheme in ("http", "https")):
        found = "a user name and password"
    elif any(_SIGNED.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        found = "a signature or token"
    else:
        return
    raise JobError(
        f"{shown}: holds {found}, which everyone who sees the cluster's jobs could read; "
        "copy the file to object storage that the cluster may read, and name it by s3://, gs:// or az://"
    )


def seen_from_cluster(
    values: Mapping[str, object],
    reads: Reads,
    travelling: Collection[str] = (),
    *,
    one_machine: bool,
    stage: Callable[[str], str] | None,
) -> dict[str, object]:
    """The values with every local path made to mean the same to the job.

    `stage` puts an input where the cluster can read it and gives its URI; without it paths become
    absolute on a cluster of this machine alone, and are refused on any other.  The fields in
    `travelling` name files that go with the job there.

    Raises:
        JobError: a path or host would mean something else, or nothing, on the cluster.
    """
    from cluster.submit.named import with_named  # brings numpy, which no help text needs

    found = dict(values)
    for name in (*reads.inputs, *reads.outputs, *reads.lists):
        value = values.get(name)
        if isinstance(value, str) and value and (one_machine or name not in travelling):
            found[name] = _placed(name, value, reads.use(name), one_machine, stage)
    found |= with_named(values, lambda uri: _placed("input", uri, "input", one_machine, stage), one_machine=one_machine)
    if not one_machine:
        for text in _listed(values.get("storage_option")):
            _refuse_loopback(text.partition("=")[2])
    return found


def _placed(name: str, uri: str, use: str, one_machine: bool, stage: Callable[[str], str] | None) -> str:
    if uri.startswith("memory://"):
        raise JobError(f"{uri}: lies in the memory of one process; expected s3:// or another object store")
    path = local_path(uri)
    if path is None:
        if not one_machine:
            _refuse_loopback(uri)
        return uri
    if use == "input" and stage is not None:
        return stage(path)
    if one_machine:
        return os.path.join(os.path.abspath(path), "") if path.endswith("/") else os.path.abspath(path)
    raise JobError(f"{name} {uri}: a path of this machine, {_REMEDIES[use]}")


def local_path(uri: str) -> str | None:
    """The path of a plain path or a file:// URI, None for any other URI."""
    if uri.startswith("file://"):
        return unquote(uri.removeprefix("file://"))
    return None if "://" in uri else uri


def _refuse_loopback(uri: str) -> None:
    host = urlsplit(uri).hostname if "://" in uri else None
    if host and uri.startswith("http") and _LOOPBACK.match(host):
        raise JobError(f"{uri}: means another machine on the cluster; expected a host that the cluster reaches")


def _listed(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [text for text in value if isinstance(text, str)] if isinstance(value, list | tuple) else []
