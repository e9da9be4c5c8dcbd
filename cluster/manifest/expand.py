"""One written job as the jobs it stands for: its patterns unfolded, videos crossed with voices; pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cluster.manifest.formats import MOST_ITEMS
from cluster.manifest.places import PICTURES, SOUNDS, is_pattern, parent_of, stem_of
from tasks.errors import JobError

Match = Callable[[str, frozenset[str]], tuple[str, ...]]


@dataclass(frozen=True)
class Single:
    """One job with one source and at most one voice."""

    line: int
    fields: Mapping[str, object]
    several_voices: bool = False
    "Whether its source may be spoken by others too, so that its name needs the voice's."


def expand(line: int, fields: Mapping[str, object], crossed: bool, match: Match) -> list[Single]:
    """The jobs that checked fields stand for; `match` gives the files that a pattern names.

    Several sources with several voices are paired by name where the voice is written with {stem}, and
    crossed where that was asked for.

    Raises:
        JobError: no source, a pattern without a file, or many with many and no word how.
    """
    if "source" not in fields:
        raise JobError("source: found none, expected a path, a URI or a pattern of them")
    product = bool(fields.get("product", crossed))
    sources = _named("source", str(fields["source"]), PICTURES, match)
    written = str(fields["audio"]) if "audio" in fields else None
    by_name = written is not None and ("{stem}" in written or "{parent}" in written)
    voices = [] if written is None or by_name else _named("audio", written, SOUNDS | PICTURES, match)
    if len(sources) > 1 and len(voices) > 1 and not product:
        raise JobError(
            f"{len(sources)} sources and {len(voices)} voices: write product: true for each with each, or "
            "audio: voices/{stem}.wav for the voice of the same name"
        )
    if len(sources) * max(1, len(voices)) > MOST_ITEMS:
        raise JobError(f"{len(sources)} sources with {len(voices)} voices: more than {MOST_ITEMS} items; split it")
    several = crossed or (written is not None and not by_name and is_pattern(written))
    singles = []
    for source in sources:
        spoken = [_by_name(str(written), source)] if by_name else voices
        chosen: list[Mapping[str, object]] = [{"audio": voice} for voice in spoken] or [{}]
        singles += [Single(line, {**fields, "source": source, **voice}, several) for voice in chosen]
    return singles


def _named(what: str, uri: str, endings: frozenset[str], match: Match) -> tuple[str, ...]:
    """Every file that a URI names, itself where it is no pattern."""
    if not is_pattern(uri):
        return (uri,)
    if found := match(uri, endings):
        return found
    if uri.endswith("/"):
        raise JobError(f"{what} {uri}: found no media below it; check the spelling, or write a pattern as {uri}*.ext")
    raise JobError(f"{what} {uri}: no file fits this pattern; check the spelling, and ** for folders below")


def _by_name(written: str, source: str) -> str:
    return written.replace("{stem}", stem_of(source)).replace("{parent}", parent_of(source))
