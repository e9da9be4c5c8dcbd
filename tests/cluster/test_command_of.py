"""The command that a report gives for a failure asks for the very job that failed."""

import shlex
from fractions import Fraction
from typing import Any

import pytest
import typer

from cluster.cli import app
from cluster.cli.options import RenderOptions
from cluster.cli.request import job_of
from cluster.command_of import command_of
from pipeline.job import EncodeRequest, RenderJob
from pipeline.speakers import Speaker
from tasks.table import parse_task

JOBS = [
    RenderJob("a.mp4", "b.mp4"),
    RenderJob("s3://in/a b.mp4", "s3://out/it's.mkv", (parse_task("lip-sync:face=left"),), "v.wav", "audio:hold"),
    RenderJob("a.mp4", "b.mp4", trim=(None, Fraction("12.345")), frame_rate=Fraction(30000, 1001), label="A, b=c"),
    RenderJob("a.mp4", "b.mp4", trim=(Fraction(90), None), encode=EncodeRequest("hevc", 21.5, None, "fast", "yuv420p")),
    RenderJob(
        "a.mp4",
        "b.mp4",
        (parse_task("lip-sync:face=like:bob.jpg#2"),),
        "a.wav",
        sound="main",
        speakers=(Speaker("track:2", "b.wav"), Speaker("like:ann.jpg", "s3://v/c d.wav")),
    ),
    RenderJob(
        "a.mp4",
        "b.mp4",
        encode=EncodeRequest(qp=0),
        segment_seconds=2.5,
        damaged="repeat",
        alpha="fail",
        decoder="nvdec",
    ),
    RenderJob("a.mp4", "b.mp4", deinterlace=True, bake_rotation=True, overwrite=True, keep_parts=True, work="s3://w/x"),
    RenderJob("a.mp4", "b.mp4", (parse_task("rehearsal:fail_at=3"), parse_task("identity"))),
    RenderJob("a.mp4", "b.mp4", quality=True, quality_gate=(("sharpness", 0.6), ("sync", 0.3))),
    RenderJob("a.mp4", "b.mp4", storage_options=(("endpoint_url", "http://localhost:9000"),)),
]


def parsed(command: str) -> RenderJob:
    words = shlex.split(command)
    assert words[:2] == ["reelyard", "render"]
    group: Any = typer.main.get_command(app)
    context = group.commands["render"].make_context("render", words[2:])
    return job_of(RenderOptions(**context.params))


@pytest.mark.parametrize("job", JOBS, ids=range(len(JOBS)))
def test_the_command_asks_for_the_same_job(job: RenderJob) -> None:
    assert parsed(command_of(job)) == job


def test_no_secret_is_told() -> None:
    job = RenderJob("a.mp4", "b.mp4", storage_options=(("key", "AKIA"), ("secret", "hidden"), ("token", "t0ken")))
    assert not any(word in command_of(job) for word in ("AKIA", "hidden", "t0ken"))
