"""Tasks know pixels, the pipeline knows time and files, the cluster knows machines."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "tasks": {"pipeline", "cluster", "tests", "ray", "av", "fsspec", "s3fs", "requests", "urllib", "socket"},
    "pipeline": {"cluster", "tests", "ray"},
    "cluster": {"tests"},
}
#: The single file of the pipeline that may know fsspec.
STORAGE = ROOT / "pipeline" / "storage.py"


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def _sources(package: str) -> list[Path]:
    # Training is run by hand: it may read footage with PyAV, nothing imports it.
    return [p for p in sorted((ROOT / package).rglob("*.py")) if "training" not in p.parts]


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_imports_run_one_way(package: str) -> None:
    wrong = {str(p.relative_to(ROOT)): found for p in _sources(package) if (found := _imports(p) & FORBIDDEN[package])}
    assert not wrong


def test_fsspec_is_known_to_one_file() -> None:
    knowing = [p for package in FORBIDDEN for p in _sources(package) if _imports(p) & {"fsspec", "s3fs"}]
    assert [p for p in knowing if p != STORAGE] == []


def test_only_the_command_line_reads_the_environment() -> None:
    reading = [
        str(p.relative_to(ROOT))
        for package in ("tasks", "pipeline")
        for p in _sources(package)
        if "os.environ" in p.read_text() or "getenv" in p.read_text()
    ]
    assert reading == []


def test_files_stay_readable() -> None:
    long = {
        str(p.relative_to(ROOT)): n
        for k in FORBIDDEN
        for p in _sources(k)
        if (n := len(p.read_text().splitlines())) > 400
    }
    assert not long
