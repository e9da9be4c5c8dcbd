"""Whether the files of a manifest are there: a store that fails for a while says nothing of them."""

from dataclasses import dataclass, field

import pytest

from cluster.manifest import existing
from pipeline.storage import Storage
from tasks.errors import StorageError


@dataclass(frozen=True)
class Failing(Storage):
    """A store that does not answer the first few times."""

    left: list[int] = field(default_factory=list)

    def size(self, uri: str) -> int:
        if self.left:
            self.left.pop()
            raise StorageError(f"{uri}: could not read") from TimeoutError("slow down")
        return 1


def test_a_store_that_fails_for_a_while_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(existing, "_AGAIN_SECONDS", (0.0, 0.0))
    assert existing.missing(Failing(left=[1, 1]), ["s3://bucket/a.mp4"]) == {}


def test_a_store_that_goes_on_failing_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(existing, "_AGAIN_SECONDS", (0.0, 0.0))
    with pytest.raises(StorageError, match="could not read"):
        existing.missing(Failing(left=[1] * 9), ["s3://bucket/a.mp4"])


def test_what_is_there_is_found_by_one_listing_a_folder(s3_options: dict[str, str]) -> None:
    asked: list[str] = []

    @dataclass(frozen=True)
    class Watched(Storage):
        def exists(self, uri: str) -> bool:
            asked.append(uri)
            return super().exists(uri)

    storage = Watched(s3_options)
    names = [f"s3://bucket/there/{number}.mp4" for number in range(9)]
    few = ["s3://bucket/few/a.mp4", "s3://bucket/few/b.mp4"]
    for uri in (*names[::2], few[0], "s3://bucket/there/0.mp4.work/part"):
        storage.put_bytes(b"x", uri)
    assert existing.present(storage, [*names, *few]) == {*names[::2], few[0]}
    assert sorted(asked) == few


def test_a_store_that_does_not_answer_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    @dataclass(frozen=True)
    class Silent(Storage):
        def list(self, prefix: str, *, deep: bool = True) -> tuple[str, ...]:
            raise StorageError(f"{prefix}: could not list")

    names = [f"s3://bucket/{number}.mp4" for number in range(9)]
    assert existing.present(Silent(), names) == frozenset()
    assert "could not list" in caplog.text
