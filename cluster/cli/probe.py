"""`reelyard probe`: what a source is, as Reelyard reads it."""

from typing import TYPE_CHECKING, Annotated

import typer

from cluster.cli.console import print_json, told_errors

if TYPE_CHECKING:
    from pipeline.index import SourceIndex


def register(app: typer.Typer) -> None:
    app.command("probe", help="Tell what a source is: streams, frames, colour, where it can be split.")(probe)


def probe(
    source: Annotated[str, typer.Argument(help="Photo or video: a path, s3:// or http(s):// URI.")],
    storage_option: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Tracebacks.")] = False,
) -> None:
    with told_errors(verbose):
        import av.logging

        from cluster.cli.request import storage_options
        from pipeline.probe import probe as probe_source
        from pipeline.storage import Storage

        av.logging.set_level(None)
        index = probe_source(Storage(dict(storage_options(storage_option or []))), source, cache_prefix=None)
        facts = index_facts(index)
        if json:
            print_json(facts)
        else:
            for name, value in facts.items():
                for line in value if isinstance(value, list) else [value]:
                    typer.echo(f"{name:<16}{line}")


def index_facts(index: "SourceIndex") -> dict[str, object]:
    """The index in plain types."""
    format, stream = index.format, index.stream
    length = float((index.end_pts - int(index.frame_pts[0])) * stream.time_base)
    rate = f"{index.average_rate} ({float(index.average_rate):.3f})" if index.average_rate else "unknown"
    colour = format.colour
    guessed = " (guessed: the source says nothing)" if colour.guessed else ""
    return {
        "source": index.uri,
        "container": index.container,
        "bytes": index.identity.size,
        "identity": index.identity.key + (" (weak)" if index.identity.weak else ""),
        "picture": f"{stream.codec} {format.width}x{format.height} {index.decoded_pixel_format}",
        "moves_as": f"{format.layout.name}, {format.layout.depth} bit"
        + (f"; {index.conversion}" if index.conversion else ""),
        "frames": index.frames,
        "seconds": round(length, 6),
        "frame_rate": rate + (", variable" if index.variable_rate else ""),
        "time_base": str(stream.time_base),
        "shape": f"sample aspect ratio {format.sample_aspect_ratio}, {format.field_order}, {_turn(index)}",
        "colour": f"matrix {colour.matrix}, primaries {colour.primaries}, transfer {colour.transfer}, "
        f"{'full' if colour.full_range else 'limited'} range{guessed}",
        "mode": index.mode + (f": {index.reason}" if index.reason else ""),
        "split_points": len(index.split_points),
        "stream": [
            " ".join(filter(None, (f"#{s.number}", s.kind, s.codec, s.language, s.title))) for s in index.streams
        ],
        "chapters": len(index.chapters),
        "not_kept": list(index.dropped),
    }


def _turn(index: "SourceIndex") -> str:
    turned = index.format.orientation
    if turned is None:
        return "turned by an odd angle"
    if turned.transpose or turned.mirror_x or turned.mirror_y:
        return "turned or mirrored by its display matrix"
    return "upright"
