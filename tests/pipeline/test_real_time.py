"""No encoder leaves real-time threads behind: as root SVT-AV1 would stop all else on the machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.encoders import choose_encoding
from pipeline.job import EncodeRequest
from pipeline.real_time import ordinary_threads
from tests.pipeline.pictures import constant_timeline, encode_all, picture_format

TIMELINE = constant_timeline(30)

root_only = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root's threads may turn real-time"
)


def _real_time() -> list[int]:
    policies = (os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task"))
    return [policy for policy in policies if policy != os.SCHED_OTHER]


@root_only
def test_an_av1_part_is_encoded_by_ordinary_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def look(path: Path) -> bytes:
        seen.extend(_real_time())
        return read(path)

    from pipeline import encode

    read = encode.read_extradata
    monkeypatch.setattr(encode, "read_extradata", look)
    format = picture_format()
    encode_all(format, TIMELINE, choose_encoding(format, TIMELINE, EncodeRequest("av1"), "mkv"), [0, 30], tmp_path)
    assert seen == [] and _real_time() == []
    child = [sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"]
    assert subprocess.run(child, capture_output=True, text=True, check=True).stdout.strip() == "0"


@root_only
def test_doctor_tries_encoders_without_turning_real_time() -> None:
    from cluster.doctor.media import picture_fault

    assert picture_fault("libsvtav1", "yuv420p") == ""
    assert _real_time() == []


@root_only
def test_threads_that_were_real_time_before_stay_so() -> None:
    code = (
        "import os, sys; sys.path.insert(0, '.')\n"
        "from pipeline.real_time import ordinary_threads\n"
        "os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))\n"
        "with ordinary_threads(): pass\n"
        "print(os.sched_getscheduler(0) == os.SCHED_RR)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "True"


def test_it_is_harmless_where_nothing_turns_real_time() -> None:
    with ordinary_threads():
        pass
