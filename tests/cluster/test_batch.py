"""Many videos over shared cells, without Ray: all that can be rendered is, all that cannot is told why."""

import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.batch.run import Batch
from cluster.command_of import command_of
from cluster.dispatch.journal import Journal
from cluster.events import Event, LeaseBegan, Noted, RunEnded, SlotsIdle, UnitDone, VideoChanged
from cluster.fleet.threads import ThreadFleet
from cluster.manifest.existing import present
from cluster.manifest.values import Item
from pipeline.job import EncodeRequest, RenderJob
from pipeline.storage import Storage
from tasks.errors import StorageError
from tasks.table import parse_task
from tests.cluster.conftest import numbers_of, write_numbered


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four numbered videos of 20, 40, 60 and 80 frames."""
    folder = tmp_path_factory.mktemp("clips")
    return [write_numbered(folder / f"{n}.mp4", frames=20 * n) for n in range(1, 5)]


def items_of(sources: Sequence[Path | str], folder: Path, **job: object) -> list[Item]:
    encode = EncodeRequest(qp=0, preset="ultrafast")
    made = []
    for line, source in enumerate(sources, 1):
        name = f"{line}-{Path(source).stem}.mp4"
        one = replace(RenderJob(str(source), str(folder / name), encode=encode, segment_seconds=0.8), **job)  # type: ignore[arg-type]
        made.append(Item(name, line, one))
    return made


def remedy_of(item: Item) -> str:
    return command_of(item.job)


class Run:
    """A batch of threads, and what it told."""

    def __init__(self, items: Sequence[Item], scratch: Path, cells: int = 2) -> None:
        self.events: list[Event] = []
        self.items = items
        self.fleet = ThreadFleet(Storage(), "cpu", scratch, cells=cells)
        self.journal = Journal(self.events.append)
        there = present(Storage(), [item.job.output for item in items])
        self.batch = Batch(items, self.fleet, self.journal, Storage(), remedy_of, outputs_there=there)

    def finished(self) -> dict[str, str]:
        try:
            return self.batch.run()
        finally:
            self.fleet.close()

    def made_all(self) -> None:
        """To its end, with all rendered."""
        phases = self.finished()
        assert set(phases.values()) == {"rendered"}, [self.last(name) for name in phases]

    def of(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def last(self, name: str) -> VideoChanged:
        return [event for event in self.events if isinstance(event, VideoChanged) and event.video == name][-1]


def shown_in(folder: Path) -> list[str]:
    """What a person sees there."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def rendered_units(run: Run) -> list[tuple[str, int]]:
    return [(event.video, event.number) for event in run.of(UnitDone) if event.work == "render"]  # type: ignore[attr-defined]


def test_every_video_of_a_batch_is_rendered_whole(clips: list[Path], tmp_path: Path) -> None:
    run = Run(items_of(clips, tmp_path / "out"), tmp_path)
    assert set(run.finished().values()) == {"rendered"}
    for n, item in enumerate(run.items, 1):
        assert numbers_of(item.job.output) == list(range(20 * n))
    assert len(rendered_units(run)) == len(set(rendered_units(run)))
    assert shown_in(tmp_path / "out") == sorted(item.name for item in run.items)
    assert isinstance(run.events[-1], RunEnded)
    assert run.events[-1].status == "rendered"
    assert [event.at for event in run.events] == sorted(event.at for event in run.events)


def test_the_bad_ones_are_told_and_harm_nobody(clips: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    content = bytearray(clips[3].read_bytes())
    third = len(content) // 3
    content[third : 2 * third] = bytes(third)
    broken.write_bytes(content)
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    items = items_of([clips[0], broken, text, clips[1]], tmp_path / "out")
    items.append(
        replace(items_of([clips[2]], tmp_path / "out", tasks=(parse_task("rehearsal:fail_at=30"),))[0], line=9)
    )
    run = Run(items, tmp_path)
    phases = run.finished()
    assert [phases[item.name] for item in items] == ["rendered", "failed", "refused", "rendered", "failed"]
    assert run.last(items[1].name).kind == "SourceError"
    assert "text.mp4" in run.last(items[2].name).message
    asked_to_fail = run.last(items[4].name)
    assert "asked to fail at frame 30" in asked_to_fail.message
    assert "given up" in asked_to_fail.message
    assert asked_to_fail.remedy.startswith("reelyard render ")
    assert run.events[-1].status == "partial"  # type: ignore[attr-defined]
    assert not Path(items[4].job.output).exists()


def test_the_same_batch_again_finishes_what_is_missing(clips: list[Path], tmp_path: Path) -> None:
    items = items_of(clips, tmp_path / "out")
    assert set(Run(items[:2], tmp_path).finished().values()) == {"rendered"}
    stamps = {item.name: Path(item.job.output).stat().st_mtime_ns for item in items[:2]}
    again = Run(items, tmp_path)
    phases = again.finished()
    assert [phases[item.name] for item in items] == ["already done", "already done", "rendered", "rendered"]
    assert {item.name: Path(item.job.output).stat().st_mtime_ns for item in items[:2]} == stamps
    assert {video for video, _ in rendered_units(again)} == {items[2].name, items[3].name}


def steps_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the calls outside cells, as they are made."""
    made: list[str] = []
    real = run.fleet.do

    def do(step: Any, *arguments: object, stopped: Any) -> Any:
        made.append(step.__name__)
        return real(step, *arguments, stopped=stopped)

    monkeypatch.setattr(run.fleet, "do", do)
    return made


def test_what_an_earlier_run_made_is_known_without_a_look(
    clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = items_of(clips, tmp_path / "out")
    Run(items, tmp_path).made_all()
    again = Run(items, tmp_path)
    made = steps_of(again, monkeypatch)
    assert set(again.finished().values()) == {"already done"}
    assert made == ["recalled"]
    assert sum(event.frames for event in again.of(VideoChanged) if event.phase == "already done") == 200  # type: ignore[attr-defined]


def test_an_output_that_another_job_wrote_meanwhile_is_looked_at(clips: list[Path], tmp_path: Path) -> None:
    items = items_of(clips[:2], tmp_path / "out")
    Run(items, tmp_path).made_all()
    shutil.copy(clips[3], items[0].job.output)
    again = Run(items, tmp_path)
    phases = again.finished()
    assert [phases[item.name] for item in items] == ["refused", "already done"]
    assert "exists and is not this job's" in again.last(items[0].name).message


def test_a_copy_of_what_an_earlier_run_rendered_takes_over_its_output(clips: list[Path], tmp_path: Path) -> None:
    twin = tmp_path / "twin.mp4"
    shutil.copy(clips[1], twin)
    items = items_of([twin, clips[1]], tmp_path / "out")
    Run(items[1:], tmp_path).made_all()
    again = Run(items, tmp_path)
    phases = again.finished()
    assert [phases[item.name] for item in items] == ["duplicate", "already done"]
    assert rendered_units(again) == []
    assert Path(items[0].job.output).read_bytes() == Path(items[1].job.output).read_bytes()


def test_what_shows_the_same_is_rendered_once(clips: list[Path], tmp_path: Path) -> None:
    twin = tmp_path / "twin.mp4"
    shutil.copy(clips[1], twin)
    items = items_of([clips[1], clips[0], twin, clips[1]], tmp_path / "out")
    run = Run(items, tmp_path)
    phases = run.finished()
    assert [phases[item.name] for item in items] == ["rendered", "rendered", "duplicate", "duplicate"]
    assert {video for video, _ in rendered_units(run)} == {items[0].name, items[1].name}
    assert Path(items[2].job.output).read_bytes() == Path(items[0].job.output).read_bytes()
    assert shown_in(tmp_path / "out") == sorted(item.name for item in items)
    assert set(Run(items, tmp_path).finished().values()) == {"already done"}


def test_a_batch_that_is_stopped_goes_on_where_it_was(clips: list[Path], tmp_path: Path) -> None:
    items = items_of(clips, tmp_path / "out", tasks=(parse_task("rehearsal:milliseconds=15"),))
    run = Run(items, tmp_path, cells=1)
    enough = threading.Event()

    def interrupt(event: Event) -> None:
        if isinstance(event, UnitDone) and len(rendered_units(run)) >= 3:
            enough.set()

    run.journal.listen(interrupt)
    real_wait = run.batch._turns.wait

    def wait(timeout: float) -> bool:
        if enough.is_set():
            raise KeyboardInterrupt
        return real_wait(timeout)

    run.batch._turns.wait = wait  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run.finished()
    done = set(rendered_units(run))
    assert run.events[-1].status == "stopped"  # type: ignore[attr-defined]
    again = Run(items, tmp_path)
    assert set(again.finished().values()) <= {"rendered", "already done"}
    assert not done & set(rendered_units(again))
    for n, item in enumerate(items, 1):
        assert numbers_of(item.job.output) == list(range(20 * n))


def test_two_drivers_share_the_videos(clips: list[Path], tmp_path: Path) -> None:
    items = items_of(clips, tmp_path / "out", tasks=(parse_task("rehearsal:milliseconds=10"),))
    runs = [Run(items, tmp_path, cells=1) for _ in range(2)]
    for run in runs:
        run.batch._settings = replace(run.batch._settings, most_journeys=1)
    threads = [threading.Thread(target=run.finished) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    for run in runs:
        assert run.events[-1].status == "rendered"  # type: ignore[attr-defined]
    for n, item in enumerate(items, 1):
        assert numbers_of(item.job.output) == list(range(20 * n))
    units = [unit for run in runs for unit in rendered_units(run)]
    assert len(units) == len(set(units))
    assert shown_in(tmp_path / "out") == sorted(item.name for item in items)


def test_free_slots_are_accounted_with_a_reason(clips: list[Path], tmp_path: Path) -> None:
    run = Run(
        items_of(clips[:1], tmp_path / "out", tasks=(parse_task("rehearsal:milliseconds=20"),)), tmp_path, cells=4
    )
    begun = time.monotonic()
    run.finished()
    wall = time.monotonic() - begun
    idle = sum(event.slot_seconds for event in run.of(SlotsIdle))  # type: ignore[attr-defined]
    assert 0.3 * 8 * wall < idle < 8 * wall
    assert all(event.reason for event in run.of(SlotsIdle))  # type: ignore[attr-defined]
    assert {event.video for event in run.of(LeaseBegan)} == {run.items[0].name}  # type: ignore[attr-defined]
    assert not [event for event in run.of(Noted) if event.video]  # type: ignore[attr-defined]


def test_a_store_that_fails_for_a_while_costs_no_video(
    clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = [6]
    real = Storage.put_bytes

    def put(self: Storage, data: bytes, uri: str, *, create_only: bool = False) -> None:
        if failing[0] and ("claim-" in uri or "plan-" in uri):
            failing[0] -= 1
            raise StorageError(f"{uri}: could not write: slow down")
        real(self, data, uri, create_only=create_only)

    monkeypatch.setattr(Storage, "put_bytes", put)
    monkeypatch.setattr("cluster.batch.journeys._AGAIN_SECONDS", (0.01,) * 7)
    run = Run(items_of(clips, tmp_path / "out"), tmp_path)
    assert set(run.finished().values()) == {"rendered"}
    assert failing == [0]
