"""A folder somebody works in is never removed; what a killed process left always is."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.job import RenderJob
from pipeline.render import render_in_process
from pipeline.scratch import held, remove_abandoned
from tests.sources import Sources

_HOLD = """
import pathlib, sys
from pipeline.scratch import held
with held(pathlib.Path(sys.argv[1])) as folder:
    (folder / "half.mp4").write_bytes(b"half")
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_a_held_folder_stays_and_a_killed_holder_s_goes(tmp_path: Path) -> None:
    folder = tmp_path / "reelyard-encode-abc"
    with holder(folder) as process:
        assert remove_abandoned(tmp_path) == ()
        assert (folder / "half.mp4").exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert remove_abandoned(tmp_path) == (folder,)
    assert not folder.exists()


def test_a_folder_is_held_until_its_last_holder_ends(tmp_path: Path) -> None:
    folder = tmp_path / "reelyard-x"
    with held(folder):
        with held(folder):
            pass
        assert remove_abandoned(tmp_path) == ()
    assert remove_abandoned(tmp_path) == (folder,)


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "reelyard-notes").mkdir()
    (tmp_path / "reelyard-notes" / "mine.txt").write_text("mine")
    with held(tmp_path / "elsewhere"):
        pass
    assert remove_abandoned(tmp_path) == ()
    assert (tmp_path / "reelyard-notes" / "mine.txt").exists() and (tmp_path / "elsewhere").exists()


def test_holding_and_removing_at_once_never_takes_a_held_folder(tmp_path: Path) -> None:
    folder, stop, lost = tmp_path / "reelyard-race", threading.Event(), []

    def work() -> None:
        for i in range(300):
            with held(folder):
                file = folder / f"{threading.get_ident()}-{i}"
                file.write_bytes(b"work")
                if not file.exists():
                    lost.append(i)
                file.unlink()

    def sweep() -> None:
        while not stop.is_set():
            remove_abandoned(tmp_path)

    sweeper, workers = threading.Thread(target=sweep), [threading.Thread(target=work) for _ in range(3)]
    for thread in (sweeper, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    sweeper.join()
    assert not lost


def test_the_next_run_removes_what_a_killed_one_left(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / "reelyard-encode-killed"
    with holder(left) as running, holder(tmp_path / "reelyard-encode-running"):
        running.kill()
        running.wait()
        render_in_process(RenderJob(str(sources.path("open mp4")), str(tmp_path / "film.mp4")))
        assert sorted(p.name for p in tmp_path.iterdir()) == ["film.mp4", "reelyard-encode-running"]
