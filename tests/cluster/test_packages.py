"""Whose code runs."""

import inspect
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from cluster.connection import packages_to_ship
from cluster.host import host_class
from cluster.packages import PACKAGES, Code, code_digest, differences, own_code


def _copy(tmp_path: Path) -> Path:
    root = tmp_path / "copy"
    for package in PACKAGES:
        shutil.copytree(Path(own_code().root) / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def test_a_copy_elsewhere_is_the_same_code(tmp_path: Path) -> None:
    assert code_digest(_copy(tmp_path)) == own_code().digest


def test_one_changed_letter_is_another_code(tmp_path: Path) -> None:
    root = _copy(tmp_path)
    file = root / "tasks" / "errors.py"
    file.write_text(file.read_text() + "#")
    assert code_digest(root) != own_code().digest


def test_the_host_reads_the_same_digest_without_our_packages() -> None:
    assert host_class("decode").digest_of(own_code().root) == own_code().digest


def test_a_worker_finds_what_was_shipped_before_what_lies_around(tmp_path: Path) -> None:
    shipped = packages_to_ship(tmp_path)
    assert code_digest(shipped) == own_code().digest
    (tmp_path / "tasks.py").write_text("raise SystemExit('the wrong tasks')")
    program = (
        "import sys; sys.path[:0] = ['', sys.argv[1]]\n"
        f"exec({_source_of_host()!r})\n"
        "Host = host_class('decode'); host = Host.__new__(Host)\n"
        "host.install('/nowhere', sys.argv[2])\n"
        "import tasks.errors; print(tasks.errors.__file__)"
    )
    command = [sys.executable, "-P", "-c", program, str(tmp_path), own_code().digest]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert Path(told.stdout.strip()) == shipped / "tasks" / "errors.py"


def _source_of_host() -> str:
    return inspect.getsource(sys.modules[host_class.__module__])


def test_another_code_or_version_is_told_by_name() -> None:
    ours = own_code()
    assert differences(ours, ours) == []
    other = replace(ours, digest="0" * 64, root="/elsewhere")
    assert "reelyard itself" in differences(ours, other)[0]
    older = Code(ours.root, ours.digest, tuple((n, "1.0" if n == "av" else v) for n, v in ours.versions))
    assert differences(ours, older) == [f"av 1.0 instead of {dict(ours.versions)['av']}"]
