"""The command as a user starts it: from a folder with a `tasks.py`, a `pipeline/` and a `cluster.py` of theirs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli import app
from cluster.connection import Connection
from tests.cluster.conftest import FRAMES, numbers_of, write_numbered

ROOT = Path(__file__).resolve().parents[2]
_SHADOW = "raise SystemExit('the user's own file was imported')\n"
#: As pip writes it for a console script.
_SCRIPT = "import sys\nfrom reelyard import main\nsys.exit(main())\n"


@dataclass(frozen=True)
class Told:
    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path, source: Path) -> Path:
    """A folder of a user's, whose files bear the names of our packages."""
    here = tmp_path / "of the user"
    (here / "pipeline").mkdir(parents=True)
    for name in ("tasks.py", "cluster.py", "pipeline/__init__.py"):
        (here / name).write_text(_SHADOW)
    (here / "in.mp4").write_bytes(source.read_bytes())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "reelyard").write_text(_SCRIPT)
    return here


def _environment(path: str) -> Mapping[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "PYTHONPATH"))}
    return {**kept, "PYTHONPATH": path}


@pytest.fixture
def reelyard(folder: Path) -> Command:
    """Runs the command in the user's folder."""

    def run(*arguments: str, path: str = str(ROOT)) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(folder.parent / "bin" / "reelyard"), *arguments],
            cwd=folder, env=_environment(path), capture_output=True, text=True, timeout=180,
        )  # fmt: skip

    return run


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Told]:
    """Runs the command in this process, in the user's folder."""
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> Told:
        result = CliRunner().invoke(app, list(arguments))
        return Told(result.exit_code, result.stdout, result.stderr)

    return run


def test_help_comes_at_once_and_names_only_what_is_built(reelyard: Command) -> None:
    begun = os.times()
    told = reelyard("--help")
    used = os.times()
    cpu = used.children_user + used.children_system - begun.children_user - begun.children_system
    assert told.returncode == 0
    assert cpu < 0.6, "torch, ray or av is imported for a help text"
    for built in ("render", "batch", "plan", "probe", "doctor", "clean", "demo", "models"):
        assert built in told.stdout
    for later in ("bench",):
        assert later not in told.stdout


def test_a_local_ray_renders_beside_files_that_bear_our_names(reelyard: Command, folder: Path) -> None:
    asked = ("render", "in.mp4", "-o", "ray.mkv", "--codec", "ffv1", "--segment-seconds", "1", "--json")
    told = reelyard(*asked)
    assert told.returncode == 0, told.stderr
    report = json.loads(told.stdout)
    assert numbers_of(folder / "ray.mkv") == list(range(FRAMES))
    assert report["counts"]["frames"] == FRAMES
    assert report["counts"]["segments"] >= 4
    (worker,) = {segment["worker"] for segment in report["segments"]}
    assert worker in ("encode-0", "fused-0"), "one cell, as this machine's processors have it"
    assert json.loads((folder / "ray.mkv.report.json").read_text())["job"] == report["job"]
    assert "<svg" in (folder / "ray.mkv.report.html").read_text()
    assert sorted(p.name for p in folder.iterdir() if p.name.startswith("ray.mkv")) == [
        "ray.mkv", "ray.mkv.report.html", "ray.mkv.report.json",
    ]  # fmt: skip


def test_a_running_cluster_is_joined_with_our_packages_and_left_running(connection: Connection, folder: Path) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    token = {name: os.environ[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN") if name in os.environ}
    script = str(folder.parent / "bin" / "reelyard")
    asked = ("render", "in.mp4", "-o", "joined.mkv", "--codec", "ffv1", "--address", address, "--json")
    told = subprocess.run(
        [sys.executable, script, *asked],
        cwd=folder, env={**_environment(str(ROOT)), **token}, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert numbers_of(folder / "joined.mkv") == list(range(FRAMES))
    assert {"what": "place", "choice": "joined", "reason": f"--address {address}"} in json.loads(told.stdout)[
        "decisions"
    ]
    assert ray.is_initialized()
    assert ray.get(ray.put(1)) == 1


def test_a_path_that_leads_to_the_users_files_first_does_no_harm(reelyard: Command, folder: Path) -> None:
    """Ray sets PYTHONPATH so for the driver of a job with a working folder."""
    told = reelyard("render", "in.mp4", "-o", "o.mkv", "--codec", "ffv1", "--in-process", path=f"{folder}:{ROOT}")
    assert told.returncode == 0, told.stderr
    assert numbers_of(folder / "o.mkv") == list(range(FRAMES))


def test_the_same_command_again_finds_its_output_done(here: Callable[..., Told], folder: Path) -> None:
    asked = ("render", "in.mp4", "-o", "o.mkv", "--codec", "ffv1", "--in-process", "--json")
    first = here(*asked)
    assert first.returncode == 0, first.stderr
    before = (folder / "o.mkv").stat().st_mtime_ns
    again = json.loads(here(*asked).stdout)
    assert again["job"]["status"] == "already done"
    assert (folder / "o.mkv").stat().st_mtime_ns == before
    other = here("render", "in.mp4", "-o", "o.mkv", "--codec", "h264", "--in-process")
    assert other.returncode == 2
    assert "--overwrite" in other.stderr


def test_ctrl_c_leaves_nothing_half_written_and_the_next_run_goes_on(folder: Path, reelyard: Command) -> None:
    write_numbered(folder / "long.mp4", frames=600)
    asked = [
        "render",
        "long.mp4",
        "-o",
        "long.mp4.out.mp4",
        "--segment-seconds",
        "2",
        "--preset",
        "veryslow",
        "--work",
        "w",
    ]
    running = subprocess.Popen(
        [sys.executable, str(folder.parent / "bin" / "reelyard"), *asked],
        cwd=folder, env=_environment(str(ROOT)), stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(list(folder.glob("w/parts/*.json"))) < 2 and time.monotonic() < deadline:
        assert running.poll() is None, running.communicate()[1]
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGINT)
    told = running.communicate(timeout=60)[1]
    assert running.returncode == 130, told
    assert "run the same command again to go on" in told
    assert "Traceback" not in told
    assert not (folder / "long.mp4.out.mp4").exists()
    assert not list(folder.rglob("*.partial*"))
    assert _processes_of_session(running.pid) == []
    committed = {path.stem for path in folder.glob("w/parts/*.json")}
    assert len(committed) >= 2
    again = reelyard(*asked, "--json", "--in-process")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["counts"]["segments resumed"] == len(committed)
    assert len(numbers_of(folder / "long.mp4.out.mp4")) == 600


def _processes_of_session(session: int) -> list[str]:
    import psutil

    found = []
    for process in psutil.process_iter(["pid", "name", "status"]):
        try:
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.info["name"])
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("in.mp4", "-o", "in.mp4"), 2, "is the source itself"),
        (("in.mp4", "-o", "out.avi"), 2, "avi"),
        (("nowhere.mp4", "-o", "o.mp4"), 2, "no such file"),
        (("tasks.py", "-o", "o.mp4"), 1, "tasks.py"),
        (("in.mp4", "-o", "o.mp4", "--task", "lip-sink", "--audio", "in.mp4"), 2, "lip-sync"),
        (("in.mp4", "-o", "o.mp4", "--task", "lip-sync"), 2, "--audio FILE"),
        (("in.mp4", "-o", "o.mp4", "--face", "left"), 2, "add --task lip-sync"),
        (("in.mp4", "-o", "o.mp4", "--trim", "90:95"), 2, "the video lasts"),
        (("in.mp4", "-o", "o.mp4", "--crf", "99"), 2, "crf"),
        (("in.mp4", "-o", "o.webm", "--codec", "h264"), 2, "webm"),
        (("in.mp4", "-o", "o.mp4", "--report", "r.txt"), 2, "ends in .json"),
        (("in.mp4", "-o", "o.mp4", "--address", "nothing"), 2, "expected HOST:PORT"),
        (("in.mp4", "-o", "o.mp4", "--device", "tpu"), 2, "auto, cpu, cuda"),
    ],
)
def test_a_bad_request_is_one_line_and_its_exit_code(
    arguments: tuple[str, ...], code: int, words: str, here: Callable[..., Told], folder: Path
) -> None:
    before = sorted(folder.rglob("*"))
    told = here("render", *arguments, *(() if "--address" in arguments else ("--in-process",)))
    assert (told.returncode, words in told.stderr) == (code, True), told.stderr
    assert "Traceback" not in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("in.mp4", "-o", "memory://o.mp4"), "add --in-process"),
        (("in.mp4", "-o", "o.mp4", "--device", "cuda:1"), "use --device cuda, or add --in-process"),
    ],
)
def test_what_only_one_process_can_do_is_refused_before_ray_is_started(
    arguments: tuple[str, ...], words: str, here: Callable[..., Told]
) -> None:
    told = here("render", *arguments)
    assert (told.returncode, words in told.stderr) == (2, True), told.stderr


def test_a_plan_tells_the_segments_and_writes_nothing(here: Callable[..., Told], folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    told = here("plan", "in.mp4", "-o", "o.mp4", "--segment-seconds", "1", "--json")
    assert told.returncode == 0, told.stderr
    plan = json.loads(told.stdout)
    assert plan["segments"][0].startswith("0: frames 0-")
    assert "libx264" in plan["encoder"]
    assert sorted(folder.rglob("*")) == before


def test_a_probe_tells_frames_and_split_points(here: Callable[..., Told]) -> None:
    facts = json.loads(here("probe", "in.mp4", "--json").stdout)
    assert (facts["frames"], facts["split_points"], facts["mode"]) == (FRAMES, 10, "random")


def test_clean_removes_what_is_ours_and_nothing_else(here: Callable[..., Told], folder: Path) -> None:
    asked = ("render", "in.mp4", "-o", "o.mkv", "--codec", "ffv1", "--in-process", "--keep-parts", "--work", "w")
    assert here(*asked).returncode == 0
    (folder / "w" / "parts" / "notes.json").write_text("mine")
    assert here("clean", "w", "--dry-run").returncode == 0
    assert len(list((folder / "w" / "parts").iterdir())) > 2
    told = here("clean", "w")
    assert told.returncode == 0, told.stderr
    assert [p.name for p in (folder / "w").rglob("*") if p.is_file()] == ["notes.json"]
    assert here("clean", "w").returncode == 2


def test_doctor_finds_this_machine_fit(here: Callable[..., Told]) -> None:
    told = here("doctor", "--json", "--storage", "store")
    found = json.loads(told.stdout)
    names = {check["name"] for check in found["checks"]}
    assert {"opencv", "face cascades", "codec h264", "gpu", "shared memory", "ray", "fonts", "storage"} <= names
    assert told.returncode == (0 if found["fit"] else 1)
    assert all(check["remedy"] for check in found["checks"] if check["state"] == "broken")


def test_clean_removes_what_a_killed_write_left(here: Callable[..., Told], folder: Path) -> None:
    cut_off = folder / ".film.mp4.0123456789abcdef.partial"
    cut_off.write_bytes(b"half")
    other = folder / ".other.mp4.0123456789abcdef.partial"
    other.write_bytes(b"mine")
    told = here("clean", "film.mp4", "--dry-run", "--json")
    assert json.loads(told.stdout)["unfinished_writes"] == ["film.mp4"] and cut_off.exists()
    told = here("clean", "film.mp4")
    assert told.returncode == 0, told.stderr
    assert "removed 0 files and 1 unfinished writes" in told.stdout + told.stderr
    assert not cut_off.exists() and other.exists()
    other.unlink()
