"""Storage reads what is there, writes whole or not at all, and says what to do when it cannot."""

import errno
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

from pipeline.storage import Storage
from pipeline.storage_errors import AccessRefused, AlreadyThere, NotFound
from tasks.errors import SourceError, StorageError
from tests.stores import http_server


@pytest.fixture(params=["path", "file", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Storage, str]]:
    """A storage and the prefix of an empty folder in it."""
    unique = f"{tmp_path.name}-{os.getpid()}"
    if request.param == "s3":
        yield Storage(request.getfixturevalue("s3_options")), f"s3://bucket/{unique}"
        return
    prefix = {"path": str(tmp_path), "file": f"file://{tmp_path}", "memory": f"memory://{unique}"}[request.param]
    yield Storage(), prefix


def test_what_is_written_is_read(place: tuple[Storage, str], tmp_path: Path) -> None:
    storage, prefix = place
    storage.put_bytes(b"0123456789", f"{prefix}/a/one.bin")
    scratch = tmp_path / "scratch.bin"
    scratch.write_bytes(b"from a file")
    storage.put_file(scratch, f"{prefix}/two.bin")
    assert storage.read(f"{prefix}/a/one.bin") == b"0123456789"
    assert storage.read(f"{prefix}/two.bin") == b"from a file"
    assert storage.read_range(f"{prefix}/a/one.bin", 2, 5) == b"234"
    assert storage.read_range(f"{prefix}/a/one.bin", 8, 99) == b"89"
    assert storage.read_range(f"{prefix}/a/one.bin", 5, 5) == b""
    assert storage.size(f"{prefix}/a/one.bin") == 10
    with storage.open(f"{prefix}/a/one.bin") as file:
        assert file.seek(-4, os.SEEK_END) == 6 and file.read(2) == b"67" and file.tell() == 8


def test_a_listing_is_never_stale(place: tuple[Storage, str]) -> None:
    storage, prefix = place
    assert storage.list(f"{prefix}/parts") == ()
    for name in ("b", "a", "sub/c"):
        storage.put_bytes(b"x", f"{prefix}/parts/{name}")
    storage.put_bytes(b"x", f"{prefix}/parts-not/d")
    assert storage.list(f"{prefix}/parts") == tuple(f"{prefix}/parts/{n}" for n in ("a", "b", "sub/c"))
    storage.delete(f"{prefix}/parts/b")
    storage.delete(f"{prefix}/parts/b")
    assert storage.list(f"{prefix}/parts/") == tuple(f"{prefix}/parts/{n}" for n in ("a", "sub/c"))
    assert not storage.exists(f"{prefix}/parts/b") and storage.exists(f"{prefix}/parts/a")


def test_one_of_two_creators_wins(place: tuple[Storage, str], tmp_path: Path) -> None:
    storage, prefix = place
    assert storage.honours_create(prefix)
    storage.put_bytes(b"first", f"{prefix}/marker", create_only=True)
    scratch = tmp_path / "second"
    scratch.write_bytes(b"second")
    for write in (
        lambda: storage.put_bytes(b"second", f"{prefix}/marker", create_only=True),
        lambda: storage.put_file(scratch, f"{prefix}/marker", create_only=True),
    ):
        with pytest.raises(AlreadyThere, match="already there; nothing was written"):
            write()
    assert storage.read(f"{prefix}/marker") == b"first"
    storage.put_bytes(b"third", f"{prefix}/marker")
    assert storage.read(f"{prefix}/marker") == b"third"


def test_of_six_racing_creators_exactly_one_wins(place: tuple[Storage, str]) -> None:
    storage, prefix = place
    if prefix.startswith("memory"):
        return  # Lives in one process; nothing races there.

    def create(number: int) -> bool:
        try:
            storage.put_bytes(f"{number}".encode(), f"{prefix}/race", create_only=True)
        except AlreadyThere:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(create, range(6)))
    assert sum(won) == 1
    assert storage.read(f"{prefix}/race") == str(won.index(True)).encode()


def test_an_identity_changes_with_the_bytes(place: tuple[Storage, str]) -> None:
    storage, prefix = place
    storage.put_bytes(b"one" * 1000, f"{prefix}/source")
    identity = storage.identity(f"{prefix}/source")
    assert identity == storage.identity(f"{prefix}/source") and identity.size == 3000
    assert identity.weak == (not prefix.startswith("s3"))
    storage.check_unchanged(f"{prefix}/source", identity)
    storage.put_bytes(b"two" * 1000, f"{prefix}/source")
    with pytest.raises(SourceError, match="changed since it was indexed"):
        storage.check_unchanged(f"{prefix}/source", identity)
    if identity.etag:
        with pytest.raises(SourceError, match="changed since it was indexed"):
            storage.read_range(f"{prefix}/source", 0, 3, identity)
    storage.delete(f"{prefix}/source")
    with pytest.raises(SourceError, match="now is gone"):
        storage.check_unchanged(f"{prefix}/source", identity)


def test_storage_works_after_pickling_and_in_threads(place: tuple[Storage, str]) -> None:
    storage, prefix = place
    storage.put_bytes(bytes(range(256)), f"{prefix}/object")
    shipped = pickle.loads(pickle.dumps(storage))
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda i: shipped.read_range(f"{prefix}/object", i, i + 2), range(40)))
    assert got == [bytes([i, i + 1]) for i in range(40)]


def test_what_is_missing_is_named(place: tuple[Storage, str]) -> None:
    storage, prefix = place
    for ask in (storage.read, storage.size, storage.identity, storage.open):
        with pytest.raises(NotFound, match=r"nothing\.mp4: no such file; check the spelling"):
            ask(f"{prefix}/nothing.mp4")


@pytest.mark.parametrize("name", ["with space.bin", "-dash.bin", "ünïcode ✓.bin", "100%.bin", "a#b?c.bin"])
def test_any_file_name_is_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = Storage()
    storage.put_bytes(b"here", name)
    assert storage.read(name) == storage.read(str(tmp_path / name)) == b"here"
    assert storage.list(".") == (f"./{name}",)


def test_a_file_uri_is_unquoted(tmp_path: Path) -> None:
    (tmp_path / "with space.bin").write_bytes(b"here")
    assert Storage().read(f"file://{tmp_path}/with%20space.bin") == b"here"


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, target, scratch = Storage(), tmp_path / "out" / "target", tmp_path / "scratch"
    storage.put_bytes(b"old", str(target))
    scratch.write_bytes(b"new")

    def half(source: object, out: "IO[bytes]", size: int) -> None:
        out.write(b"n")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", half)
    with pytest.raises(StorageError, match="no space left to write"):
        storage.put_file(scratch, str(target))
    assert [p.name for p in target.parent.iterdir()] == ["target"]
    assert storage.read(str(target)) == b"old"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="folder"):
        Storage().identity(str(tmp_path))


def test_remote_errors_say_what_to_do(s3_options: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.storage._FIRST_WAIT_SECONDS", 0.01)
    storage = Storage(s3_options)
    with pytest.raises(NotFound, match="no such bucket; check its name, or create it"):
        storage.read("s3://no-such-bucket/x")
    with pytest.raises(StorageError, match="endpoint cannot be reached"):
        Storage({**s3_options, "endpoint_url": "http://127.0.0.1:9"}).read("s3://bucket/x")
    with pytest.raises(StorageError, match="expected a path, file, s3, http"):
        storage.read("gopher://host/x")
    with pytest.raises(StorageError, match="http is read only"):
        storage.put_bytes(b"", "http://host/x")


def test_missing_credentials_are_named(s3_options: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    bare = {name: s3_options[name] for name in ("endpoint_url", "region")}
    with pytest.raises(AccessRefused, match="AWS_ACCESS_KEY_ID"):
        Storage({**bare, "token": ""}).read("s3://bucket/x")


def test_http_is_read_by_ranges(tmp_path: Path) -> None:
    (tmp_path / "object.bin").write_bytes(bytes(range(256)) * 100)
    with http_server(tmp_path) as (url, traffic):
        storage = Storage()
        identity = storage.identity(f"{url}/object.bin")
        assert storage.size(f"{url}/object.bin") == 25600 and not identity.weak
        assert storage.read_range(f"{url}/object.bin", 256, 260, identity) == bytes(range(4))
        assert traffic.bytes < 100
        (tmp_path / "object.bin").write_bytes(b"another")
        with pytest.raises(SourceError, match="changed since it was indexed"):
            storage.read_range(f"{url}/object.bin", 0, 2, identity)
        with pytest.raises(NotFound):
            storage.read(f"{url}/nothing.bin")


def test_a_server_without_ranges_is_refused(tmp_path: Path) -> None:
    (tmp_path / "object.bin").write_bytes(b"0123456789")
    with (
        http_server(tmp_path, ranges=False) as (url, _),
        pytest.raises(StorageError, match="ignores Range requests"),
    ):
        Storage().read_range(f"{url}/object.bin", 2, 4)


def test_a_transient_failure_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.storage._FIRST_WAIT_SECONDS", 0.001)
    (tmp_path / "object").write_bytes(b"here")
    failures = [TimeoutError("slow"), ConnectionResetError("gone")]
    plain = Path.read_bytes

    def flaky(path: Path) -> bytes:
        if failures:
            raise failures.pop()
        return plain(path)

    monkeypatch.setattr(Path, "read_bytes", flaky)
    assert Storage().read(str(tmp_path / "object")) == b"here" and not failures


def test_a_server_that_cannot_be_reached_is_not_called_a_missing_file() -> None:
    with pytest.raises(StorageError, match="http://127.0.0.1:9/a.mp4: the endpoint cannot be reached") as told:
        Storage().size("http://127.0.0.1:9/a.mp4")
    assert not isinstance(told.value, NotFound)
