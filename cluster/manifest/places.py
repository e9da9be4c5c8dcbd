"""Where things named in a manifest lie: relative paths, patterns of names, stems; pure."""

import os
import posixpath
import re
from collections.abc import Iterable

from pipeline.storage import scheme_of
from tasks.errors import JobError

_USER = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/@]*@")
_MAGIC = re.compile(r"[*?\[]")

#: Endings that a folder's files are chosen by; a pattern takes every file that it fits.
_VIDEOS = "mp4 m4v mov mkv webm avi mxf ts m2ts mts mpg mpeg flv ogv wmv 3gp"
_STILLS = "gif jpg jpeg png webp bmp tif tiff avif heic jxl"
_SOUNDS = "wav mp3 flac m4a aac ogg opus aif aiff ac3 eac3 w64 caf amr wma"
PICTURES = frozenset([*_VIDEOS.split(), *_STILLS.split()])
SOUNDS = frozenset(_SOUNDS.split())


def is_remote(uri: str) -> bool:
    return scheme_of(uri) != "file"


def folder_of(uri: str) -> str:
    """The folder that relative paths in a manifest at `uri` start from, with its final slash."""
    return f"{uri.rpartition('/')[0]}/" if is_remote(uri) else f"{os.path.dirname(os.path.abspath(_path(uri)))}/"


def placed(uri: str, folder: str) -> str:
    """`uri` as seen from `folder`; local ones absolute, a final slash kept.

    Raises:
        JobError: a user name or password stands in it.
    """
    if found := _USER.match(uri):
        hidden = f"{found.group(1)}…@{uri[found.end() :]}"
        raise JobError(
            f"{hidden}: found a user or password in the URI; leave it out and give --storage-option on the "
            "command line, or AWS_… in the environment"
        )
    if "://" in uri:
        return uri
    slash = "/" if uri.endswith("/") else ""
    uri = os.path.expanduser(uri)
    if is_remote(folder) and not uri.startswith("/"):
        scheme, _, rest = folder.partition("://")
        return f"{scheme}://{posixpath.normpath(posixpath.join(rest, uri))}{slash}"
    return f"{os.path.normpath(os.path.join(os.path.abspath(_path(folder)), uri))}{slash}"


def _path(uri: str) -> str:
    return uri.partition("://")[2] if "://" in uri else uri


def is_pattern(uri: str) -> bool:
    """Whether it names many files: a folder with its slash, or a name with *, ? or [ ]."""
    return uri.endswith("/") or (bool(_MAGIC.search(uri)) and not uri.startswith(("http://", "https://")))


def folder_of_pattern(pattern: str) -> tuple[str, bool]:
    """(folder to list, whether the folders below it matter too).

    Raises:
        JobError: its bucket is a pattern, or it cannot be listed.
    """
    if pattern.startswith(("http://", "https://")):
        raise JobError(f"{pattern}: a web server cannot be listed; name the files one by one")
    if pattern.endswith("/"):
        if _MAGIC.search(pattern):
            raise JobError(f"{pattern}: a pattern names files, not folders; write {pattern}** for all below them")
        return pattern, True
    fixed = pattern[: _MAGIC.search(pattern).start()].rpartition("/")[0]  # type: ignore[union-attr]
    rest = pattern[len(fixed) + 1 :]
    if is_remote(pattern) and not fixed.partition("://")[2]:
        raise JobError(f"{pattern}: found a pattern as the bucket, expected its name, as s3://bucket/*.mp4")
    return f"{fixed}/", "/" in rest or "**" in rest


def fitting(pattern: str, uris: Iterable[str], endings: frozenset[str]) -> tuple[str, ...]:
    """Those of the URIs that the pattern names; `endings` choose where it is a folder.  Hidden files never."""
    folder = folder_of_pattern(pattern)[0]
    inside = (uri for uri in uris if uri.startswith(folder))
    seen = (uri for uri in inside if not _hidden(uri[len(folder) :], pattern[len(folder) :]))
    if pattern.endswith("/"):
        return tuple(uri for uri in seen if ending_of(uri) in endings)
    fits = _expression(pattern[len(folder) :])
    return tuple(uri for uri in seen if fits.fullmatch(uri[len(folder) :]))


def _hidden(name: str, pattern: str) -> bool:
    """Dot files, and what runs leave beside outputs; unless the pattern says so itself."""
    ours = any(part.endswith(".work") for part in name.split("/")[:-1])
    dotted = any(part.startswith(".") for part in name.split("/"))
    return (dotted and not pattern.startswith(".") and "/." not in pattern) or ours


def _expression(pattern: str) -> re.Pattern[str]:
    """`*` and `?` within a folder, `**` across folders, `[abc]` and `[!abc]`."""
    tokens = re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", pattern, re.DOTALL)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(token) or _class(token) for token in tokens), re.DOTALL)


def _class(token: str) -> str:
    if len(token) < 3:
        return re.escape(token)
    negated, inside = token[1] == "!", token[1:-1].removeprefix("!")
    inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", inside)
    found = f"(?!/)[{'^' if negated else ''}{inside}]"
    try:
        re.compile(found)
    except re.error:  # A range that runs backwards, as [z-a]: nothing lies in it.
        return "[^/]" if negated else "(?!)"
    return found


def name_of(uri: str) -> str:
    """The last part, without the query of a web address."""
    plain = uri.partition("?")[0] if uri.startswith(("http://", "https://")) else uri
    return plain.rstrip("/").rpartition("/")[2]


def stem_of(uri: str) -> str:
    stem, dot, ending = name_of(uri).rpartition(".")
    return stem if stem and dot else ending


def ending_of(uri: str) -> str:
    """In lower case, without its dot; empty where there is none."""
    return name_of(uri).rpartition(".")[2].lower() if "." in name_of(uri).lstrip(".") else ""


def parent_of(uri: str) -> str:
    """The name of the folder it lies in; empty at the root of a bucket."""
    inside = uri.partition("://")[2].partition("/")[2] if is_remote(uri) else _path(uri)
    return posixpath.basename(posixpath.dirname(inside.partition("?")[0]))
