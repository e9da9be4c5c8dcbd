"""The live lines and table of a batch: their words, and that they are cheap and never wrong about time."""

import threading

import pytest

from cluster.cli.batch_lines import ending_of, lines_of, summary_of
from cluster.cli.batch_progress import BatchLines, LiveTable, shown_batch
from cluster.events import (
    CellDraining,
    CellStarted,
    CellStopped,
    Event,
    FramesPassed,
    LeaseBegan,
    Noted,
    RunBegan,
    UnitDone,
    VideoChanged,
)
from cluster.report.batch_document import batch_document_of
from cluster.report.state import folded
from tests.cluster.runs import run


def _under_way() -> list[Event]:
    return [
        RunBegan(0.0, 200, "2026-11-21T12:00:00+00:00", "reelyard batch m.jsonl -o out"),
        CellStarted(0.0, "cell-0", "10.0.0.1", "l4", 2),
        VideoChanged(0.0, "a", "rendering", frames=1000, segments=4),
        VideoChanged(0.0, "b", "failed", message="b.mp4: not a video"),
        LeaseBegan(0.0, 1, "cell-0", "a", "render", (0,), 250),
        UnitDone(10.0, 1, "a", "render", 0, 250),
    ]


def test_the_summary_is_one_line() -> None:
    state = folded(_under_way())
    assert summary_of(state, 10.0, 95.0) == (
        "1 of 200 videos (1 failed), 1 rendering, 25.0 frames/s, 1 cell 100 % at work, 1:35 left"
    )
    assert summary_of(folded([]), 0.0, None) == "0 of 0 videos, 0 cells 0 % at work"


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        (
            VideoChanged(9.5, "a", "rendered", output="s3://o/a.mp4", frames=1),
            ["rendered: a (1 frame in 9.5 s) -> s3://o/a.mp4"],
        ),
        (VideoChanged(1, "a", "already done"), ["already done: a"]),
        (VideoChanged(1, "a", "duplicate", message="of b"), ["duplicate: a (of b)"]),
        (VideoChanged(1, "a", "failed", message="why", remedy="do"), ["failed: a: why", "  that one alone: do"]),
        (VideoChanged(1, "a", "refused", kind="SourceError"), ["refused: a: SourceError"]),
        (VideoChanged(1, "a", "rendering"), []),
        (CellStarted(1, "c", "n", "l4", 2), ["c is up: l4 on n, 2 slots"]),
        (CellDraining(1, "c", 90.0), ["c takes no more work: its node goes in 1:30"]),
        (CellStopped(1, "c", "node n was lost"), ["c is gone: node n was lost"]),
        (Noted(1, "place", "joined", "--address"), ["place: joined (--address)"]),
        (Noted(1, "retry", "again", "503", "a"), []),
    ],
)
def test_what_a_person_is_told_of_an_event(event: Event, lines: list[str]) -> None:
    state = folded([VideoChanged(0.0, "a", "probing"), event])
    assert list(lines_of(event, state)) == lines


def test_the_last_lines_say_what_is_missing_and_what_to_do() -> None:
    lines = list(ending_of(batch_document_of(folded(run()), {"*": 3.0}, {}), "r.json", "r.html"))
    assert lines[0] == ("failed: talk-0002: segment 0 failed on 2 workers: OutOfVram: needs 9.1 GB, free 6.0 GB")
    assert lines[1].startswith("  that one alone: reelyard render s3://in/talk-0002.mp4")
    assert lines[2] == "refused: talk-0003: s3://in/talk-0003.mp4: <not> a video & more"
    assert "partial: 12 videos (" in lines[3]
    assert "9 rendered" in lines[3]
    assert lines[4].startswith("cells: 94.1 % at work; free slot-seconds: no work ready ")
    assert lines[5] == "cost: 0.12 for 0.04 GPU-hours"
    assert lines[6] == "report: r.json, page r.html"


def test_of_many_failures_the_last_lines_name_some() -> None:
    state = folded([VideoChanged(1.0, f"v{n}", "failed", message="why") for n in range(50)])
    lines = list(ending_of(batch_document_of(state, {}, {})))
    assert len(lines) == 22
    assert lines[20] == "and 30 more; the report names them all"
    assert lines[21] == "running: 50 videos (50 failed) in 1.0 s"


def test_time_goes_on_without_events() -> None:
    said: list[str] = []
    now = [0.0]
    lines = BatchLines(say=said.append, clock=lambda: now[0])
    for event in _under_way():
        lines(event)
    now[0] = 2.0
    assert lines.now == 12.0
    lines.show()
    lines.show()
    summaries = [line for line in said if "of 200 videos" in line]
    assert len(summaries) == 1
    assert "1 rendering, 20.8 frames/s, 1 cell 100 % at work" in summaries[0]


def test_nothing_is_summed_up_before_the_run_began() -> None:
    said: list[str] = []
    BatchLines(say=said.append).show()
    assert said == []


def test_many_threads_may_tell(capsys: pytest.CaptureFixture[str]) -> None:
    lines = BatchLines(say=lambda line: None)

    def tell() -> None:
        for _ in range(500):
            lines(FramesPassed(1.0, "render", 1))
            lines(VideoChanged(1.0, threading.current_thread().name, "rendering", frames=5))

    threads = [threading.Thread(target=tell) for _ in range(4)]
    with lines.ticking():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert lines.state.videos.phases["rendering"] == 4
    assert lines.state.videos.frames_left == 20


def _drawn(table: LiveTable) -> str:
    from rich.console import Console

    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table.picture())
    return console.export_text()


def test_the_table_tells_videos_speed_cells_and_what_is_left() -> None:
    table = LiveTable(remaining=lambda: 125.0, clock=lambda: 0.0)
    for event in [*_under_way(), VideoChanged(10.0, "[red]x", "waiting")]:
        table.state.take(event)
    text = _drawn(table)
    for words in (
        "1 of 200 videos",
        "25.0 frames/s",
        "100 % at work",
        "2:05 left",
        "1 failed",
        "198 waiting, 1 rendering",
    ):
        assert words in text, words
    assert "cell-0" in text
    assert "1/2" in text


def test_a_table_of_many_cells_shows_the_free_ones_first() -> None:
    table = LiveTable(clock=lambda: 0.0)
    for number in range(100):
        table.state.take(CellStarted(0.0, f"cell-{number}", "n", "l4", 2))
        if number != 77:
            table.state.take(LeaseBegan(0.0, number, f"cell-{number}", "[b]v", "render", (0,), 1))
    rows = _drawn(table).splitlines()
    assert len(rows) < 24
    assert any("cell-77 " in row and "free" in row for row in rows)
    assert any("and 84 more" in row for row in rows)
    assert any("[b]v" in row for row in rows)


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_batch(quiet=True) as listener:
        for event in run():
            listener(event)
    assert capsys.readouterr() == ("", "")


def test_away_from_a_terminal_lines_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_batch(quiet=False) as listener:
        for event in run():
            listener(event)
    said = capsys.readouterr().err
    assert "rendered: talk-0000" in said
    assert "\x1b" not in said
