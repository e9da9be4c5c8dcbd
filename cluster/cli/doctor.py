"""`reelyard doctor`: is this machine fit to render, and if not, what to do."""

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.cli.console import FAILED, print_json, say, told_errors

if TYPE_CHECKING:
    from cluster.doctor import Check

_MARKS = {"ok": "ok    ", "note": "note  ", "broken": "BROKEN"}


def register(app: typer.Typer) -> None:
    help = "Look whether this machine is fit to render; exit code 1 where something needed is broken."
    app.command("doctor", help=help)(doctor)


def doctor(
    storage: Annotated[str | None, typer.Option(metavar="URI", help="Also try this storage prefix.")] = None,
    storage_option: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE")] = None,
    start_ray: Annotated[bool, typer.Option("--start-ray", help="Also start and end a local Ray.")] = False,
    vram: Annotated[
        list[str] | None,
        typer.Option("--vram", metavar="JOB", help="Only tell what a job file does to a device's memory; repeatable."),
    ] = None,
    vram_bytes: Annotated[
        int | None, typer.Option("--vram-bytes", min=1, help="With --vram: as if networks had so many bytes.")
    ] = None,
    gpus_per_cell: Annotated[
        float | None,
        typer.Option("--gpus-per-cell", metavar="SHARE", help="With --vram: as for such a share of a GPU."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Tracebacks.")] = False,
) -> None:
    with told_errors(verbose):
        from cluster.address import checked_share

        if vram:
            tell_vram(vram, storage_option or [], vram_bytes, checked_share(gpus_per_cell), json=json)
            return
        tell_checks(storage, storage_option or [], start_ray, json=json)


def tell_checks(storage: str | None, storage_option: list[str], start_ray: bool, *, json: bool) -> None:
    """Every check as it is made; ends the process with what they came to."""
    from cluster.cli.request import storage_options
    from cluster.doctor import examine, machine, media
    from cluster.doctor.remote import storage_checks

    examinations = [
        machine.python_and_packages, machine.own_packages, machine.opencv, media.codecs,
        media.hardware_encoders, media.hardware_decoders, media.fonts, media.weights, machine.gpu, machine.back_ends,
        machine.memory_and_disks, machine.shared_memory, machine.ray_version,
    ]  # fmt: skip
    if start_ray:
        examinations.append(machine.local_ray)
    if storage:
        examinations.append(partial(storage_checks, storage, dict(storage_options(storage_option))))
    checks = []
    for check in examine(tuple(examinations)):
        checks.append(check)
        if not json:
            typer.echo(line_of(check))
    broken = [check for check in checks if check.state == "broken"]
    if json:
        print_json({"fit": not broken, "checks": [asdict(check) for check in checks]})
    elif broken:
        say(f"{len(broken)} of {len(checks)} checks found something broken")
    raise SystemExit(FAILED if broken else 0)


def tell_vram(
    jobs: list[str], storage_option: list[str], budget_bytes: int | None, share: float, *, json: bool
) -> None:
    """What these job files would do to the memory of the device that renders here."""
    from cluster.cli.plan import plan_of
    from cluster.cli.request import complete, storage_options
    from cluster.doctor.vram import vram_lines
    from cluster.manifest.read import read_job
    from pipeline.storage import Storage
    from tasks.devices import choose_device

    options = storage_options(storage_option)
    storage = Storage(dict(options))
    plans = [plan_of(complete(read_job(storage, uri, {}, options))) for uri in jobs]
    choice = choose_device("auto")
    lines = (f"device {choice.device}: {choice.reason}", *vram_lines(plans, choice.device, budget_bytes, share))
    if json:
        print_json({"device": choice.device, "lines": list(lines)})
    else:
        typer.echo("\n".join(lines))


def line_of(check: "Check") -> str:
    remedy = f"\n         -> {check.remedy}" if check.remedy and check.state != "ok" else ""
    return f"{_MARKS[check.state]} {check.name:<20} {check.found}{remedy}"
