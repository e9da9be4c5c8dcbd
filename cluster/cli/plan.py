"""`reelyard plan`: a dry run that tells what `render` would do."""

from typing import TYPE_CHECKING

import typer

from cluster.cli.console import print_json, seconds, told_errors
from cluster.cli.options import RenderOptions, takes_render_options

if TYPE_CHECKING:
    from pipeline.job import RenderJob
    from pipeline.prepare import RenderPlan


def register(app: typer.Typer) -> None:
    help = "Tell what render would do: segments, encoder, what is kept or lost, estimated time. Writes nothing."
    left_out = ("report", "keep_parts", "overwrite", "address", "in_process")
    app.command("plan", help=help)(takes_render_options(plan, *left_out))


def plan(options: RenderOptions) -> None:
    with told_errors(options.verbose):
        from cluster.cli.request import check_device, job_of

        device = check_device(options.device)
        document = plan_document(plan_of(job_of(options)), device)
        if options.json:
            print_json(document)
            return
        for name, value in document.items():
            for line in value if isinstance(value, list) else [value]:
                typer.echo(f"{name:<16}{line}")


def plan_of(job: "RenderJob") -> "RenderPlan":
    """The plan, made in this process; nothing is cached and nothing rendered."""
    from pipeline.prepare import check_request, prepare
    from pipeline.storage import Storage

    storage = Storage(dict(job.storage_options))
    check_request(storage, job)
    return prepare(storage, job, cached=False)


def plan_document(plan: "RenderPlan", device: str) -> dict[str, object]:
    """The plan in plain types."""
    from cluster.costs import estimate_seconds
    from pipeline.facts import plan_facts, source_facts

    facts = plan_facts(plan)
    source = source_facts(plan)
    cores = _cores()
    estimate = estimate_seconds(
        len(plan.timeline),
        plan.format.width * plan.format.height,
        plan.encode,
        [spec.name for spec in plan.specs],
        cores,
    )
    return {
        "source": f"{plan.job.source}: {source['codec']} {source['width']}x{source['height']} "
        f"{source['pixel_format']}, {source['frames']} frames",
        "mode": f"{facts['mode']} {facts['reason']}".strip(),
        "timeline": f"{facts['timeline']}: {facts['frames']} frames, {seconds(float(plan.timeline.duration_seconds))}",
        "tasks": [f"{spec.name} {dict(spec.options)}" for spec in plan.specs] or "none: pictures unchanged",
        "encoder": f"{plan.encode.encoder} {plan.encode.pixel_format} {dict(plan.encode.options)}",
        "segments": [f"{s.number}: frames {s.start}-{s.end}" for s in plan.segments],
        "kept_or_lost": list(plan.notes) or "everything is kept",
        "parts_under": plan.prefix,
        "job": plan.key,
        "device": device,
        "estimate": f"about {seconds(estimate)} on {cores} cores without a GPU",
    }


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
