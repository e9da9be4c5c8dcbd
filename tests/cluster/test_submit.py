"""`reelyard submit` against heads started by `ray start --head`, from a folder that holds the user's own files."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from pipeline.storage import Storage
from tests.cluster.conftest import FRAMES, numbers_of, write_numbered
from tests.cluster.heads import Head, ray_head
from tests.cluster.proxies import proxy_to

ROOT = Path(__file__).resolve().parents[2]
_SHADOW = "raise SystemExit('the user's own file was imported')\n"
_SCRIPT = f"#!{sys.executable}\nimport sys\nfrom reelyard import main\nsys.exit(main())\n"
#: The same command where nothing tells that the cluster is this machine.
_ELSEWHERE = """import sys
from reelyard import OwnPackages, main
sys.meta_path.insert(0, OwnPackages)
from cluster.submit.client import Cluster
Cluster.on_this_machine = lambda cluster: False
sys.exit(main())
"""
#: The same, of another version than the cluster's.
_CHANGED = _ELSEWHERE.replace(
    "Cluster.on", "import cluster.submit.arrival\ncluster.submit.arrival.code_mark = lambda code: '0000'\nCluster.on"
)
_TOKEN = "5f2b0c4f9d5e4a70b3a1c6d8e7f90123"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Path:
    """A folder of a user's, whose files bear the names of our packages; the commands lie in `bin` beside it."""
    here = tmp_path_factory.mktemp("submit") / "of the user"
    (here / "pipeline").mkdir(parents=True)
    for name in ("tasks.py", "cluster.py", "pipeline/__init__.py"):
        (here / name).write_text(_SHADOW)
    (here / "in.mp4").write_bytes(source.read_bytes())
    bin = here.parent / "bin"
    bin.mkdir()
    (bin / "reelyard").write_text(_SCRIPT)
    (bin / "reelyard").chmod(0o755)
    (bin / "elsewhere").write_text(_ELSEWHERE)
    (bin / "changed").write_text(_CHANGED)
    return here


@pytest.fixture(scope="module")
def closed(folder: Path, s3_options: Mapping[str, str]) -> Iterator[Head]:
    """A head that asks for a token."""
    with ray_head({**_cluster(folder, s3_options), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN}) as head:
        yield head


@pytest.fixture(scope="module")
def open_(folder: Path, s3_options: Mapping[str, str]) -> Iterator[Head]:
    """A head that asks for none."""
    with ray_head({**_cluster(folder, s3_options), "RAY_AUTH_MODE": "disabled"}) as head:
        yield head


def _cluster(folder: Path, s3_options: Mapping[str, str]) -> dict[str, str]:
    """What the machines of a cluster hold: the right to the store, and our command on their path."""
    path = f"{folder.parent / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "PYTHONPATH": str(ROOT), **_store_environment(s3_options)}


def _store_environment(options: Mapping[str, str]) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": options["endpoint_url"], "AWS_DEFAULT_REGION": options["region"],
        "AWS_ACCESS_KEY_ID": options["key"], "AWS_SECRET_ACCESS_KEY": options["secret"],
    }  # fmt: skip


@pytest.fixture(scope="module")
def reelyard(folder: Path, s3_options: Mapping[str, str]) -> Run:
    """Runs a command in the user's folder, with what a person's shell would hold."""

    def run(*arguments: str, script: str = "reelyard", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(folder.parent / "bin" / script), *arguments],
            cwd=folder, env=_environment(environment), capture_output=True, text=True, timeout=400,
        )  # fmt: skip

    return run


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AWS_", "PYTHONPATH"))}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "asks for a token (401); found none; set RAY_AUTH_TOKEN to the cluster's token, or RAY_AUTH_TOKEN_PATH"),
        ({"RAY_AUTH_TOKEN": "0" * 32}, "refuses the token it was given (403); set RAY_AUTH_TOKEN"),
        ({"RAY_AUTH_TOKEN": _TOKEN, "RAY_AUTH_MODE": "disabled"}, "RAY_AUTH_MODE=disabled sends none"),
    ],
)
def test_a_cluster_that_asks_for_another_token_is_told_in_one_line(
    environment: dict[str, str], words: str, closed: Head, reelyard: Run, tmp_path: Path
) -> None:
    asked = ("submit", "--address", closed.dashboard, "render", "in.mp4", "-o", "never.mkv")
    told = reelyard(*asked, HOME=str(tmp_path), **environment)
    assert (told.returncode, words in told.stderr) == (2, True), told.stderr
    assert len(told.stderr.strip().splitlines()) == 1
    assert _TOKEN not in told.stderr


def test_local_files_are_staged_for_a_cluster_elsewhere_and_our_code_sent_along(
    closed: Head, reelyard: Run, s3_options: Mapping[str, str], tmp_path: Path, folder: Path
) -> None:
    (tmp_path / "token").write_text(_TOKEN)
    (folder / "all.jsonl").write_text('{"source": "in.mp4", "codec": "ffv1", "output": "s3://bucket/out/staged.mkv"}\n')
    token = {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"), **_store_environment(s3_options)}
    to = ("submit", "--address", closed.dashboard)
    job = ("batch", "all.jsonl", "-o", "s3://bucket/out/")
    refused = reelyard(*to, *job, script="elsewhere", **token)
    assert refused.returncode == 2
    assert "in.mp4: a path of this machine, which the cluster cannot read" in refused.stderr
    assert "reelyard submit --stage s3://BUCKET/PREFIX" in refused.stderr
    told = reelyard(*to, "--ship", "--stage", "s3://bucket/stage", *job, script="elsewhere", **token)
    assert told.returncode == 0, told.stderr
    storage = Storage(dict(s3_options))
    (tmp_path / "staged.mkv").write_bytes(storage.read("s3://bucket/out/staged.mkv"))
    assert numbers_of(tmp_path / "staged.mkv") == list(range(FRAMES))
    listed = json.loads(reelyard("status", "--address", closed.dashboard, "--json", **token).stdout)
    assert any(job["command"].startswith("batch all-") for job in listed)


def test_a_job_is_followed_left_stopped_and_goes_on(closed: Head, reelyard: Run, folder: Path) -> None:
    write_numbered(folder / "long.mp4", frames=400)
    at = {"RAY_API_SERVER_ADDRESS": closed.dashboard, "RAY_AUTH_TOKEN": _TOKEN}
    job = ["render", "long.mp4", "-o", "long.out.mp4", "--segment-seconds", "1", "--preset", "veryslow", "--work", "w"]
    sent = reelyard("submit", "--no-wait", "--json", *job, **at)
    assert sent.returncode == 0, sent.stderr
    id = json.loads(sent.stdout)["id"]
    assert re.fullmatch(r"reelyard-[0-9a-f]{12}-1", id)
    left = _interrupted([sys.executable, str(folder.parent / "bin" / "reelyard"), "submit", *job], folder, at)
    assert re.search(rf"{id}: (PENDING|RUNNING) already, for", left)
    assert f"left: {id} goes on; follow it: reelyard logs -f {id}" in left
    stopped = reelyard("stop", **at)
    assert stopped.returncode == 0, stopped.stderr
    assert f"{id}: STOPPED after" in stopped.stderr
    assert not (folder / "long.out.mp4").exists()
    committed = {path.stem for path in folder.glob("w/parts/*.json")}
    again = reelyard("submit", "--json", *job, **at)
    assert again.returncode == 0, again.stderr
    facts = json.loads(again.stdout)
    assert (facts["id"], facts["status"], facts["exit_code"]) == (f"{id[:-1]}2", "SUCCEEDED", 0)
    assert f"{id[:-1]}2: submitted to {closed.dashboard}; goes on after {id} (STOPPED)" in again.stderr
    assert again.stderr.count("rendered: ") == 1
    report = json.loads((folder / "long.out.mp4.report.json").read_text())
    assert report["counts"]["segments resumed"] == len(committed) >= 2
    assert len(numbers_of(folder / "long.out.mp4")) == 400
    listed = reelyard("status", "--json", **at).stdout
    assert [found["status"] for found in json.loads(listed) if found["id"].startswith(id[:-1])] == [
        "STOPPED",
        "SUCCEEDED",
    ]
    assert _TOKEN not in listed + again.stderr + stopped.stderr + left


def _interrupted(command: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    """What a command said that met Ctrl-C after some segments."""
    running = subprocess.Popen(
        command, cwd=folder, env=_environment(environment), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while len(list(folder.glob("w/parts/*.json"))) < 2:
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for driver in _drivers("long.mp4"):
        driver.suspend()  # So that the job cannot end before it is stopped.
    os.killpg(running.pid, signal.SIGINT)
    told = running.communicate(timeout=120)[1]
    assert running.returncode == 130, told
    assert "Traceback" not in told
    return told


def _drivers(word: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or [""]
        ours = any(given.endswith("reelyard.py") for given in words[:2])
        found += [process] if ours and any(given.endswith(word) for given in words) else []
    return found


@pytest.mark.slow
def test_another_reelyard_on_the_cluster_refuses_and_its_exit_code_comes_back(open_: Head, reelyard: Run) -> None:
    to = ("submit", "--address", open_.dashboard)
    told = reelyard(*to, "render", "s3://bucket/in.mp4", "-o", "s3://bucket/never.mp4", script="changed")
    assert told.returncode == 2, told.stderr
    assert "is not the one that submitted this job" in told.stderr
    assert re.search(r"reelyard-\w+-1: FAILED after .* with exit code 2: the request was refused there", told.stderr)


@pytest.mark.slow
def test_a_job_is_followed_through_a_connection_that_breaks(open_: Head, folder: Path) -> None:
    with proxy_to("127.0.0.1", int(open_.dashboard.rpartition(":")[2])) as proxy:
        at = {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{proxy.port}"}
        following = subprocess.Popen(
            [sys.executable, str(folder.parent / "bin" / "reelyard"), "submit", "render", "in.mp4", "-o", "cut.mkv"],
            cwd=folder, env=_environment(at), stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert following.stderr is not None
        told = ""
        while "Running entrypoint" not in told:
            line = following.stderr.readline()
            assert line, told
            told += line
        proxy.cut()
        time.sleep(5)
        proxy.mend()
        told += following.communicate(timeout=400)[1]
    assert following.returncode == 0, told
    assert told.count("connection lost (") == told.count("connected again") == 1
    for once in ("Running entrypoint", "place: joined (inside a Ray job: the cluster", "rendered: ", "SUCCEEDED in"):
        lines = [line for line in told.splitlines() if line.startswith(once) or f": {once}" in line]
        assert len(lines) == 1, told


@pytest.mark.slow
def test_rays_own_submit_with_a_working_folder_works(open_: Head, folder: Path) -> None:
    ray = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--address", open_.dashboard]
    out = folder / "plain.mkv"
    told = subprocess.run(
        [*ray, "--working-dir", ".", "--", "reelyard", "render", "in.mp4", "-o", str(out), "--codec", "ffv1"],
        cwd=folder, env=_environment({"RAY_AUTH_MODE": "disabled"}), capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    assert numbers_of(out) == list(range(FRAMES))
