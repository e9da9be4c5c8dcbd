"""Local files go to the store once, by their content; what a cluster could not reach is refused before."""

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.leftovers import leftovers, remove
from cluster.manifest.stage import stage
from cluster.manifest.values import Item
from pipeline.job import RenderJob
from pipeline.storage import Storage
from tasks.errors import JobError

_HERE = "s3://bucket/stage-test"


def _items(folder: Path) -> tuple[Item, ...]:
    (folder / "a.mp4").write_bytes(b"picture")
    (folder / "same.mp4").write_bytes(b"picture")
    (folder / "v.wav").write_bytes(b"sound")
    there = "s3://bucket/in/b.mp4"
    return (
        Item("a", 1, RenderJob(str(folder / "a.mp4"), f"{_HERE}/out/a.mp4", audio=str(folder / "v.wav"))),
        Item("b", 2, RenderJob(there, f"{_HERE}/out/b.mp4", audio=str(folder / "v.wav"))),
        Item("c", 3, RenderJob(str(folder / "same.mp4"), f"{_HERE}/out/c.mp4", audio="s3://bucket/in/w.wav")),
    )


def test_local_files_are_sent_once_and_found_again(s3_options: dict[str, str], tmp_path: Path) -> None:
    storage, told = Storage(s3_options), list[tuple[str, int, bool]]()
    items = _items(tmp_path)
    first = stage(storage, items, _HERE, lambda *what: told.append(what))
    assert sorted((Path(path).name, size, sent) for path, size, sent in told) == [
        ("a.mp4", 7, True), ("same.mp4", 7, True), ("v.wav", 5, True),
    ]  # fmt: skip
    assert [storage.read(item.job.source) for item in first if "stage-test" in item.job.source] == [b"picture"] * 2
    assert first[0].job.audio == first[1].job.audio and storage.read(str(first[0].job.audio)) == b"sound"
    assert (first[1].job.source, first[2].job.audio) == (items[1].job.source, items[2].job.audio)
    told.clear()
    assert stage(storage, items, f"{_HERE}/", lambda *what: told.append(what)) == first
    assert [sent for _, _, sent in told] == [False] * 3
    (tmp_path / "a.mp4").write_bytes(b"another")
    assert stage(storage, items, _HERE)[0].job.source != first[0].job.source


def test_what_is_there_by_halves_is_sent_again(s3_options: dict[str, str], tmp_path: Path) -> None:
    storage, items = Storage(s3_options), _items(tmp_path)
    place = stage(storage, items, _HERE)[0].job.source
    storage.put_bytes(b"pic", place)
    assert storage.read(stage(storage, items, _HERE)[0].job.source) == b"picture"


def test_staged_files_are_cleaned_only_when_asked(s3_options: dict[str, str], tmp_path: Path) -> None:
    storage = Storage(s3_options)
    prefix = "s3://bucket/stage-clean"
    (tmp_path / "v.wav").write_bytes(b"sound")
    stage(storage, [Item("a", 1, RenderJob(str(tmp_path / "v.wav"), f"{prefix}/o.mp4"))], prefix)
    storage.put_bytes(b"mine", f"{prefix}/staged/notes.txt")
    assert leftovers(storage, prefix)[1] == []
    found = leftovers(storage, prefix, staged=True)[1]
    assert [uri.rpartition("/")[2] for uri in found] == ["v.wav"]
    remove(storage, prefix, found)
    assert storage.list(prefix) == (f"{prefix}/staged/notes.txt",)


def test_what_a_cluster_cannot_reach_is_refused_and_nothing_is_sent(tmp_path: Path) -> None:
    item = _items(tmp_path)[0]
    with pytest.raises(JobError, match=r"--stage /tmp/x: a place of this machine alone; expected s3://"):
        stage(Storage(), [item], "/tmp/x")
    for job in (replace(item.job, output="/out/a.mp4"), replace(item.job, work="memory://w")):
        with pytest.raises(JobError, match=r"a place of this machine alone, and --stage .* -o s3://nowhere/out/"):
            stage(Storage(), [replace(item, job=job)], "s3://nowhere")
