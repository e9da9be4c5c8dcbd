"""The command line: one file a command; the only place that prints and exits.

Everything heavy (torch, ray, av) is imported when a command runs, not when its help is shown.
"""

import os

import typer

from cluster.address import JOB_MARK
from cluster.cli import batch, clean, demo, doctor, jobs, models, plan, probe, render, report, scan, submit

app = typer.Typer(
    name="reelyard",
    help="AI video rendered on Ray: a photo or a video and a voice become a talking video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (render, batch, demo, plan, probe, scan, report, submit, jobs, models, doctor, clean):
    module.register(app)


def main() -> None:
    """The console script `reelyard`."""
    if JOB_MARK in os.environ:
        _check_arrival()
    app()


def _check_arrival() -> None:
    from cluster.cli.console import told_errors
    from cluster.packages import own_code
    from cluster.submit.arrival import check_arrival

    with told_errors(verbose=False):
        check_arrival(os.environ, own_code())
