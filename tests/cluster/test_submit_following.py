"""How a cluster is found, and a job on it followed to its end: without any cluster."""

import itertools
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cluster.cli import app
from cluster.cli.jobs import exit_code_of, outcome
from cluster.cli.submit import start_or_find
from cluster.submit.address import dashboard_address
from cluster.submit.client import AlreadySubmitted, Cluster, connect, told_by, use_token
from cluster.submit.follow import GIVE_UP_SECONDS, follow
from cluster.submit.jobs import SubmittedJob
from cluster.submit.request import choose_start, request_of
from tasks.errors import JobError, WorkerLost
from tests.cluster.submitted import READS, RENDER, job, parsed
from tests.stores import http_server

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
