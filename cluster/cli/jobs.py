"""`reelyard status`, `logs` and `stop`: the jobs of a cluster."""

import shlex
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.console import BAD_REQUEST, FAILED, PARTIAL, RENDERED, STOPPED, print_json, say, seconds, told_errors
from tasks.errors import ResourceShortage

if TYPE_CHECKING:
    from cluster.submit.client import Cluster
    from cluster.submit.jobs import SubmittedJob

#: How long `stop` waits; Ray kills a driver that takes longer than 3 s.
_STOP_SECONDS = 60.0
_LOOK_SECONDS = 0.5
#: What a shell says of a command that is not there.
_NOT_FOUND = 127


def address_option() -> Any:
    help = "The cluster's dashboard; RAY_API_SERVER_ADDRESS by itself, else port 8265 of this machine."
    return typer.Option("--address", metavar="http://HEAD:8265", help=help)


Address = Annotated[str | None, address_option()]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Tracebacks.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
_ID = "The job's id, its beginning, or the id without its attempt"


def register(app: typer.Typer) -> None:
    app.command("status", help="Tell of a job on a cluster, or list Reelyard's jobs there.")(status)
    app.command("logs", help="Print what a job said.")(logs)
    app.command("stop", help="Stop a job; submitted again, it goes on where it was.")(stop)


def status(
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help=f"{_ID}; all of Reelyard's jobs by itself.")] = None,
    address: Address = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    with told_errors(verbose):
        from cluster.submit.jobs import find_job

        cluster = _connected(address)
        jobs = cluster.jobs()
        if id is not None:
            facts = facts_of(find_job(id, jobs), cluster)
            _print_facts(facts, json)
            return
        ours = sorted((job for job in jobs if job.ours), key=lambda job: job.started_seconds or 0.0)
        if json:
            print_json([facts_of(job, cluster) for job in ours])
        elif not ours:
            say(f"no job of Reelyard on {cluster.address}")
        for job in ours if not json else ():
            typer.echo(
                f"{job.id:<26} {job.status:<10} {_clock(job.started_seconds):<20} {since(job):>8}  {_asked(job)}"
            )


def logs(
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help=f"{_ID}; the latest by itself.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the job ends.")] = False,
    address: Address = None,
    verbose: Verbose = False,
) -> None:
    with told_errors(verbose, "the job goes on"):
        from cluster.submit.follow import follow as follow_job
        from cluster.submit.jobs import find_job

        cluster = _connected(address)
        job = find_job(id, cluster.jobs())
        if follow:
            say(outcome(follow_job(cluster, job.id, _write, say)))
        else:
            _write(cluster.log(job.id))


def stop(
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help=f"{_ID}; the one that runs by itself.")] = None,
    address: Address = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    with told_errors(verbose):
        from cluster.submit.jobs import running_job

        cluster = _connected(address)
        job = running_job(id, cluster.jobs())
        if not job.ended:
            cluster.stop(job.id)
            job = _ended(cluster, job.id)
        if json:
            print_json(facts_of(job, cluster))
        say(outcome(job))


def _connected(address: str | None) -> "Cluster":
    import os

    from cluster.submit.address import dashboard_address
    from cluster.submit.client import connect

    return connect(dashboard_address(address, os.environ))


def _ended(cluster: "Cluster", id: str) -> "SubmittedJob":
    deadline = time.monotonic() + _STOP_SECONDS
    while not (job := cluster.job(id)).ended:
        if time.monotonic() > deadline:
            raise ResourceShortage(f"{id}: asked to stop {_STOP_SECONDS:.0f} s ago and {job.status} still; ask again")
        time.sleep(_LOOK_SECONDS)
    return job


def exit_code_of(job: "SubmittedJob", partial_ok: bool = False) -> int:
    """The driver's own where it ended by itself; 130 where it was stopped, 1 where it was lost."""
    if job.status == "STOPPED":
        return STOPPED
    if job.status == "SUCCEEDED":
        return RENDERED
    code = job.driver_exit_code
    if code == PARTIAL and partial_ok:
        return RENDERED
    return code if code in (FAILED, BAD_REQUEST, PARTIAL, STOPPED) else FAILED


def outcome(job: "SubmittedJob") -> str:
    """The end of a job in one line, with what to do."""
    if job.status == "SUCCEEDED":
        return f"{job.id}: SUCCEEDED in {since(job)}"
    again = "the same submit again goes on where it was"
    if job.status == "STOPPED":
        return f"{job.id}: STOPPED after {since(job)}; {again}"
    if job.driver_exit_code is None:
        return f"{job.id}: FAILED after {since(job)}: {_reason(job)}; {again}"
    if job.driver_exit_code == _NOT_FOUND:
        return (
            f"{job.id}: FAILED: the cluster did not find the command that it was to run; use an image that holds "
            "Reelyard, or add --ship (and --python PATH where `python` is not the one of Ray)"
        )
    if job.driver_exit_code == PARTIAL:
        return f"{job.id}: ended after {since(job)}, some videos failed; the same submit again tries those"
    if job.driver_exit_code == BAD_REQUEST:
        return f"{job.id}: FAILED after {since(job)} with exit code {BAD_REQUEST}: the request was refused there"
    return f"{job.id}: FAILED after {since(job)} with exit code {job.driver_exit_code}; {again}"


def _reason(job: "SubmittedJob") -> str:
    lines = [line.strip() for line in job.message.splitlines() if line.strip()]
    return (lines[-1] if lines else "its driver was lost")[:300]


def facts_of(job: "SubmittedJob", cluster: "Cluster") -> dict[str, object]:
    """The job in plain types."""
    return {
        "id": job.id,
        "status": job.status,
        "address": cluster.address,
        "command": _asked(job),
        "began": _clock(job.started_seconds),
        "seconds": round((job.ended_seconds or time.time()) - job.started_seconds, 1) if job.started_seconds else None,
        "driver_exit_code": job.driver_exit_code,
        "reelyard": job.metadata.get("reelyard", ""),
        "message": job.message,
    }


def hint(cluster: "Cluster", id: str) -> str:
    """How to follow and stop a job, as commands."""
    from cluster.submit.address import DEFAULT

    where = "" if cluster.address == DEFAULT else f" --address {cluster.address}"
    return f"follow it: reelyard logs -f {id}{where}; stop it: reelyard stop {id}{where}"


def since(job: "SubmittedJob") -> str:
    """How long a job took, or takes until now."""
    if job.started_seconds is None:
        return "0.0 s"
    return seconds(max(0.0, (job.ended_seconds or time.time()) - job.started_seconds))


def _print_facts(facts: dict[str, object], json: bool) -> None:
    if json:
        print_json(facts)
        return
    for name, value in facts.items():
        if value not in (None, ""):
            typer.echo(f"{name:<18}{value}")


def _asked(job: "SubmittedJob") -> str:
    """The command of a job without how Reelyard was started."""
    try:
        words = shlex.split(job.entrypoint)
    except ValueError:
        return job.entrypoint
    starts = [n for n, word in enumerate(words) if word.rpartition("/")[2] in ("reelyard", "reelyard.py")]
    return shlex.join(words[starts[0] + 1 :]) if starts else job.entrypoint


def _clock(unix_seconds: float | None) -> str:
    return datetime.fromtimestamp(unix_seconds).strftime("%Y-%m-%d %H:%M:%S") if unix_seconds else ""


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
