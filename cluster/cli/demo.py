"""`reelyard demo`: the main job on files that ship with the package."""

from dataclasses import replace
from pathlib import Path

import typer

from cluster.cli.console import say, told_errors
from cluster.cli.options import RenderOptions, takes_render_options

_LABEL = "Demonstration: synthetic voice, moved by a computer"


def register(app: typer.Typer) -> None:
    help = "Make the photo that ships with Reelyard say the line that ships with it."
    left_out = (
        "source",
        "job",
        "audio",
        "task",
        "label",
        "face",
        "no_face",
        "height",
        "trim",
        "fit",
        "damaged",
        "decoder",
        "alpha",
        "deinterlace",
        "bake_rotation",
    )
    app.command("demo", help=help)(takes_render_options(demo, *left_out))


def demo(options: RenderOptions) -> None:
    with told_errors(options.verbose, "run the same command again to go on"):
        from cluster.cli.render import run_job
        from cluster.cli.request import check_device, job_of
        from cluster.report.pictures import contact_sheet_of
        from pipeline.storage import Storage

        folder = Path(__file__).resolve().parents[2] / "tasks" / "data" / "demo"
        options = replace(
            options,
            source=str(folder / "portrait.jpg"),
            audio=str(folder / "voice.wav"),
            task=["lip-sync"],
            label=_LABEL,
        )
        local = "://" not in options.output
        if local:
            Path(options.output).parent.mkdir(parents=True, exist_ok=True)
        job = job_of(options)
        run_job(job, options, check_device(options.device))
        sheet = f"{options.output}.contact.jpg"
        storage = Storage(dict(job.storage_options))
        storage.put_bytes(contact_sheet_of(storage, options.output), sheet)
        say(f"video: {options.output}")
        say(f"contact sheet: {sheet}")
