"""How much of an hour-long mp4 in object storage is read to index it; S3 over real HTTP in this machine.

The file holds 90,000 pictures and their sound.  It is probed by `reelyard probe s3://…`; a proxy between the
command and the server counts every byte that the server sends, headers included.
"""

import http.client
import json
from pathlib import Path

from tests.benchmarks.commands import reelyard, reelyard_environment
from tests.benchmarks.counting_proxy import CountingProxy, Traffic, s3_environment, s3_server
from tests.benchmarks.meter import measure
from tests.benchmarks.settings import Settings, new_folder, say
from tests.benchmarks.sources import Source, video
from tests.benchmarks.table import Figure

LIMIT_MB = 5.0
_HOUR = 3600


def measure_index_bytes(settings: Settings) -> list[Figure]:
    """One figure for each place of the mp4's index: behind the pictures, and before them."""
    return [_figure(faststart) for faststart in (False, True)]


def _figure(faststart: bool) -> Figure:
    path = video(Source("still", 1920, 1080, _HOUR, faststart))
    traffic, seconds = _probed(path)
    read = traffic.bytes_sent / 1e6
    place = "before" if faststart else "behind"
    requests = len(traffic.requests)
    say(f"index of 1 h, moov {place} the pictures: {read:.2f} MB in {requests} requests, {seconds:.1f} s")
    what = f"index of a 1-hour mp4 over s3, moov {place} the pictures: bytes read"
    against = f"file of {path.stat().st_size / 1e6:.0f} MB; {requests} requests"
    return Figure(
        "index", what, read, "MB", LIMIT_MB, True, against, {"requests": requests, "seconds": seconds}
    )  # fmt: skip


def _probed(path: Path) -> tuple[Traffic, float]:
    """What `reelyard probe` of the file drew from the server, and how long the command took."""
    with s3_server() as server, new_folder() as folder:
        _upload(path, server)
        proxy = CountingProxy(server)
        try:
            environment = reelyard_environment(s3_environment(proxy.port))
            argv = [*reelyard(), "probe", "s3://benchmark/hour.mp4", "--json"]
            measured = measure(argv, environment=environment, folder=folder)
        finally:
            proxy.close()
    _check_frames("\n".join(line.text for line in measured.lines))
    return proxy.traffic, measured.wall_seconds


def _upload(path: Path, port: int) -> None:
    """Straight to the server, past the proxy."""
    for place, size in (("/benchmark", 0), ("/benchmark/hour.mp4", path.stat().st_size)):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        with path.open("rb") as file:
            body = file if size else b""
            connection.request("PUT", place, body, {"Content-Length": str(size), "Connection": "close"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise AssertionError(f"PUT {place}: the server answered {answer.status}")
        connection.close()


def _check_frames(printed: str) -> None:
    """A probe that did not see every picture does not count."""
    frames = json.loads(printed[printed.index("{") :]).get("frames")
    if frames != _HOUR * 25:
        raise AssertionError(f"probe found {frames} frames, expected {_HOUR * 25}")
