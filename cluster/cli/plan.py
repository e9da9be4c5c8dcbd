"""`reelyard plan`: what `render` would do with a source, or how a batch would go on a cluster."""

from typing import TYPE_CHECKING

import typer

from cluster.cli.console import print_json, seconds, told_errors
from cluster.cli.options import PlanOptions, takes_options

if TYPE_CHECKING:
    from pipeline.job import RenderJob
    from pipeline.prepare import RenderPlan


_HELP = """Tell what render would do: segments, encoder, what is kept or lost, estimated time. Writes nothing.

With --gpus N the source may be a manifest: every source is looked at, and the run on N GPUs is simulated by
the scheduler that would do it: finish time, idle GPUs and why, GPU-hours, cost."""


def register(app: typer.Typer) -> None:
    left_out = ("report", "keep_parts", "overwrite", "address", "in_process", "gpus_per_cell")
    app.command("plan", help=_HELP)(takes_options(PlanOptions, plan, *left_out))


def plan(options: PlanOptions) -> None:
    with told_errors(options.verbose):
        from cluster.cli.plan_cluster import machines_of, plan_on_cluster
        from cluster.cli.request import check_device, job_of

        device = check_device(options.device)
        if machines_of(options).gpus:
            raise SystemExit(plan_on_cluster(options))
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
        "size": f"{plan.format.width}x{plan.format.height}",
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
