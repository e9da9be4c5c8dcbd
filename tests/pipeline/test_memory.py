"""What pictures took is given back, whatever small things were made meanwhile."""

import subprocess
import sys

import pytest

_PROGRAM = """
import pathlib, sys
import numpy as np
from pipeline.memory import return_freed_planes

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "set":
    return_freed_planes()
np.ones(30 << 20, np.uint8)  # Freed: from now on glibc would put planes into its heaps.
before = resident()
planes, small = [], []
for i in range(100):
    planes.append(np.ones(2 << 20, np.uint8))
    small.append(bytes(700 + i))
planes.clear()
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is glibc's")
@pytest.mark.parametrize(("asked", "kept"), [("set", False), ("unset", True)])
def test_freed_planes_leave_the_process(asked: str, kept: bool) -> None:
    told = subprocess.run([sys.executable, "-c", _PROGRAM, asked], check=True, capture_output=True, text=True)
    assert (int(told.stdout) > 100 << 20) == kept
