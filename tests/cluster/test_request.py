"""From what was typed to a job: every bad input is refused before anything starts, in these words."""

from fractions import Fraction
from typing import Any

import pytest

from cluster.cli.options import RenderOptions
from cluster.cli.request import check_device, job_of
from tasks.errors import JobError


def _options(**changed: Any) -> RenderOptions:
    return RenderOptions(**{"source": "in.mp4", "output": "out.mp4", **changed})


def test_what_is_typed_arrives_in_the_job() -> None:
    job = job_of(
        _options(
            task=["lip-sync:no_face=fail"], audio="v.wav", fit="audio", face="left", frame_rate="29.97",
            trim="1:2.5", label="synthetic", crf=20.0, preset="fast",
            storage_option=["region=eu", "anon=true"],
        )
    )  # fmt: skip
    assert dict(job.tasks[0].options) | {"face": "left", "no_face": "fail"} == dict(job.tasks[0].options)
    assert job.frame_rate == Fraction(30000, 1001)
    assert job.trim == (Fraction(1), Fraction(5, 2))
    assert job.fit == "audio:ping-pong"
    assert job.encode.crf == 20.0
    assert job.storage_options == (("anon", "true"), ("region", "eu"))


def test_no_task_means_the_source_unchanged() -> None:
    assert job_of(_options()).tasks == ()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"task": ["lipsync"]}, "lip-sync"),
        ({"task": ["lip-sync:fase=left"]}, "face"),
        ({"face": "left"}, "none of the tasks takes it .found no task.; add --task lip-sync"),
        ({"no_face": "keep", "task": ["identity"]}, "found identity"),
        ({"face": "left", "task": ["lip-sync", "lip-sync"]}, "--task NAME:face=left"),
        ({"task": ["lip-sync"], "face": "middle"}, "largest, all, left, right"),
        ({"fit": "video"}, "--audio FILE"),
        ({"fit": "stretch", "audio": "v.wav"}, "expected one of audio:ping-pong"),
        ({"frame_rate": "fast"}, "expected 25, 29.97 or 30000/1001"),
        ({"frame_rate": "0"}, "more than 0"),
        ({"trim": "5:2"}, "the end is not after the start"),
        ({"crf": 20.0, "qp": 20}, "give one of them"),
        ({"segment_seconds": 0.0}, "expected 0.1 to 600 seconds"),
        ({"label": "  "}, "expected some words"),
        ({"damaged": "skip"}, "expected one of fail, repeat"),
        ({"alpha": "keep"}, "expected one of drop, fail"),
        ({"storage_option": ["region"]}, "expected KEY=VALUE"),
        ({"storage_option": ["a=1", "a=2"]}, "found twice"),
    ],
)
def test_a_bad_request_is_refused_in_words_that_help(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(JobError, match=words):
        job_of(_options(**changed))


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_devices_that_may_be_asked_for(device: str) -> None:
    assert check_device(device) == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", ""])
def test_other_devices_are_refused(device: str) -> None:
    with pytest.raises(JobError, match="expected one of auto, cpu, cuda"):
        check_device(device)
