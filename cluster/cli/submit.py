"""`reelyard submit`: a command of this machine run on a cluster, followed, and ended with its exit code."""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli import batch, render
from cluster.cli.console import STOPPED, print_json, say, told_errors
from cluster.cli.jobs import address_option, exit_code_of, facts_of, hint, outcome, since
from cluster.submit.places import Reads
from tasks.errors import JobError

if TYPE_CHECKING:
    from cluster.submit.client import Cluster
    from cluster.submit.jobs import Step
    from cluster.submit.request import Request, Start


@dataclass(frozen=True)
class Submittable:
    """A command that may be submitted."""

    check: Callable[[Mapping[str, Any]], None]
    "Refuses, by JobError, what the command itself would refuse before it starts."
    reads: Reads
    for_cluster: Callable[
        [Mapping[str, Any], Callable[[str], str] | None], AbstractContextManager[Mapping[str, Any]]
    ] = lambda values, upload: nullcontext(values)
    "The values as a cluster of other machines is to have them, for the time of a block; refuses, by JobError."


#: Every command that may be submitted.
COMMANDS = {
    "render": Submittable(render.check, Reads(("source", "audio"), ("output", "work", "report"), lists=("job",))),
    "batch": Submittable(
        batch.check,
        Reads(inputs=("audio",), outputs=("prefix", "work", "report", "stage"), lists=("manifest",)),
        batch.for_cluster,
    ),
}

_HELP = """Run a command on a Ray cluster, follow it, and end with its exit code.

What follows COMMAND is that command's own: `reelyard submit render s3://in/a.mp4 -o s3://out/a.mp4`.
The same submit again follows the job while it runs, and starts it anew after it ended: finished segments are not
rendered again. Ctrl-C leaves the job running.

Exit codes: those of the command; 130 where the job was stopped or left to itself."""


@dataclass(frozen=True)
class SubmitOptions:
    """How a command is submitted; what was typed before its name."""

    address: str | None
    stage: str | None
    ship: bool
    python: str | None
    wait: bool
    partial_ok: bool
    json: bool


def register(app: typer.Typer) -> None:
    settings = {"allow_interspersed_args": False}
    app.command("submit", help=_HELP, context_settings=settings)(submit)


def submit(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="COMMAND …", help=f"{', '.join(COMMANDS)}, and its arguments.")],
    address: Annotated[str | None, address_option()] = None,
    stage: Annotated[str | None, typer.Option(metavar="URI", help="Upload local inputs below this URI.")] = None,
    ship: Annotated[
        bool, typer.Option("--ship", help="Send this Reelyard along; the cluster has its libraries.")
    ] = False,
    python: Annotated[
        str | None, typer.Option(metavar="PATH", help="The cluster's Python, where none is found.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the job to its end.")] = True,
    partial_ok: Annotated[
        bool, typer.Option("--partial-ok", help="Exit code 0 where only some videos failed.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Tracebacks.")] = False,
) -> None:
    parsed = _parsed(context, words)
    with told_errors(verbose, "the same submit again starts the job, or follows it where it was started already"):
        options = SubmitOptions(address, stage, ship, python, wait, partial_ok, json)
        raise SystemExit(_submit(parsed, options))


def _parsed(context: Any, words: list[str]) -> Any:
    """The context of the command that is submitted; its own usage errors end the process as ever."""
    name = words[0]
    if name not in COMMANDS:
        context.fail(f"{name} cannot be submitted; expected one of {', '.join(COMMANDS)}, and its arguments.")
    root = context.find_root()
    return root.command.commands[name].make_context(f"submit {name}", words[1:], parent=root)


def _submit(parsed: Any, options: SubmitOptions) -> int:
    from cluster.submit.address import dashboard_address
    from cluster.submit.client import connect
    from cluster.submit.places import refuse_secrets
    from cluster.submit.request import choose_start, request_of

    entry, values = COMMANDS[parsed.command.name], parsed.params
    _refuse_misplaced(values)
    refuse_secrets(values)
    entry.check(values)
    upload = _uploader(options.stage, values)
    cluster = connect(dashboard_address(options.address, os.environ))
    one_machine = cluster.on_this_machine()
    seen = nullcontext(values) if one_machine else entry.for_cluster(values, upload)
    with seen as values:
        request = request_of(parsed.command, values, entry.reads, one_machine=one_machine, stage=upload)
        start = choose_start(options.ship, options.python, one_machine=one_machine)
        step = start_or_find(cluster, request, start)
    return _followed(cluster, step.id, options) if options.wait else _left(cluster, step.id, options)


def _refuse_misplaced(values: Mapping[str, Any]) -> None:
    if values.get("in_process"):
        raise JobError("--in-process: a submitted job renders on its cluster; leave it out")
    if values.get("address"):
        found = values["address"]
        raise JobError(f"--address {found}: belongs before the command: reelyard submit --address http://HEAD:8265 …")


def _uploader(stage: str | None, values: Mapping[str, Any]) -> Callable[[str], str] | None:
    if stage is None:
        return None
    from cluster.cli.request import storage_options
    from cluster.submit.places import local_path
    from cluster.submit.shipping import staged
    from pipeline.storage import Storage

    if local_path(stage) is not None or stage.startswith(("memory://", "http://", "https://")):
        raise JobError(f"--stage {stage}: expected object storage that the cluster reads, as s3://BUCKET/PREFIX")
    storage = Storage(dict(storage_options(values.get("storage_option") or ())))

    def upload(path: str) -> str:
        uri = staged(storage, path, stage)
        say(f"staged: {path} as {uri}")
        return uri

    return upload


def start_or_find(cluster: "Cluster", request: "Request", start: "Start") -> "Step":
    """The job that runs this request now: one that was there, or a new one."""
    from cluster.submit.client import AlreadySubmitted
    from cluster.submit.jobs import next_step

    while (step := next_step(request.content, cluster.jobs())).running is None:
        try:
            _send(cluster, step.id, request, start)
        except AlreadySubmitted:  # By another, since the list was read: look again.
            continue
        again = f"; goes on after {step.before.id} ({step.before.status})" if step.before else ""
        say(f"{step.id}: submitted to {cluster.address}{again}")
        say(f"runs: {start.reason}")
        return step
    say(f"{step.id}: {step.running.status} already, for {since(step.running)}")
    return step


def _send(cluster: "Cluster", id: str, request: "Request", start: "Start") -> None:
    from cluster.packages import own_code
    from cluster.report.document import versions
    from cluster.submit.arrival import CODE, code_mark
    from cluster.submit.client import Submission
    from cluster.submit.request import entrypoint, working_folder

    metadata = {"reelyard": versions()["reelyard"], CODE: code_mark(own_code())}
    with working_folder(start, request) as folder:
        cluster.submit(Submission(id, entrypoint(start, request), metadata, folder))


def _followed(cluster: "Cluster", id: str, options: SubmitOptions) -> int:
    from cluster.submit.follow import follow

    try:
        job = follow(cluster, id, _write, say)
    except KeyboardInterrupt:
        say(f"\nleft: {id} goes on; {hint(cluster, id)}")
        raise SystemExit(STOPPED) from None
    code = exit_code_of(job, options.partial_ok)
    if options.json:
        print_json(facts_of(job, cluster) | {"exit_code": code})
    say(outcome(job))
    return code


def _left(cluster: "Cluster", id: str, options: SubmitOptions) -> int:
    say(hint(cluster, id))
    if options.json:
        print_json(facts_of(cluster.job(id), cluster))
    return 0


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
