"""`python -m tests.benchmarks.simulated_runs NAME`: one large simulated run, in a process of its own to be measured."""

import json
import sys

from cluster.simulation.run import simulate
from cluster.simulation.values import Faults, Outcome, Setting
from tests.cluster.simulated import cells_of, load_of, many_loads, usual_costs

CELLS = 512


def segments() -> Outcome:
    """200,000 segments of a thousand long videos."""
    loads = [load_of(f"v{number}", 15.0 * 200) for number in range(1000)]
    return simulate(loads, Setting(cells_of(CELLS), usual_costs(), side_workers=64))


def videos() -> Outcome:
    """10,000 videos, scanned and rendered; one attempt in a hundred fails, forty spot nodes go and come back."""
    losses = tuple(60.0 + 20.0 * number for number in range(40))
    faults = Faults(failure_share=0.01, spot_losses=losses)
    setting = Setting(cells_of(CELLS), usual_costs(load_seconds=20.0), faults=faults, side_workers=128)
    return simulate(many_loads(10_000), setting)


if __name__ == "__main__":
    outcome = {"segments": segments, "videos": videos}[sys.argv[1]]()
    print(
        json.dumps(
            {
                "efficiency": outcome.efficiency,
                "attempts": outcome.attempts,
                "done": outcome.videos_done,
                "failures": outcome.failures,
                "makespan_seconds": outcome.makespan_seconds,
            }
        )
    )
