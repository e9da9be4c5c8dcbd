"""`reelyard plan --gpus N MANIFEST`: every source looked at, the run on those GPUs simulated."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from cluster.cli.console import BAD_REQUEST, PARTIAL, RENDERED, print_json, say, seconds
from cluster.cli.options import PlanOptions
from tasks.errors import JobError

if TYPE_CHECKING:
    from cluster.forecast import Machines, Totals, VideoForecast
    from cluster.manifest.values import Item
    from cluster.simulation.plan import Measured
    from cluster.simulation.values import Outcome
    from pipeline.storage import Storage


def plan_on_cluster(options: PlanOptions) -> int:
    """The exit code: 3 where some of the videos would be refused, 2 where all would.

    Raises:
        JobError: the manifest, or an option, is wrong.
    """
    from cluster.cli.request import storage_options, typed_fields
    from cluster.forecast import totals_of
    from cluster.look_ahead import look_ahead
    from cluster.manifest.read import read_manifest
    from cluster.simulation.plan import predicted
    from pipeline.storage import Storage

    given = storage_options(options.storage_option or ())
    storage, machines = Storage(dict(given)), machines_of(options)
    if options.job or not options.source:
        raise JobError("plan --gpus: found no manifest; name one, a pattern, a folder/ or one source (not --job)")
    measured = _measured(storage, options.like, machines) if options.like else None
    manifest = read_manifest(
        storage, options.source, prefix=options.output, typed=typed_fields(options), storage_options=given
    )
    say(f"looking at {len(manifest.items)} sources")
    videos = look_ahead(storage, manifest.items)
    totals = totals_of(videos, machines)
    outcome = predicted(_wanted(manifest.items, videos), machines, measured)
    document = document_of(videos, totals, outcome, machines, options.like)
    if options.json:
        print_json(document)
    else:
        for line in lines_of(document):
            typer.echo(line)
    refused = sum(video.status == "refused" for video in videos)
    return RENDERED if not refused else PARTIAL if refused < len(videos) else BAD_REQUEST


def machines_of(options: PlanOptions) -> "Machines":
    """The GPUs that are planned for.

    Raises:
        JobError: their kind or price is told, but not how many they are.
    """
    from cluster.forecast import Machines
    from cluster.scheduling.costs import speed_of

    asked = {"--gpu-kind": options.gpu_kind, "--price-per-gpu-hour": options.price_per_gpu_hour, "--like": options.like}
    for name, value in asked.items():
        if value is not None and options.gpus is None:
            raise JobError(f"{name} {value}: of how many GPUs? Add --gpus N")
    kind = options.gpu_kind or ""
    return Machines(options.gpus or 0, 1, kind, 2 * speed_of(kind), options.price_per_gpu_hour)


def _measured(storage: "Storage", uri: str, machines: "Machines") -> "Measured":
    from cluster.simulation.plan import measured_of

    try:
        report = json.loads(storage.read(uri))
    except ValueError as error:
        raise JobError(f"--like {uri}: found no JSON; expected the report.json of a batch") from error
    return measured_of(report if isinstance(report, dict) else {}, machines.kind)


def _wanted(items: "Sequence[Item]", videos: "Sequence[VideoForecast]") -> list[Any]:
    from cluster.batch.journeys import recipe_of
    from cluster.simulation.plan import Wanted
    from tasks.table import open_task

    scanning = {spec.name: open_task(spec).needs.scan for item in items for spec in item.job.tasks}
    return [
        Wanted(
            forecast=video,
            scans=any(scanning[spec.name] for spec in item.job.tasks),
            recipe=recipe_of(item),
            job=item.group,
            priority=item.priority,
            weight=item.weight,
        )
        for item, video in zip(items, videos, strict=True)
    ]


def document_of(
    videos: "Sequence[VideoForecast]", totals: "Totals", outcome: "Outcome", machines: "Machines", like: str | None
) -> dict[str, Any]:
    """The prediction, in plain types."""
    price = machines.price_per_gpu_hour
    share = {why: spent / max(outcome.cell_seconds, 1e-9) for why, spent in outcome.idle_seconds.items()}
    return {
        "machines": {"gpus": machines.gpus, "kind": machines.kind, "price_per_gpu_hour": price},
        "counts": dict(totals.counts),
        "frames": totals.frames,
        "segments": totals.segments,
        "makespan_seconds": round(outcome.makespan_seconds, 1),
        "half_done_seconds": round(_half(outcome.done_at), 1),
        "efficiency": round(outcome.efficiency, 3),
        "idle_shares": {why: round(value, 4) for why, value in sorted(share.items(), key=lambda s: -s[1])},
        "gpu_hours": round(outcome.gpu_hours, 3),
        "cost": None if price is None else round(outcome.gpu_hours * price, 2),
        "costs_from": f"measured: {like}" if like else "priors: processor time measured elsewhere, GPU speeds guessed",
        "refused": [{"name": v.name, "line": v.line, "reason": v.reason} for v in videos if v.status == "refused"],
    }


def _half(done_at: Mapping[str, float]) -> float:
    moments = sorted(done_at.values())
    return moments[(len(moments) - 1) // 2] if moments else 0.0


def lines_of(document: Mapping[str, Any]) -> list[str]:
    """The prediction for a person."""
    machines, counts = document["machines"], document["counts"]
    kind = f"{machines['gpus']} × {machines['kind'] or 'GPU'}"
    idle = ", ".join(f"{100 * share:.1f} % {why}" for why, share in document["idle_shares"].items() if share >= 0.001)
    price = (
        "" if document["cost"] is None else f", {document['cost']:.2f} at {machines['price_per_gpu_hour']:g} an hour"
    )
    return [
        *(f"refused: {video['name']}: {video['reason']}" for video in document["refused"]),
        f"videos      {', '.join(f'{count} {status}' for status, count in counts.items())}",
        f"to render   {document['frames']} frames in {document['segments']} segments",
        f"finish      about {seconds(document['makespan_seconds'])} on {kind}, once they are up; "
        f"half of the videos after {seconds(document['half_done_seconds'])}",
        f"efficiency  {document['efficiency']:.2f}; GPUs idle: {idle or 'never'}",
        f"cost        about {document['gpu_hours']:.2f} GPU-hours{price}",
        f"costs from  {document['costs_from']}",
    ]
