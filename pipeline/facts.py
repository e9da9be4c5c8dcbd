"""A run in plain values: what the report, the ledger and the `plan` command tell of it."""

from pipeline.part import Part
from pipeline.pool import Pool
from pipeline.prepare import RenderPlan
from pipeline.run_report import Clock, RunReport
from tasks.task import TaskPlan, TaskSpec


def plan_facts(plan: RenderPlan) -> dict[str, object]:
    """The plan in plain types, for the ledger and the `plan` command."""
    index, timeline = plan.index, plan.timeline
    return {
        "job": plan.key,
        "source": index.uri,
        "output": plan.job.output,
        "identity": index.identity.key,
        "identity_weak": index.identity.weak,
        "mode": index.mode,
        "reason": index.reason,
        "timeline": timeline.kind,
        "frames": len(timeline),
        "duration_seconds": float(timeline.duration_seconds),
        "segments": [[segment.start, segment.end] for segment in plan.segments],
        "width": plan.format.width,
        "height": plan.format.height,
        "encoder": plan.encode.encoder,
        "pixel_format": plan.encode.pixel_format,
        "options": dict(plan.encode.options),
        "notes": list(plan.notes),
    }


def report_of(
    plan: RenderPlan,
    parts: list[Part],
    task_plans: list[TaskPlan],
    pool: Pool,
    clock: Clock,
    status: str,
    resumed: int = 0,
    lines: tuple[str, ...] = (),
) -> RunReport:
    """What the run says of itself."""
    frames = len(plan.timeline)
    counts = {"frames": frames, "segments": len(plan.segments), "segments resumed": resumed}
    for part in parts:
        for name, number in part.counts.items():
            counts[name] = counts.get(name, 0) + number
    told = [note for done in task_plans for note in done.notes]
    rendering = sum(s.end_seconds - s.start_seconds for s in clock.spans if s.name == "render")
    return RunReport(
        job_key=plan.key, source=plan.job.source, output=plan.job.output, status=status,
        source_facts=source_facts(plan), timeline=plan_facts(plan), encode=encode_facts(plan),
        tasks=tuple(
            {"name": spec.name, "options": dict(spec.options), **_speakers(plan, spec), **dict(done.facts),
             "kept": done.kept_by_reason(0, frames)}
            for spec, done in zip(plan.specs, task_plans, strict=False)
        ),
        decisions=pool.decisions, notes=tuple(dict.fromkeys((*plan.notes, *told, *lines))), counts=counts,
        parts=tuple(parts),
        stages=tuple(clock.spans), wall_seconds=clock.seconds,
        frames_per_second=frames / rendering if rendering else 0.0,
        shown=tuple(one for done in task_plans for one in done.shown),
    )  # fmt: skip


def _speakers(plan: RenderPlan, spec: TaskSpec) -> dict[str, object]:
    """Who has a voice of their own, for the report."""
    return {"speakers": {one.face: one.audio for one in plan.job.speakers}} if spec.speakers else {}


def source_facts(plan: RenderPlan) -> dict[str, object]:
    """The source in a few words, for the report."""
    index = plan.index
    layout, colour = index.format.layout, index.format.colour
    return {
        "container": index.container, "codec": index.stream.codec, "width": index.format.width,
        "height": index.format.height, "pixel_format": index.decoded_pixel_format, "depth": layout.depth,
        "frames": index.frames, "frame_rate": str(index.average_rate), "variable_rate": index.variable_rate,
        "matrix": colour.matrix, "full_range": colour.full_range, "colour_guessed": colour.guessed,
        "bytes": index.identity.size, "streams": [f"{s.kind} {s.codec}" for s in index.streams],
    }  # fmt: skip


def encode_facts(plan: RenderPlan) -> dict[str, object]:
    """The encoder as chosen, for the report."""
    spec = plan.encode
    return {
        "encoder": spec.encoder, "pixel_format": spec.pixel_format,
        "width": spec.width, "height": spec.height, "options": dict(spec.options),
    }  # fmt: skip
