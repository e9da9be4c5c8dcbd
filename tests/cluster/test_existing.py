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
