"""Two drivers share out the videos of a batch; a dead one's are taken over."""

from pathlib import Path

import pytest

from pipeline.claims import STALE_SECONDS, Claims, Owner
from pipeline.storage import Storage


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


ONE, OTHER = Owner("here", 1, "one"), Owner("there", 2, "other")


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Storage, str]:
    if request.param == "local":
        return Storage(), str(tmp_path / "out.mp4.work")
    return Storage(request.getfixturevalue("s3_options")), f"s3://bucket/{tmp_path.name}/out.mp4.work"


def test_a_video_is_one_drivers_until_it_lets_go(place: tuple[Storage, str]) -> None:
    storage, prefix = place
    one, other = Claims(storage, ONE), Claims(storage, OTHER)
    assert one.take(prefix, "out.mp4")
    assert not other.take(prefix, "out.mp4")
    assert other.take(prefix, "another.mp4")
    one.release(prefix, "out.mp4")
    assert other.take(prefix, "out.mp4")
    other.release(prefix, "out.mp4")
    other.release(prefix, "another.mp4")
    assert storage.list(prefix) == ()


def test_a_claim_that_is_renewed_holds_and_a_silent_one_does_not(place: tuple[Storage, str]) -> None:
    storage, prefix = place
    clock = Clock()
    one, other = Claims(storage, ONE), Claims(storage, OTHER, clock)
    assert one.take(prefix, "out.mp4")
    for _ in range(3):
        one.renew()
        assert not other.take(prefix, "out.mp4")
        clock.now += STALE_SECONDS - 1
    assert not other.take(prefix, "out.mp4")
    clock.now += 2
    assert other.take(prefix, "out.mp4")


def test_the_claim_of_a_process_of_this_host_that_ended_does_not_hold(tmp_path: Path) -> None:
    import subprocess
    import sys

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    storage, here = Storage(), Owner.here()
    assert Claims(storage, Owner(here.host, ended.pid, "dead")).take(str(tmp_path), "out.mp4")
    assert Claims(storage, here).take(str(tmp_path), "out.mp4")


def test_a_claim_that_cannot_be_read_does_not_hold(tmp_path: Path) -> None:
    from pipeline.claims import claim_uri

    Path(claim_uri(str(tmp_path), "out.mp4")).write_bytes(b"not json")
    assert Claims(Storage(), ONE).take(str(tmp_path), "out.mp4")
