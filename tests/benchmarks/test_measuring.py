"""The measuring tools, held against work whose cost is known."""

import sys
import textwrap

import pytest

from tests.benchmarks.meter import CommandFailed, measure

_BURN = """
def burn(seconds):
    import time
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
"""


def _python(body: str) -> list[str]:
    return [sys.executable, "-c", _BURN + textwrap.dedent(body)]


def test_cpu_seconds_of_dead_orphans_are_counted() -> None:
    body = """
        import os, sys, time
        if os.fork() == 0:
            if os.fork() == 0:          # adopted by another parent, and never waited for
                burn(0.6)
                os._exit(0)
            os._exit(0)
        os.wait()
        burn(0.4)
        time.sleep(0.8)
    """
    measured = measure(_python(body))
    assert measured.cpu_seconds == pytest.approx(1.0, abs=0.25)
    assert measured.exact_cpu_seconds < 0.7  # wait4 knows only of those that were waited for


def test_daemons_are_told_apart_by_name() -> None:
    body = """
        import subprocess, sys
        code = "import time; e = time.process_time() + 0.6\\nwhile time.process_time() < e: pass"
        subprocess.run([sys.executable, "-c", code, "/x/raylet/raylet"])
    """
    measured = measure(_python(body))
    assert measured.samples[-1].daemon_cpu_seconds == pytest.approx(0.6, abs=0.2)
    assert measured.cpu_seconds < 0.3


def test_pages_shared_by_a_fork_count_once() -> None:
    body = """
        import os, time
        block = bytearray(os.urandom(1)) * 200_000_000
        if os.fork() == 0:
            time.sleep(2)
            os._exit(0)
        time.sleep(2)
        os.wait()
    """
    measured = measure(_python(body), memory=True)
    assert 200e6 < measured.peak_bytes < 240e6


def test_lines_carry_the_moment_they_were_written() -> None:
    body = """
        import time
        time.sleep(0.4)
        print("first frame", flush=True)
        time.sleep(0.4)
    """
    measured = measure(_python(body))
    at = measured.first_line("first frame")
    assert at is not None
    assert 0.4 < at < measured.wall_seconds - 0.3


def test_a_failed_command_says_its_last_words() -> None:
    with pytest.raises(CommandFailed, match=r"ended with 3 after .*\nout of luck"):
        measure(_python("import sys; print('out of luck'); sys.exit(3)"))
