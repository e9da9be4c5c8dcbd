"""From what was typed to a job: every bad input is refused before anything starts, in these words."""

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from cluster.cli.options import RenderOptions
from cluster.cli.request import check_device, job_of
from pipeline.weights import check_models, with_weights
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


def test_the_height_goes_to_the_task_that_makes_it() -> None:
    job = job_of(_options(task=["lip-sync", "upscale"], audio="v.wav", height="2160"))
    assert job.tasks[1].option("height") == "2160"


def test_no_task_means_the_source_unchanged() -> None:
    assert job_of(_options()).tasks == ()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"task": ["lipsync"]}, "lip-sync"),
        ({"task": ["lip-sync:fase=left"]}, "face"),
        ({"face": "left"}, "none of the tasks takes it .found no task.; add --task lip-sync"),
        ({"height": "2160"}, "none of the tasks takes it .found no task.; add --task upscale"),
        ({"height": "2160", "task": ["upscale:height=tall"]}, "expected auto, or 16 to 16384 lines"),
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


def _job_file(folder: Path, text: str, name: str = "job.yaml") -> str:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / name).write_text(text)
    return str(folder / "in" / name)


def test_a_job_file_says_what_options_say_and_options_override_it(tmp_path: Path) -> None:
    written = _job_file(
        tmp_path,
        "source: a.mp4\noutput: ../out/a.mp4\naudio: v.wav\ntask: {lip-sync: {sync_offset: 20}}\nface: left\n"
        "trim: 1:2.5\nframe_rate: 29.97\ncrf: 20\ndeinterlace: true\n",
    )
    typed = _options(
        source=str(tmp_path / "in/a.mp4"), output=str(tmp_path / "out/a.mp4"), audio=str(tmp_path / "in/v.wav"),
        task=["lip-sync:sync_offset=20"], face="left", trim="1:2.5", frame_rate="29.97", crf=20.0, deinterlace=True,
    )  # fmt: skip
    assert job_of(RenderOptions(job=written)) == job_of(typed)
    changed = job_of(RenderOptions(job=written, crf=30.0, output="x.mkv"))
    assert (changed.encode.crf, changed.output, changed.label) == (30.0, str(Path("x.mkv").absolute()), None)
    json = _job_file(tmp_path, '{"source": "a.mp4"}', "job.json")
    assert job_of(RenderOptions(job=json, output="o.mp4")).source == str(tmp_path / "in/a.mp4")


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("source: a.mp4\nsauce: b\n", "job.yaml", "line 1: 'sauce' is no field: did you mean 'source'"),
        ("source: a.mp4\ncrf: x\n", "job.yaml", "--crf: found 'x', expected a number"),
        ("[a.mp4, b.mp4]", "job.yaml", "found 2 jobs, expected one; reelyard batch .*job.yaml renders many"),
        ("source: a.mp4", "job.yaml", "found no output; give -o OUTPUT.mp4"),
        ("source: a.mp4", "job.txt", "expected a job written in .yaml or .json"),
    ],
)
def test_a_bad_job_file_is_refused_in_words_that_help(tmp_path: Path, text: str, name: str, words: str) -> None:
    with pytest.raises(JobError, match=words):
        job_of(RenderOptions(job=_job_file(tmp_path, text, name)))


def test_a_job_without_a_source_or_an_output_is_refused() -> None:
    with pytest.raises(JobError, match="found no source; name a photo or a video, or --job FILE"):
        job_of(RenderOptions(output="o.mp4"))
    with pytest.raises(JobError, match="found no output; give -o OUTPUT.mp4"):
        job_of(RenderOptions(source="a.mp4"))


def test_a_model_of_the_user_s_own_catalogue_is_known_by_its_name(tmp_path: Path) -> None:
    weights = tmp_path / "mine.pth"
    weights.write_bytes(b"numbers")
    sha256 = hashlib.sha256(b"numbers").hexdigest()
    (tmp_path / "own.toml").write_text(
        f'[models.my-lips]\ntask = "lip sync"\narchitecture = "wav2lip-96"\nfile = "mine.pth"\nsha256 = "{sha256}"\n'
        'licence = "ours"\nurls = ["mine.pth"]\n'
    )
    asked = _options(task=["lip-sync:model=my-lips"], catalogue=[str(tmp_path / "own.toml")])
    job = job_of(asked)
    check_models(job.tasks[0], job.catalogue)
    (found,) = with_weights(job.tasks[0], added=job.catalogue).weights
    assert (found.sha256, found.uris) == (sha256, (str(weights),))
    with pytest.raises(JobError, match="there is no model 'my-lips'.*`reelyard models list` shows all"):
        check_models(job.tasks[0])
    with pytest.raises(JobError, match=r"none\.toml: cannot be read"):
        job_of(_options(catalogue=[str(tmp_path / "none.toml")]))
