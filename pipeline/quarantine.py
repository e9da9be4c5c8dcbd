"""What becomes of an output that falls short of its quality gate: it is put aside, and nothing lies where it was asked.

The file aside is the whole output, to be looked at; the same command with another gate, or none, makes the output from
the parts that are there.
"""

from dataclasses import replace

from pipeline.finished import output_job_key
from pipeline.prepare import RenderPlan
from pipeline.quality import Verdict
from pipeline.run_report import RunReport
from pipeline.storage import Storage


def aside_uri(output: str) -> str:
    """Beside the output, under a name that no job asks for by itself."""
    stem, _, ending = output.rpartition(".")
    return f"{stem}.quarantined.{ending}"


def put_aside(plan: RenderPlan) -> RenderPlan:
    """The plan with its output put aside; what was put there before is replaced."""
    return replace(plan, job=replace(plan.job, output=aside_uri(plan.job.output), overwrite=True))


def remove_replaced(storage: Storage, plan: RenderPlan) -> None:
    """An older output of this very job, that nobody had looked at, goes: what it shows was put aside."""
    output = plan.job.output
    if storage.exists(output) and output_job_key(storage, output) == plan.key:
        storage.delete(output)


def with_quality(report: RunReport, verdict: Verdict) -> RunReport:
    """The report with what is known of its quality."""
    return replace(report, quality=verdict)


def quarantined(report: RunReport, verdict: Verdict) -> RunReport:
    """The report of an output that was put aside."""
    return replace(report, status="quarantined", quality=verdict, put_aside=aside_uri(report.output))


def why_aside(report: RunReport) -> str:
    """For a person: what falls short, where the file lies, what to do."""
    remedy = (
        "the same command with another gate takes it from the parts that are rendered"
        if report.parts
        else "it is whole: move it back where the gate asks too much, or change the task and render again"
    )
    return (
        f"{report.output}: falls short of --quality-gate: {'; '.join(report.quality.short)}; it was put aside as "
        f"{report.put_aside}: look at it and at the report's worst frames; {remedy}"
    )
