"""`reelyard models`: files of weights that are known by name: listed, fetched, verified, found."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.cli.console import FAILED, print_json, say, told_errors
from tasks.errors import JobError, ReelyardError

if TYPE_CHECKING:
    from pipeline.model import Model
    from pipeline.models import ModelStore, Told

Names = Annotated[list[str], typer.Argument(metavar="NAME…", help="As `models list` shows them.")]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", metavar="DIR", help="Where files lie here; ~/.cache/reelyard/models by itself."),
]
Mirror = Annotated[
    str, typer.Option("--models", metavar="URI", help="A prefix asked before public addresses, as s3://bucket/models.")
]
Added = Annotated[list[Path] | None, typer.Option("--catalogue", metavar="FILE.toml", help="Your own models, added.")]
Options = Annotated[list[str] | None, typer.Option("--storage-option", metavar="KEY=VALUE")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Tracebacks and every decision.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Files of weights: list, fetch, verify, find them.", no_args_is_help=True)
    group.command("list", help="Tell the models known, their size and licence, and which lie here.")(list_models)
    group.command("fetch", help="Download models into the cache; a stopped download is continued.")(fetch)
    group.command("verify", help="Hash the files in the cache; all of them where no name is given.")(verify)
    group.command("path", help="Tell where a model lies, or is to be put by hand.")(path)
    app.add_typer(group, name="models")


def list_models(cache: Cache = None, catalogue: Added = None, json: Json = False, verbose: Verbose = False) -> None:
    with told_errors(verbose):
        known, store = _known(catalogue), _store(cache)
        if json:
            print_json([_facts(model, store) for model in known.values()])
            return
        width = 2 + max(len(name) for name in known)
        for model in known.values():
            size = f"{model.size_bytes / 1e6:.1f} MB" if model.size_bytes else "size unknown"
            here = "here" if store.has(model) else "-"
            forbids = f"; forbids {', '.join(model.forbids)}" if model.forbids else ""
            typer.echo(f"{model.name:<{width}}{model.task:<18}{size:>13}  {here:<5} {model.licence}{forbids}")
            typer.echo(f"{'':<{width}}{_use(model)}")
        say("Lip sync and upscale run with what they ship; these are taken where `--task` names them.")


def _use(model: "Model") -> str:
    """What to write to have it used."""
    from tasks.table import options_for

    return ", ".join(f"{option}={model.name}" for option in options_for(model.architecture)) or "no task uses it yet"


def fetch(
    names: Names,
    cache: Cache = None,
    models: Mirror = "",
    fill: Annotated[
        bool, typer.Option("--fill", help="Put them into --models as well, for nodes without network.")
    ] = False,
    catalogue: Added = None,
    storage_option: Options = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    with told_errors(verbose, resume="the same command goes on where this one stood"):
        if fill and not models:
            raise JobError("--fill: found no --models URI to fill; give one, as --models s3://bucket/models")
        store = _store(cache, models, storage_option)
        wanted = _wanted(catalogue, names)
        for model in wanted:
            with _shown(model.name, quiet=json) as told:
                store.fetch(model, told)
            if fill:
                say(f"{model.name}: in the mirror at {store.fill_mirror(model)}")
            if not json:
                typer.echo(store.path(model))
        if json:
            print_json([_facts(model, store) for model in wanted])


def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME…]", help="All that lie here by itself.")] = None,
    cache: Cache = None,
    catalogue: Added = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    with told_errors(verbose):
        known, store = _known(catalogue), _store(cache)
        asked = _wanted(catalogue, names) if names else [model for model in known.values() if store.has(model)]
        faults = {model.name: _fault(store, model) for model in asked}
        if json:
            print_json([{"name": name, "verified": not fault, "fault": fault} for name, fault in faults.items()])
        else:
            for name, fault in faults.items():
                typer.echo(fault or f"{name}: verified")
            if not faults:
                say(f"found no model under {store.folder}; nothing was verified")
        if any(faults.values()):
            raise SystemExit(FAILED)


def path(
    name: Annotated[str, typer.Argument(help="As `models list` shows it.")],
    cache: Cache = None,
    catalogue: Added = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    with told_errors(verbose):
        store, (model,) = _store(cache), _wanted(catalogue, [name])
        if json:
            print_json(_facts(model, store))
            return
        typer.echo(store.path(model))
        if not store.has(model):
            say(f"nothing lies there yet: `reelyard models fetch {name}`, or put {model.file} there by hand")


def _known(catalogue: list[Path] | None) -> "Mapping[str, Model]":
    from pipeline.model_file import catalogue as joined
    from pipeline.model_file import read_models
    from pipeline.model_table import MODELS

    return joined(MODELS, [model for file in catalogue or [] for model in read_models(file)])


def _wanted(catalogue: list[Path] | None, names: list[str]) -> "list[Model]":
    from pipeline.model_file import named

    known = _known(catalogue)
    return [named(known, name) for name in names]


def _store(cache: Path | None, mirror: str = "", storage_option: list[str] | None = None) -> "ModelStore":
    from cluster.cli.request import storage_options
    from pipeline.models import ModelStore, usual_folder
    from pipeline.storage import Storage

    return ModelStore(cache or usual_folder(), mirror, Storage(dict(storage_options(storage_option or []))))


def _fault(store: "ModelStore", model: "Model") -> str:
    try:
        store.verify(model)
    except ReelyardError as error:
        return error.message
    return ""


def _facts(model: "Model", store: "ModelStore") -> dict[str, object]:
    """The model in plain types, and where it lies."""
    from dataclasses import asdict

    return {**asdict(model), "path": str(store.path(model)), "here": store.has(model)}


@contextmanager
def _shown(name: str, *, quiet: bool) -> "Iterator[Told]":
    """How far a download is: a bar on a terminal, a line for each tenth elsewhere."""
    if quiet:
        yield lambda done, size: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

        columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            row = progress.add_task(name, total=None)
            yield lambda done, size: progress.update(row, completed=done, total=size)
    else:
        tenths: set[int] = set()

        def told(done: int, size: int) -> None:
            tenth = 10 * done // size
            if tenth not in tenths:
                tenths.add(tenth)
                say(f"{name}: {done / 1e6:.1f} of {size / 1e6:.1f} MB")

        yield told
