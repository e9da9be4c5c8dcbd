"""What jobs would do to a device's memory: what their networks take, the budget, who comes and who leaves."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from tempfile import gettempdir

from pipeline.prepare import RenderPlan
from pipeline.storage import Storage
from pipeline.weights import open_here
from tasks.chain import Chain
from tasks.residency.demand import Demand
from tasks.residency.forecast import forecast
from tasks.residency.policy import Budget
from tasks.residency.residents import Residents, kept_from, residents_on, with_budget
from tasks.residency.upcoming import Coming, queue_of

#: Batches of each job that are told: the first brings its networks, the second shows what is done again and again.
_BATCHES = 2


def vram_lines(
    plans: Sequence[RenderPlan], device: str, budget_bytes: int | None, share: float = 1.0
) -> tuple[str, ...]:
    """The arithmetic of jobs that render in turns on a share of one device; their networks are read, nothing is drawn.

    Raises:
        WeightsError: weights are not to be had.
    """
    here = residents_on(device) if budget_bytes is None else with_budget(device, budget_bytes)
    with ExitStack() as loaded:
        chains = [loaded.enter_context(_loaded(plan, device)) for plan in plans]
        demands = [chain.demands(plan.formats) for chain, plan in zip(chains, plans, strict=True)]
        told = [line for plan, some in zip(plans, demands, strict=True) for line in _asked(plan, some)]
        queue = queue_of([Coming(tuple(demand.model for demand in some), _BATCHES) for some in demands])
        if not queue:
            return (*told, f"nothing of this lies in the pool of {device}: there is nothing to evict")
        most = max(demand.activation_bytes for some in demands for demand in some)
        budget = kept_from(replace(here.budget, share=share), most) if isinstance(here.budget, Budget) else here.budget
        return (*told, *forecast(budget, queue, here.pool.sizes), _beside(here))


def _beside(here: Residents) -> str:
    known, host_bytes = sum(here.pool.sizes.values()), here.host_bytes
    where = "which holds all of these" if known <= host_bytes else f"the rest waits in files in {gettempdir()}"
    return f"{host_bytes / 1e9:.2f} GB of host memory for networks, on the device or not: {where}"


@contextmanager
def _loaded(plan: RenderPlan, device: str) -> Iterator[Chain]:
    storage = Storage(dict(plan.job.storage_options))
    chain = Chain([open_here(storage, spec) for spec in plan.specs], device)
    chain.load()
    try:
        yield chain
    finally:
        chain.release()


def _asked(plan: RenderPlan, demands: Sequence[Demand]) -> Iterator[str]:
    pooled = {demand.what.split(" ", 1)[0] for demand in demands}
    for demand in demands:
        yield f"{plan.job.source}: {demand}"
    for spec in plan.specs:
        if spec.name not in pooled:
            yield f"{plan.job.source}: task {spec.name} keeps no network in the pool"
