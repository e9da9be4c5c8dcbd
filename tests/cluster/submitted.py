"""A command to be submitted as it is parsed, and a job of a cluster as Ray would tell of it."""

from typing import Any

import typer

from cluster.cli import app
from cluster.submit.jobs import SubmittedJob
from cluster.submit.places import Reads

RENDER: Any = typer.main.get_command(app).commands["render"]  # type: ignore[attr-defined]
READS = Reads(inputs=("source", "audio"), outputs=("output", "work", "report"))


def parsed(*words: str) -> dict[str, object]:
    return dict(RENDER.make_context("render", list(words)).params)


def job(id: str, status: str = "SUCCEEDED", began: float = 1.0, **more: Any) -> SubmittedJob:
    return SubmittedJob(id, status, started_seconds=began, ended_seconds=began + 61, **more)
