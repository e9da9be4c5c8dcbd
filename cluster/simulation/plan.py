"""How long a batch will take on GPUs that need not be there: its forecast, driven through the simulator; pure.

Seconds of a cell per frame come from the forecast (processor milliseconds that were measured, GPU speeds that
are priors), or from the report of an earlier run of like pictures.  Units carry those seconds as their size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.forecast import Machines, VideoForecast, cell_seconds
from cluster.scheduling.costs import speed_of
from cluster.scheduling.settings import SchedulerSettings
from cluster.scheduling.values import Cell, Unit, Video, Work
from cluster.simulation.run import simulate
from cluster.simulation.values import Costs, Outcome, Setting, VideoLoad
from tasks.errors import JobError

#: A lease's fixed cost, the loading of models, a probe, a stitch and the spread of units, until a run has told.
_FIXED, _LOAD, _PROBE, _STITCH, _NOISE = 1.0, 1.0, 1.0, 1.5, 0.15
_SLOTS = 2
#: Served seconds that every unit takes for each of its size.
_RATES: dict[tuple[str, Work, str], float] = {("", "render", ""): 1.0, ("", "scan", ""): 1.0}


@dataclass(frozen=True)
class Wanted:
    """One video of the plan, with what decides its turn."""

    forecast: VideoForecast
    scans: bool = False
    recipe: str = ""
    job: str = ""
    priority: int = 0
    weight: float = 1.0


@dataclass(frozen=True)
class Measured:
    """What an earlier run took."""

    cell_seconds_per_frame: float
    probe_seconds: float = _PROBE
    stitch_seconds: float = _STITCH
    start_seconds: float = 0.0


def measured_of(report: Mapping[str, Any], kind: str) -> Measured:
    """The costs that the report of a batch tells for cells of a kind.

    Raises:
        JobError: it is no report of a batch, or no such cell rendered a frame in it.
    """
    cells = report.get("cells")
    if not isinstance(cells, list) or "steps" not in report:
        raise JobError("--like: found no report of a batch; expected the report.json that `reelyard batch` wrote")
    alike = [cell for cell in cells if cell["kind"].lower() == kind.lower() and cell["frames"]]
    if not alike:
        kinds = ", ".join(sorted({cell["kind"] for cell in cells if cell["frames"]})) or "none that rendered"
        raise JobError(f"--like: no cell of kind {kind} in that report; found {kinds}; give one as --gpu-kind")
    seconds = sum(cell["slot_seconds_leased"] / max(1, cell["slots"]) for cell in alike)
    frames = sum(cell["frames"] for cell in alike)
    start = report.get("speed", {}).get("first_lease_seconds") or 0.0
    probe, stitch = (
        _step(report, name, prior) for name, prior in (("plan_render", _PROBE), ("stitch_output", _STITCH))
    )
    return Measured(seconds / frames, probe, stitch, float(start))


def _step(report: Mapping[str, Any], name: str, prior: float) -> float:
    step = report["steps"].get(name)
    return float(step["seconds"] / step["times"]) if step and step["times"] else prior


def predicted(videos: Sequence[Wanted], machines: Machines, measured: Measured | None = None, seed: int = 0) -> Outcome:
    """The run of what is to be rendered, simulated."""
    kind = machines.kind or "gpu"
    settings = SchedulerSettings(seconds_per_megapixel=speed_of(kind), fixed_seconds=_FIXED, load_seconds=_LOAD)
    loads = [_load(wanted, machines, measured, settings) for wanted in videos if wanted.forecast.status == "render"]
    cells = tuple(Cell(f"gpu-{n}", f"node-{n}", kind, _SLOTS) for n in range(machines.gpus))
    # A cell serves a step beside its leases where a cluster has no nodes without GPU.
    setting = Setting(
        cells,
        Costs(_RATES, _FIXED, _LOAD, _NOISE),
        side_workers=max(2, machines.gpus),
        start_seconds=measured.start_seconds if measured else 0.0,
        seed=seed,
    )
    return simulate(loads, setting, settings)


def _load(wanted: Wanted, machines: Machines, measured: Measured | None, settings: SchedulerSettings) -> VideoLoad:
    forecast = wanted.forecast
    seconds = forecast.frames * measured.cell_seconds_per_frame if measured else cell_seconds(forecast, machines)
    share = settings.scan_share if wanted.scans else 0.0
    count = max(1, forecast.segments)
    each, frames = seconds / count / (1 + share), max(1, forecast.frames // count)

    def units(work: Work, size: float) -> tuple[Unit, ...]:
        return tuple(Unit(forecast.name, work, number, frames, size) for number in range(count))

    return VideoLoad(
        Video(forecast.name, wanted.job, wanted.priority, wanted.weight, wanted.recipe),
        units("render", each),
        units("scan", each * share) if wanted.scans else (),
        probe_seconds=measured.probe_seconds if measured else _PROBE,
        stitch_seconds=measured.stitch_seconds if measured else _STITCH,
    )
