"""A receipt stands for a finished output only while everything is as it was."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.job import RenderJob
from pipeline.look import Look
from pipeline.prepare import work_prefix
from pipeline.receipts import keep_receipt, recalled, receipt_uri
from pipeline.storage import Storage
from tasks.errors import StorageError
from tasks.table import parse_task

LOOK = Look(10, 0.5, 1.0, 2, False, "content")


@pytest.fixture(params=["local", "s3"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Storage, RenderJob]:
    """A job whose output was made and told of."""
    if request.param == "local":
        storage, prefix = Storage(), str(tmp_path)
    else:
        storage, prefix = Storage(request.getfixturevalue("s3_options")), f"s3://bucket/{tmp_path.name}"
    job = RenderJob(f"{prefix}/in.mp4", f"{prefix}/out/a.mp4", audio=f"{prefix}/voice.wav")
    for uri in (job.source, job.output, f"{prefix}/voice.wav"):
        storage.put_bytes(uri.encode(), uri)
    keep_receipt(storage, tmp_path, job, LOOK)
    return storage, job


def found(made: tuple[Storage, RenderJob], **other: object) -> Look | None:
    storage, job = made
    (look,) = recalled(storage, Path(), [replace(job, **other)])  # type: ignore[arg-type]
    return look


def test_what_was_made_is_known_again(made: tuple[Storage, RenderJob]) -> None:
    assert found(made) == replace(LOOK, done=True)
    assert found(made, overwrite=True, keep_parts=True, storage_options=(("a", "b"),)) == replace(LOOK, done=True)


@pytest.mark.parametrize("what", ["source", "audio", "output"])
def test_not_after_a_file_changed(made: tuple[Storage, RenderJob], what: str) -> None:
    storage, job = made
    storage.put_bytes(b"another", getattr(job, what))
    assert found(made) is None


@pytest.mark.parametrize("what", ["source", "output"])
def test_not_after_a_file_is_gone(made: tuple[Storage, RenderJob], what: str) -> None:
    storage, job = made
    storage.delete(getattr(job, what))
    assert found(made) is None


@pytest.mark.parametrize(
    "other",
    [
        {"tasks": (parse_task("identity"),)},
        {"label": "x"},
        {"quality": True},
        {"segment_seconds": 3.0},
        {"fit": "video"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_not_for_another_request(made: tuple[Storage, RenderJob], other: dict[str, object]) -> None:
    assert found(made, **other) is None


def test_not_while_something_of_the_run_is_left(made: tuple[Storage, RenderJob]) -> None:
    storage, job = made
    storage.put_bytes(b"{}", f"{work_prefix(job)}/claim-1.json")
    assert found(made) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"output": 1}', b'{"request": "", "output": "", "look": {}}'])
def test_a_damaged_receipt_is_none(made: tuple[Storage, RenderJob], content: bytes) -> None:
    storage, job = made
    storage.put_bytes(content, receipt_uri(job))
    assert found(made) is None


def test_a_store_that_fails_costs_the_receipt_alone(tmp_path: Path) -> None:
    class Failing(Storage):
        def put_bytes(self, data: bytes, uri: str, *, create_only: bool = False) -> None:
            raise StorageError(f"{uri}: the store is down")

    job = RenderJob(str(tmp_path / "in.mp4"), str(tmp_path / "out.mp4"))
    for uri in (job.source, job.output):
        Path(uri).write_bytes(b"x")
    keep_receipt(Failing(), tmp_path, job, LOOK)
    assert recalled(Failing(), tmp_path, [job]) == (None,)


def test_in_work_storage_where_that_was_asked_for() -> None:
    job = RenderJob("in.mp4", "s3://bucket/out/a.mp4", work="s3://scratch/w/")
    assert receipt_uri(job).startswith("s3://scratch/w/receipts/")
    assert receipt_uri(replace(job, work=None)).startswith("s3://bucket/out/.reelyard/receipts/")
    assert receipt_uri(replace(job, work=None, output="a.mp4")).startswith(".reelyard/receipts/")
