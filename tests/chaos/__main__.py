"""`python -m tests.chaos`: a run at full size by itself; exits with 1 where anything that must hold did not."""

import argparse
import tempfile
from pathlib import Path

from tests.chaos.run import Setting, run


def main() -> None:
    usual = Setting()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=usual.videos)
    parser.add_argument("--longest-seconds", type=float, default=usual.longest_seconds)
    parser.add_argument("--nodes", type=int, default=usual.nodes)
    parser.add_argument("--fault-every-seconds", type=float, default=usual.fault_every_seconds)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--limit-seconds", type=float, default=usual.limit_seconds)
    parser.add_argument("--folder", type=Path, default=None)
    given = vars(parser.parse_args())
    folder = given.pop("folder") or Path(tempfile.mkdtemp(prefix="reelyard-chaos-"))
    outcome = run(Setting(**given), folder)
    faults = ", ".join(f"{count} {name}" for name, count in sorted(outcome.faults.items()))
    print(f"{given['videos']} videos, {outcome.frames} good frames, {outcome.seconds:.0f} s, {outcome.drivers} drivers")
    print(f"faults: {faults}")
    print(f"report: {folder}/report.html")
    for breach in outcome.breaches:
        print(f"BREACH: {breach}")
    print("nothing was lost" if not outcome.breaches else f"{len(outcome.breaches)} breaches")
    raise SystemExit(1 if outcome.breaches else 0)


main()
