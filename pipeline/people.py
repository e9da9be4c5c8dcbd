"""Who is seen in a source, found without rendering; what is measured for it is kept for a render of it."""

from pipeline.job import RenderJob
from pipeline.pool import Pool
from pipeline.prepare import decoding_of, scan_prefix
from pipeline.scan import not_measured
from pipeline.steps import people_of, plan_scan, scan_works
from pipeline.storage import Storage
from tasks.table import task_spec
from tasks.task import Shown


def scan_job(
    source: str, beside: str, identity: str = "embedded", detector: str = "embedded", **more: object
) -> RenderJob:
    """The job whose scan lies where a render to the folder of `beside` looks for it; `detector` finds faces there."""
    folder, slash, _ = beside.rpartition("/")
    spec = task_spec("lip-sync", {"identity": identity, "detector": detector})
    return RenderJob(source, f"{folder}{slash}people.mp4", tasks=(spec,), **more)  # type: ignore[arg-type]


def find_people(job: RenderJob, pool: Pool, storage: Storage) -> tuple[Shown, ...]:
    """Everyone who is seen in the job's source, in order of appearance.

    Raises:
        JobError: the request cannot be met.
        SourceError: the source cannot be read.
    """
    plan = pool.do(plan_scan, job)
    works = pool.do(scan_works, plan)
    for spec, units in zip(plan.specs, works, strict=True):
        missing = not_measured(storage, scan_prefix(plan.job, plan.content), units)
        for _ in pool.measure(plan.index, spec, missing, decoding_of(plan.job)) if missing else ():
            pass
    shown: tuple[Shown, ...] = pool.do(people_of, plan, works)
    return shown
