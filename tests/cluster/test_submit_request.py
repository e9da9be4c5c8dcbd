"""What is sent to a cluster, under which name, and how it is followed: without any cluster."""

import itertools
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cluster.address import JOB_MARK
from cluster.cli import app
from cluster.cli.jobs import exit_code_of, outcome
from cluster.cli.submit import start_or_find
from cluster.packages import own_code
from cluster.submit.address import dashboard_address
from cluster.submit.arrival import check_arrival, code_mark
from cluster.submit.client import AlreadySubmitted, Cluster, connect, told_by, use_token
from cluster.submit.follow import GIVE_UP_SECONDS, follow
from cluster.submit.jobs import SubmittedJob, content_hash, find_job, next_step, running_job
from cluster.submit.places import Reads, refuse_secrets, seen_from_cluster
from cluster.submit.request import Start, choose_start, entrypoint, request_of, working_folder
from cluster.submit.shipping import staged
from cluster.submit.spelling import spelled
from pipeline.storage import Storage
from tasks.errors import JobError, WorkerLost
from tests.stores import http_server

RENDER: Any = typer.main.get_command(app).commands["render"]  # type: ignore[attr-defined]
READS = Reads(inputs=("source", "audio"), outputs=("output", "work", "report"))


def parsed(*words: str) -> dict[str, object]:
    return dict(RENDER.make_context("render", list(words)).params)


# Names and attempts.


def job(id: str, status: str = "SUCCEEDED", began: float = 1.0, **more: Any) -> SubmittedJob:
    return SubmittedJob(id, status, started_seconds=began, ended_seconds=began + 61, **more)


def test_the_same_content_follows_while_it_runs_and_is_the_next_attempt_after_it_ended() -> None:
    content, other = content_hash(["render", "a"]), content_hash(["render", "b"])
    assert content != other
    assert next_step(content, []).id == f"reelyard-{content}-1"
    ended = [job(f"reelyard-{content}-{n}", "FAILED") for n in (1, 10, 9)]
    step = next_step(content, [*ended, job(f"reelyard-{other}-44", "RUNNING"), job("raysubmit_x", "RUNNING")])
    assert (step.id, step.running) == (f"reelyard-{content}-11", None)
    assert step.before == ended[1]
    for status in ("PENDING", "RUNNING"):
        runs = job(f"reelyard-{content}-11", status)
        assert next_step(content, [*ended, runs]).running == runs


def test_a_job_is_found_by_what_a_person_would_type() -> None:
    one, two = job("reelyard-aaaaaaaaaaaa-1", began=1), job("reelyard-aaaaaaaaaaaa-2", began=2)
    other, foreign = job("reelyard-bbbbbbbbbbbb-1", began=3), job("raysubmit_1", began=9)
    jobs = [two, foreign, one, other]
    assert find_job(None, jobs) == other
    assert find_job("reelyard-aaaaaaaaaaaa-1", jobs) == one
    assert find_job("reelyard-aaaaaaaaaaaa", jobs) == two
    assert find_job("reelyard-b", jobs) == other
    assert find_job("raysubmit_1", jobs) == foreign
    with pytest.raises(JobError, match="write more of its id"):
        find_job("reelyard-", jobs)
    with pytest.raises(JobError, match="not on this cluster; found raysubmit_1 \\(SUCCEEDED\\), reelyard-bbb"):
        find_job("reelyard-c", jobs)
    with pytest.raises(JobError, match="no job of Reelyard on this cluster"):
        find_job(None, [foreign])


def test_what_is_stopped_without_an_id_is_the_only_one_that_runs() -> None:
    ended, runs = job("reelyard-aaaaaaaaaaaa-1"), job("reelyard-bbbbbbbbbbbb-1", "RUNNING")
    assert running_job(None, [ended, runs]) == runs
    assert running_job("reelyard-aaaaaaaaaaaa-1", [ended, runs]) == ended
    with pytest.raises(JobError, match="several jobs run: .*say which one"):
        running_job(None, [runs, job("reelyard-cccccccccccc-1", "PENDING")])
    with pytest.raises(JobError, match="no job of Reelyard runs"):
        running_job(None, [ended])


# The command, spelled out again.

_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=12)


@given(
    source=_TEXT, output=_TEXT, audio=st.none() | _TEXT, label=st.none() | _TEXT,
    tasks=st.lists(_TEXT, max_size=3), crf=st.none() | st.floats(-1e6, 1e6), qp=st.none() | st.integers(-9, 99),
    flags=st.sets(st.sampled_from(["--overwrite", "--keep-parts", "--deinterlace", "--bake-rotation"])),
)  # fmt: skip
def test_a_command_spelled_out_again_means_the_same(
    source: str, output: str, audio: str | None, label: str | None, tasks: list[str], crf: float | None,
    qp: int | None, flags: set[str],
) -> None:  # fmt: skip
    words = [*flags, f"--output={output}", *(f"--task={task}" for task in tasks)]
    for name, value in (("audio", audio), ("label", label), ("crf", crf), ("qp", qp)):
        words += [f"--{name}={value}"] if value is not None else []
    values = parsed(*words, "--", source)
    again = spelled(RENDER, values)
    assert parsed(*again) == values
    assert spelled(RENDER, parsed(*again)) == again


def test_the_order_of_options_and_spelled_defaults_make_no_other_job() -> None:
    def content(*words: str) -> str:
        return request_of(RENDER, parsed(*words), READS, one_machine=False, stage=None).content

    one = content("s3://in/a.mp4", "-o", "s3://out/a.mp4", "--crf", "20", "--codec", "h264")
    assert one == content("--codec=h264", "--crf", "20.0", "s3://in/a.mp4", "--device", "auto", "-o", "s3://out/a.mp4")
    assert one != content("s3://in/a.mp4", "-o", "s3://out/a.mp4", "--crf", "21", "--codec", "h264")


def test_the_shell_of_the_cluster_reads_the_words_as_they_were_typed() -> None:
    import shlex

    values = parsed("s3://in/it's $HOME; rm.mp4", "-o", "s3://out/a b.mp4", "--label", 'say "x" `y`')
    request = request_of(RENDER, values, READS, one_machine=False, stage=None)
    line = entrypoint(Start(("reelyard",), ""), request)
    words = shlex.split(line)
    assert words[:2] == ["reelyard", "render"]
    assert parsed(*words[2:]) == values
    assert "\n" not in line


# What must not travel, and what would mean something else there.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--storage-option", "secret=abc"), "--storage-option secret=…: everyone who sees"),
        (("--storage-option", "key=abc"), "a service account, or AWS_ACCESS_KEY_ID"),
        (("--storage-option", "endpoint_url=http://me:abc@host"), "http://host: holds a user name and password"),
        (("--audio", "https://b.s3.amazonaws.com/v.wav?X-Amz-Signature=abc&x=1"), "holds a signature or token"),
        (("--audio", "https://h/v.wav?sig=abc"), "holds a signature or token"),
        (("--audio", "https://me:abc@host/v.wav"), "https://host/v.wav: holds a user name and password"),
    ],
)
def test_a_secret_is_refused_and_not_repeated(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(JobError) as refused:
        refuse_secrets(parsed("s3://in/a.mp4", "-o", "s3://out/a.mp4", *words))
    assert told in refused.value.message
    assert "abc" not in refused.value.message


def test_what_everyone_may_see_travels() -> None:
    refuse_secrets(
        parsed(
            "https://host/a.mp4?version=3", "-o", "s3://out/a.mp4", "--storage-option", "endpoint_url=http://minio:9000",
            "--storage-option", "region=eu-west-1", "--storage-option", "anon=true",
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("in.mp4", "-o", "s3://out/a.mp4"), "source in.mp4: a path of this machine, which the cluster cannot read"),
        (("s3://in/a.mp4", "-o", "a.mp4"), "output a.mp4: a path of this machine, where the cluster cannot write"),
        (("s3://in/a.mp4", "-o", "s3://out/a.mp4", "--report", "r.json"), "report r.json: a path of this machine"),
        (("s3://in/a.mp4", "-o", "s3://out/a.mp4", "--work", "file:///w"), "work file:///w: a path of this machine"),
        (("s3://in/a.mp4", "-o", "s3://out/a.mp4", "--audio", "v.wav"), "reelyard submit --stage s3://BUCKET/PREFIX"),
        (("http://localhost:80/a.mp4", "-o", "s3://out/a.mp4"), "means another machine on the cluster"),
        (
            ("s3://in/a", "-o", "s3://out/a.mp4", "--storage-option", "endpoint_url=http://127.0.0.1:9000"),
            "means another machine on the cluster",
        ),
        (("memory://a.mp4", "-o", "s3://out/a.mp4"), "lies in the memory of one process"),
    ],
)
def test_what_a_cluster_elsewhere_cannot_reach_is_refused(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(JobError) as refused:
        seen_from_cluster(parsed(*words), READS, one_machine=False, stage=None)
    assert told in refused.value.message


def test_on_this_machine_alone_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = parsed("in.mp4", "-o", "sub/../out.mp4", "--audio", f"file://{tmp_path}/v%20v.wav", "--work", "s3://b/w")
    seen = seen_from_cluster(values, READS, one_machine=True, stage=None)
    assert seen["source"] == str(tmp_path / "in.mp4")
    assert seen["output"] == str(tmp_path / "out.mp4")
    assert seen["audio"] == str(tmp_path / "v v.wav")
    assert seen["work"] == "s3://b/w"
    assert {k: v for k, v in seen.items() if values[k] != v}.keys() == {"source", "output", "audio"}


def test_files_inside_of_words_become_absolute_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = (
        *(
            "a.mp4",
            "-o",
            "out.mp4",
            "--face",
            "like:bob.jpg#2",
            "--speaker",
            "2=b.wav",
            "--speaker",
            "like:ann.jpg=c.wav",
        ),
        *("--task", "lip-sync:model=./x.pth,face=like:bob.jpg", "--identity", "./arc.pth"),
    )
    seen = seen_from_cluster(parsed(*words), READS, one_machine=True, stage=None)
    assert seen["face"] == f"like:{tmp_path}/bob.jpg#2"
    assert seen["speaker"] == [f"track:2={tmp_path}/b.wav", f"like:{tmp_path}/ann.jpg={tmp_path}/c.wav"]
    assert seen["task"] == [f"lip-sync:face=like:{tmp_path}/bob.jpg,model={tmp_path}/x.pth"]
    assert seen["identity"] == f"{tmp_path}/arc.pth"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--speaker", "2=b.wav"), "input b.wav: a path of this machine, which the cluster cannot read"),
        (("--face", "like:bob.jpg"), "input bob.jpg: a path of this machine"),
        (("--task", "lip-sync:model=./x.pth"), "weights ./x.pth: a path of this machine.*an absolute path"),
    ],
)
def test_files_inside_of_words_are_refused_elsewhere(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(JobError, match=told):
        values = parsed("s3://i/a.mp4", "-o", "s3://o/a.mp4", *words)
        seen_from_cluster(values, READS, one_machine=False, stage=None)


def test_files_inside_of_words_are_staged_and_weights_of_every_node_stay() -> None:
    words = ("s3://i/a.mp4", "-o", "s3://o/a.mp4", "--face", "like:bob.jpg", "--speaker", "left=b.wav")
    values = parsed(*words, "--task", "lip-sync:model=/models/x.pth")
    seen = seen_from_cluster(values, READS, one_machine=False, stage=lambda path: f"s3://s/{path}")
    assert seen["face"] == "like:s3://s/bob.jpg"
    assert seen["speaker"] == ["left=s3://s/b.wav"]
    assert seen["task"] == ["lip-sync:model=/models/x.pth"]


def test_local_inputs_are_uploaded_once_by_content(tmp_path: Path, s3_options: Mapping[str, str]) -> None:
    storage = Storage(dict(s3_options))
    (tmp_path / "in.mp4").write_bytes(b"first")

    def stage(path: str) -> str:
        return staged(storage, path, "s3://bucket/stage/")

    values = parsed(str(tmp_path / "in.mp4"), "-o", "s3://bucket/out.mp4")
    seen = seen_from_cluster(values, READS, one_machine=False, stage=stage)
    uri = str(seen["source"])
    assert uri.startswith("s3://bucket/stage/")
    assert uri.endswith("/in.mp4")
    assert storage.read(uri) == b"first"
    before = storage.identity(uri)
    assert seen_from_cluster(values, READS, one_machine=False, stage=stage)["source"] == uri
    assert storage.identity(uri) == before
    (tmp_path / "in.mp4").write_bytes(b"other")
    other = str(seen_from_cluster(values, READS, one_machine=False, stage=stage)["source"])
    assert other != uri
    assert storage.read(uri) == b"first"


def test_a_list_travels_under_a_name_that_tells_its_content(tmp_path: Path) -> None:
    file = tmp_path / "videos.jsonl"
    file.write_text("one")
    reads = Reads((), (), lists=("source",))
    values = parsed(str(file), "-o", "s3://out/a.mp4")
    first = request_of(RENDER, values, reads, one_machine=False, stage=None)
    with working_folder(Start(("reelyard",), ""), first) as folder:
        assert folder is not None
        assert (Path(folder) / first.arguments[1]).read_text() == "one"
        assert [p.name for p in Path(folder).iterdir()] == [first.arguments[1]]
    assert not Path(folder).exists()
    here = request_of(RENDER, values, reads, one_machine=True, stage=None)
    assert here.arguments[1] == str(file)
    file.write_text("two")
    assert request_of(RENDER, values, reads, one_machine=False, stage=None).content != first.content
    assert request_of(RENDER, values, reads, one_machine=True, stage=None).content != here.content


def test_a_pattern_in_the_place_of_a_list_stays_a_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reads = Reads((), (), lists=("source",))

    def asked(source: str, one_machine: bool) -> str:
        return request_of(
            RENDER, parsed(source, "-o", "s3://o/a"), reads, one_machine=one_machine, stage=None
        ).arguments[1]

    assert asked("s3://in/*.mp4", False) == "s3://in/*.mp4"
    assert asked("clips/*.mp4", True) == str(tmp_path / "clips" / "*.mp4")
    assert asked("clips/", True) == f"{tmp_path}/clips/"
    with pytest.raises(JobError, match="source clips/: a path of this machine, which the cluster cannot read"):
        asked("clips/", False)


def test_shipped_code_is_this_code_and_starts() -> None:
    from cluster.packages import code_digest

    request = request_of(RENDER, parsed("s3://i", "-o", "s3://o"), READS, one_machine=False, stage=None)
    start = choose_start(True, None, one_machine=False)
    assert entrypoint(start, request).startswith("python reelyard.py render ")
    with working_folder(start, request) as folder:
        assert folder is not None
        assert code_digest(Path(folder)) == own_code().digest
        assert (Path(folder) / "reelyard.py").is_file()
        assert sum(p.stat().st_size for p in Path(folder).rglob("*")) < 20e6
    assert choose_start(False, None, one_machine=False).words == ("reelyard",)
    assert choose_start(False, "/opt/python", one_machine=False).words == ("/opt/python", "-m", "reelyard")
    with working_folder(choose_start(False, None, one_machine=False), request) as folder:
        assert folder is None


def test_another_reelyard_on_the_cluster_refuses_the_job() -> None:
    ours = f'{{"metadata": {{"reelyard_code": "{code_mark(own_code())}"}}}}'
    check_arrival({}, own_code())
    check_arrival({JOB_MARK: ours}, own_code())
    check_arrival({JOB_MARK: '{"runtime_env": {}}'}, own_code())
    with pytest.raises(JobError, match="is not the one that submitted this job \\(0000\\).*--ship"):
        check_arrival({JOB_MARK: '{"metadata": {"reelyard_code": "0000"}}'}, own_code())


# Where the cluster is.


@pytest.mark.parametrize(
    ("asked", "environment", "found"),
    [
        ("http://head:8265", {}, "http://head:8265"),
        ("https://ray.example.com/team/", {}, "https://ray.example.com/team"),
        ("head", {}, "http://head:8265"),
        ("head:8080", {"RAY_ADDRESS": "http://other:1"}, "http://head:8080"),
        (None, {}, "http://127.0.0.1:8265"),
        (None, {"RAY_ADDRESS": "head:6379"}, "http://127.0.0.1:8265"),
        (None, {"RAY_ADDRESS": "http://other:8265"}, "http://other:8265"),
        (None, {"RAY_ADDRESS": "http://x:1", "RAY_API_SERVER_ADDRESS": "http://y:2"}, "http://y:2"),
    ],
)
def test_the_dashboard_is_found(asked: str | None, environment: dict[str, str], found: str) -> None:
    assert dashboard_address(asked, environment) == found


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("auto", "expected the address of the cluster's dashboard, as http://HEAD:8265"),
        ("ray://head:10001", "expected the address of the cluster's dashboard"),
        ("head:6379", "found the port that Ray's own processes join"),
        ("ftp://head:8265", "expected the address"),
        ("http://head:port", "expected the address"),
        ("", "expected the address"),
        ("http://me:abc@head:8265", "and a token in RAY_AUTH_TOKEN"),
    ],
)
def test_what_is_no_dashboard_is_refused(asked: str, told: str) -> None:
    with pytest.raises(JobError) as refused:
        dashboard_address(asked, {})
    assert told in refused.value.message


# The log, followed.


class Flaky:
    """A cluster whose connections end after so many characters: cut (lost) or quiet (ended by themselves)."""

    def __init__(self, log: str, ends: list[tuple[int, str]], away: int = 0, status: str = "SUCCEEDED") -> None:
        self.text, self.ends, self.away, self.status = log, list(ends), away, status

    def job(self, id: str) -> SubmittedJob:
        if self.away and self.ends:
            self.away -= 1
            raise WorkerLost("http://head: does not answer")
        return job(id, "RUNNING" if self.ends else self.status)

    def log(self, id: str) -> str:
        return self.text

    def tail(self, id: str) -> Iterator[str]:
        length, end = self.ends.pop(0) if self.ends else (len(self.text), "quiet")
        told = self.text[:length]
        yield from (told[n : n + 7] for n in range(0, len(told), 7))
        if end == "cut":
            raise WorkerLost("http://head: closed in the middle")


@given(
    log=st.text(max_size=60),
    ends=st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["cut", "quiet"])), max_size=6),
    away=st.integers(0, 4),
)
def test_every_character_of_the_log_is_shown_once(log: str, ends: list[tuple[int, str]], away: int) -> None:
    shown: list[str] = []
    ended = follow(Flaky(log, ends, away), "reelyard-x", shown.append, lambda line: None, pause=lambda wait: None)
    assert "".join(shown) == log
    assert ended.status == "SUCCEEDED"


def test_a_lost_connection_is_told_once_and_so_is_its_return() -> None:
    said: list[str] = []
    cluster = Flaky("abc", [(1, "cut"), (1, "cut"), (2, "cut"), (3, "quiet")], away=2)
    follow(cluster, "reelyard-x", lambda text: None, said.append, pause=lambda wait: None)
    assert said == [
        "connection lost (http://head: does not answer); the job goes on, trying again",
        "connected again",
    ]


def test_a_cluster_that_stays_away_ends_the_following_and_not_the_job() -> None:
    waited: list[float] = []
    cluster = Flaky("abc", [(1, "cut")] * 200, away=10_000)
    with pytest.raises(WorkerLost, match="the job may still run"):
        follow(cluster, "reelyard-x", lambda text: None, lambda line: None, pause=waited.append)
    assert GIVE_UP_SECONDS - 30 < sum(waited) < GIVE_UP_SECONDS + 30
    assert all(later >= sooner for sooner, later in itertools.pairwise(waited))


def test_a_log_that_went_with_its_node_does_not_hide_the_end() -> None:
    class Gone(Flaky):
        def log(self, id: str) -> str:
            raise WorkerLost("http://head: no agent")

    said: list[str] = []
    ended = follow(Gone("abc", [], status="FAILED"), "x", lambda text: None, said.append, pause=lambda wait: None)
    assert ended.status == "FAILED"
    assert said == ["the rest of its log cannot be read: http://head: no agent"]


# The end.


@pytest.mark.parametrize(
    ("status", "driver", "partial_ok", "code"),
    [
        ("SUCCEEDED", 0, False, 0),
        ("FAILED", 1, False, 1),
        ("FAILED", 2, False, 2),
        ("FAILED", 3, False, 3),
        ("FAILED", 3, True, 0),
        ("FAILED", 2, True, 2),
        ("FAILED", 130, False, 130),
        ("FAILED", 127, False, 1),
        ("FAILED", -9, False, 1),
        ("FAILED", None, True, 1),
        ("STOPPED", None, True, 130),
    ],
)
def test_the_exit_code_is_the_drivers_own(status: str, driver: int | None, partial_ok: bool, code: int) -> None:
    assert exit_code_of(job("reelyard-x", status, driver_exit_code=driver), partial_ok) == code


def test_an_end_says_what_to_do() -> None:
    assert outcome(job("j", "SUCCEEDED", driver_exit_code=0)) == "j: SUCCEEDED in 1:01"
    assert "the same submit again goes on where it was" in outcome(job("j", "STOPPED"))
    assert "the same submit again goes on where it was" in outcome(job("j", "FAILED", driver_exit_code=1))
    assert "add --ship" in outcome(job("j", "FAILED", driver_exit_code=127))
    assert "the request was refused there" in outcome(job("j", "FAILED", driver_exit_code=2))
    lost = outcome(job("j", "FAILED", message="long\n\nThe actor died because its node has died."))
    assert lost.startswith("j: FAILED after 1:01: The actor died because its node has died.")


# What is refused before any cluster is asked.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("plan", "in.mp4"), "plan cannot be submitted; expected one of render"),
        (("render", "in.mp4"), "found no output; give -o OUTPUT.mp4"),
        (("render", "s3://in/a.mp4", "-o", "s3://o/a.mp4", "--no-such"), "No such option"),
        (("render", "s3://in/a.mp4", "-o", "s3://o/a.avi"), "found ending 'avi'"),
        (("render", "no.mp4", "-o", "s3://o/a.mp4"), "no such file"),
        (("render", "s3://in/a.mp4", "-o", "s3://o/a.mp4", "--in-process"), "renders on its cluster; leave it out"),
        (("render", "s3://i/a.mp4", "-o", "s3://o/a.mp4", "--address", "h:1"), "reelyard submit --address http://HEAD"),
        (
            ("render", "s3://in/a.mp4", "-o", "s3://o/a.mp4", "--storage-option", "token=abc"),
            "--storage-option token=…",
        ),
        (("--stage", "here", "render", "s3://in/a.mp4", "-o", "s3://o/a.mp4"), "--stage here: expected object storage"),
        (("--address", "head:6379", "render", "s3://in/a.mp4", "-o", "s3://o/a.mp4"), "Ray's own processes join"),
    ],
)
def test_a_bad_submit_is_refused_here(
    words: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cluster.submit.client.connect", lambda address: pytest.fail("a cluster was asked"))
    found = CliRunner().invoke(app, ["submit", *words])
    assert found.exit_code == 2, found.output
    assert told in " ".join(found.stderr.replace("│", " ").split()), found.stderr
    assert list(tmp_path.iterdir()) == []


# Two submits in one moment, and what answers instead of a cluster.


class Racing:
    """A cluster on which somebody else is always a little faster, so many times."""

    address = "http://head:8265"

    def __init__(self, lost: int, end: str) -> None:
        self.known: list[SubmittedJob] = []
        self.sent: list[str] = []
        self.lost, self.end = lost, end

    def jobs(self) -> list[SubmittedJob]:
        return self.known

    def submit(self, submission: Any) -> None:
        if self.lost:
            self.lost -= 1
            self.known = [*self.known, job(submission.id, self.end)]
            raise AlreadySubmitted("taken")
        self.sent.append(submission.id)


@pytest.mark.parametrize(("end", "sent"), [("RUNNING", []), ("FAILED", ["3"])])
def test_a_submit_that_comes_second_follows_the_first_or_is_the_next_attempt(end: str, sent: list[str]) -> None:
    cluster: Any = Racing(lost=1 if end == "RUNNING" else 2, end=end)
    request = request_of(RENDER, parsed("s3://i", "-o", "s3://o"), READS, one_machine=False, stage=None)
    step = start_or_find(cluster, request, choose_start(False, None, one_machine=False))
    assert [id.rpartition("-")[2] for id in cluster.sent] == sent
    assert step.id == f"reelyard-{request.content}-{sent[0] if sent else 1}"


def test_what_answers_instead_of_a_dashboard_is_told(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "version").write_text("<html>Log in</html>")
    with http_server(tmp_path) as (url, _), pytest.raises(JobError, match="answers, but not as a Ray dashboard"):
        connect(url)
    with pytest.raises(JobError, match=r"does not answer; .*`ray start --head` starts one here, `kubectl port-forward"):
        connect(url)


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("Request failed with status code 404: Job x does not exist.", JobError, "Job x does not exist"),
        ("Request failed with status code 413: Too large", JobError, "a proxy refuses uploads of this size"),
        ("Request failed with status code 502: Bad gateway", WorkerLost, "Bad gateway"),
        ("WebSocket connection closed unexpectedly with close code 1006", WorkerLost, "closed unexpectedly"),
        ("status code 400: ValueError: Job with submission_id a-1 already exists.", AlreadySubmitted, "submit again"),
    ],
)
def test_an_answer_of_the_cluster_is_told_by_whether_another_try_helps(text: str, kind: type, told: str) -> None:
    with pytest.raises(kind) as raised, told_by("http://head:8265"):
        raise RuntimeError(text)
    assert type(raised.value) is kind
    assert told in str(raised.value)
    assert type(pickle.loads(pickle.dumps(raised.value))) is kind


def test_a_token_at_hand_is_sent_where_no_mode_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)

    def mode(**environment: str) -> str | None:
        use_token(environment)
        return environment.get("RAY_AUTH_MODE")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(_raylet=SimpleNamespace(Config=_NoConfig)))
    assert mode() is None
    assert mode(RAY_AUTH_TOKEN="t") == "token"
    assert mode(RAY_AUTH_TOKEN_PATH="/t") == "token"
    assert mode(RAY_AUTH_TOKEN="t", RAY_AUTH_MODE="disabled") == "disabled"
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("t")
    assert mode() == "token"


class _NoConfig:
    @staticmethod
    def initialize(text: str) -> None: ...


class Told:
    """Answers of a dashboard."""

    def __init__(self, session: str, *hosts: str) -> None:
        self.session, self.hosts, self.asked_for = session, hosts, 0

    def asked(self, endpoint: str) -> Any:
        if endpoint == "/api/version":
            return {"session_name": self.session}
        self.asked_for += 1
        known = self.hosts if self.asked_for > 1 else ()  # As of a head that was just started.
        nodes = [{"node_ip": host, "state": "ALIVE"} for host in known] + [{"node_ip": "9.9.9.9", "state": "DEAD"}]
        return {"data": {"result": {"result": nodes}}}


def test_a_cluster_is_this_machine_where_its_own_processes_run() -> None:
    here = "session_2026-11-21_10-00-00_1_2"
    sleeper = subprocess.Popen(
        [sys.executable, "-c", "input()", f"--log_dir=/tmp/ray/{here}/logs"], stdin=subprocess.PIPE
    )
    try:
        assert Cluster("http://h", Told(here, "10.0.0.1")).on_this_machine()
        assert Cluster("http://h", Told(here, "10.0.0.1", "10.0.0.1")).on_this_machine()
        assert not Cluster("http://h", Told(here, "10.0.0.1", "10.0.0.2")).on_this_machine()
        assert not Cluster("http://127.0.0.1", Told("session_of_another_machine", "127.0.0.1")).on_this_machine()
    finally:
        sleeper.communicate(b"\n")
