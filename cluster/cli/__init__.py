"""The command line: one file a command; the only place that prints and exits.

Everything heavy (torch, ray, av) is imported when a command runs, not when its help is shown.
"""

import typer

from cluster.cli import batch, clean, demo, doctor, plan, probe, render, report

app = typer.Typer(
    name="reelyard",
    help="AI video rendered on Ray: a photo or a video and a voice become a talking video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (render, batch, demo, plan, probe, report, doctor, clean):
    module.register(app)


def main() -> None:
    """The console script `reelyard`."""
    app()
