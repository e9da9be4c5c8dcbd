"""The measuring tools, held against work whose cost is known."""

import http.client
import os
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.benchmarks.counting_proxy import CountingProxy, s3_server
from tests.benchmarks.machine import this_machine
from tests.benchmarks.meter import CommandFailed, measure
from tests.benchmarks.pictures import nearly_still
from tests.benchmarks.sources import FRAME_RATE, Source, loop_packets, write_unit
from tests.benchmarks.table import END, START, Figure, markdown, put_between_marks

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


def test_the_proxy_counts_what_the_server_sent() -> None:
    with s3_server() as server:
        proxy = CountingProxy(server)
        body = os.urandom(300_000)
        _request(server, "PUT", "/bucket", b"")
        _request(server, "PUT", "/bucket/key", body)
        assert proxy.traffic.bytes_sent == 0
        assert _request(proxy.port, "GET", "/bucket/key", b"") == body
        proxy.close()
    assert len(body) < proxy.traffic.bytes_sent < len(body) + 2_000
    assert proxy.traffic.requests == ["GET /bucket/key HTTP/1.1"]


def _request(port: int, method: str, path: str, body: bytes) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, {"Connection": "close", "x-amz-acl": "public-read"})
    try:
        return connection.getresponse().read()
    finally:
        connection.close()


def test_looped_packets_keep_an_even_clock(tmp_path: Path) -> None:
    unit = tmp_path / "unit.mp4"
    source = Source("still", 128, 72, 40)
    write_unit(nearly_still(128, 72, 15 * FRAME_RATE), source, unit)
    loop_packets(unit, tmp_path / "long.mp4", 40)
    with av.open(str(tmp_path / "long.mp4")) as made:
        shown = [frame.pts * frame.time_base for frame in made.decode(video=0)]
    assert shown == [Fraction(i, FRAME_RATE) for i in range(source.frames)]


def test_the_table_stands_between_its_marks() -> None:
    page = f"before\n{START}\nold\n{END}\nafter\n"
    once = put_between_marks(page, "new")
    assert once == f"before\n{START}\nnew\n{END}\nafter\n"
    assert put_between_marks(once, "new") == once
    with pytest.raises(ValueError, match="add them"):
        put_between_marks("no marks", "new")


def test_a_figure_that_falls_short_is_marked() -> None:
    good = Figure("identity", "speed", 26.0, "frames/s", 25.0, False, "–")
    bad = Figure("identity", "ratio", 1.2, "×", 1.1, True, "–")
    text = markdown([good, bad], this_machine())
    assert "| ≥ 25.0 frames/s | **26.0 frames/s** |" in text
    assert "**1.20 ×** ✗" in text
    assert "Falls short (✗): ratio." in text
