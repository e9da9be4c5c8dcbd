"""What the pipeline may not import before it is needed: heavy packages cost seconds at every start."""

import subprocess
import sys

import pytest

from tests.benchmarks.machine import ROOT

_HEAVY = ("torch", "librosa", "cv2", "ray", "scipy")


@pytest.mark.parametrize("module", ["pipeline.render", "pipeline.probe", "tasks.table"])
def test_heavy_packages_wait_until_a_task_needs_them(module: str) -> None:
    code = f"import {module}, sys; print(*[name for name in {_HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
