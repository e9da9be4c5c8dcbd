"""The scheduler on simulated clusters: nothing lost, GPUs busy, tails short, faults survived."""

import pytest

from cluster.forecast import Machines, VideoForecast
from cluster.scheduling.settings import SchedulerSettings
from cluster.scheduling.values import Cell
from cluster.simulation.plan import Measured, Wanted, measured_of, predicted
from cluster.simulation.run import simulate
from cluster.simulation.values import Costs, Faults, Outcome, Setting
from tasks.errors import JobError
from tests.cluster.simulated import RATES, cells_of, load_of, many_loads, usual_costs


def _tail(slowness: dict[str, float], noise: float, seed: int) -> Outcome:
    video = [load_of("long", 1800.0)]
    return simulate(video, Setting(cells_of(8), usual_costs(noise), slowness, seed=seed))


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_one_cell_four_times_slower_does_not_hold_up_the_end(noise: float) -> None:
    ratios = []
    for seed in range(12):
        equal = _tail({}, noise, seed)
        slow = _tail({f"c{seed % 8:03}": 4.0}, noise, seed)
        ratios.append(slow.makespan_seconds / equal.makespan_seconds)
    assert max(ratios) <= 1.25, ratios


@pytest.mark.parametrize("cells", [1, 2, 4, 8])
def test_cells_are_busy_while_there_is_work(cells: int) -> None:
    loads = [load_of(f"v{n}", 60.0) for n in range(20 * cells)]
    outcome = simulate(loads, Setting(cells_of(cells), Costs(RATES, fixed_seconds=0.2, noise=0.1), side_workers=4))
    assert outcome.efficiency >= 0.95
    assert outcome.idle_share <= 0.05


def test_everything_is_rendered_through_failures_and_spot_losses() -> None:
    losses = tuple(30.0 + 40.0 * n for n in range(10))
    faults = Faults(failure_share=0.05, spot_losses=losses, notice_seconds=30.0, replaced_after_seconds=60.0)
    outcome = simulate(
        many_loads(200), Setting(cells_of(16), usual_costs(load_seconds=10.0), faults=faults, side_workers=8)
    )
    assert outcome.videos_done == 200
    assert outcome.failures > 10
    assert outcome.efficiency >= 0.8


def test_a_bad_video_fails_alone() -> None:
    loads = [load_of(f"v{n}", 60.0, bad="bug" if n == 3 else "SourceError" if n == 4 else "") for n in range(10)]
    outcome = simulate(loads, Setting(cells_of(4), usual_costs()))
    assert sorted(outcome.videos_failed) == ["v3", "v4"]
    assert outcome.videos_done == 8


def test_a_cluster_that_shrinks_to_one_cell_finishes() -> None:
    faults = Faults(spot_losses=(10.0, 20.0, 30.0), notice_seconds=5.0, replaced_after_seconds=None)
    outcome = simulate(many_loads(10), Setting(cells_of(4), usual_costs(), faults=faults, seed=3))
    assert outcome.videos_done == 10


def test_videos_finish_all_along_the_run() -> None:
    outcome = simulate(many_loads(300), Setting(cells_of(16), usual_costs(), side_workers=8))
    moments = sorted(outcome.done_at.values())
    assert moments[len(moments) // 10] <= 0.4 * outcome.makespan_seconds
    assert moments[len(moments) // 2] <= 0.85 * outcome.makespan_seconds
    assert outcome.efficiency >= 0.9


def test_models_are_loaded_seldom_though_recipes_alternate() -> None:
    loads = [load_of(f"v{n}", 60.0, recipe=f"r{n % 4}") for n in range(160)]
    settings = SchedulerSettings(warm_recipes=1)
    costs = Costs(RATES, fixed_seconds=1.0, load_seconds=30.0, noise=0.1)
    outcome = simulate(loads, Setting(cells_of(8), costs, side_workers=8), settings)
    assert outcome.efficiency >= 0.85


def test_the_same_seed_gives_the_same_run() -> None:
    def run() -> Outcome:
        faults = Faults(failure_share=0.05, spot_losses=(30.0, 90.0), notice_seconds=20.0)
        return simulate(many_loads(40), Setting(cells_of(8), usual_costs(), faults=faults, seed=7))

    assert run() == run()


def test_mixed_kinds_are_all_used() -> None:
    cells = (*cells_of(4), *(Cell(f"h{n}", "fast", "h100") for n in range(4)))
    costs = Costs({("", "render", "l4"): 0.04, ("", "render", "h100"): 0.01}, fixed_seconds=0.5)
    outcome = simulate([load_of(f"v{n}", 120.0) for n in range(60)], Setting(cells, costs, side_workers=8))
    assert outcome.efficiency >= 0.9


@pytest.mark.slow
def test_ten_thousand_videos_on_512_cells_with_faults() -> None:
    losses = tuple(60.0 + 20.0 * n for n in range(40))
    faults = Faults(failure_share=0.01, spot_losses=losses)
    outcome = simulate(
        many_loads(10_000), Setting(cells_of(512), usual_costs(load_seconds=20.0), faults=faults, side_workers=128)
    )
    assert outcome.videos_done == 10_000


def _forecast(name: str, frames: int = 1500, status: str = "render") -> VideoForecast:
    moving, tasks = frames * 0.04, frames * 0.03
    return VideoForecast(
        name, 1, name, name, status, frames=frames, segments=4, moving_seconds=moving, task_seconds=tasks
    )


def test_a_plan_counts_what_will_be_rendered_only() -> None:
    wanted = [Wanted(_forecast("a")), Wanted(_forecast("b", status="refused")), Wanted(_forecast("c"), scans=True)]
    outcome = predicted(wanted, Machines(gpus=2, kind="l4", gpu_speed=16.0))
    assert set(outcome.done_at) == {"a", "c"}
    # Two videos of 1500 frames, 40 ms on one of four processors each: 15 s a video, and a GPU for each.
    assert outcome.ideal_seconds == pytest.approx(15.0)
    assert outcome.gpu_hours == pytest.approx(2 * outcome.makespan_seconds / 3600)


def test_costs_of_an_earlier_run_take_the_place_of_priors() -> None:
    report = {
        "cells": [{"kind": "L4", "slots": 2, "slot_seconds_leased": 400.0, "frames": 1000}],
        "steps": {"plan_render": {"times": 4, "seconds": 8.0}},
        "speed": {"first_lease_seconds": 3.5},
    }
    measured = measured_of(report, "l4")
    assert measured == Measured(0.2, 2.0, 1.5, 3.5)
    outcome = predicted([Wanted(_forecast("a"))], Machines(gpus=2, kind="l4"), measured)
    assert outcome.ideal_seconds == pytest.approx(150.0)
    with pytest.raises(JobError, match="no cell of kind h100 in that report; found L4"):
        measured_of(report, "h100")
    with pytest.raises(JobError, match="no report of a batch"):
        measured_of({"schema": 1}, "l4")
