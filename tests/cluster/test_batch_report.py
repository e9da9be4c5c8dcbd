"""What is told of a batch: the fold over its events, the document, the page, the log."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.events import (
    CellStarted,
    CellStopped,
    Event,
    FramesPassed,
    LeaseBegan,
    LeaseEnded,
    Noted,
    RunBegan,
    RunEnded,
    SlotsIdle,
    StepEnded,
    UnitDone,
    VideoChanged,
)
from cluster.report.batch_document import batch_document_of, cost_of
from cluster.report.batch_page import batch_page_of
from cluster.report.bins import Bins, Recent
from cluster.report.lanes import Lanes, Span, thinned
from cluster.report.record import Places, Record, places_of
from cluster.report.state import RunState, folded
from cluster.report.timeline import gantt_of, natural
from pipeline.storage import Storage
from tasks.errors import JobError
from tests.cluster.runs import run


def _two_cells() -> list[Event]:
    """Ten seconds: one cell works from 0 to 10 and is lost, the other from 5 to 10 of 10; two slots each."""
    return [
        RunBegan(0.0, 2, "2026-11-21T12:00:00+00:00", "reelyard batch m.jsonl -o out"),
        CellStarted(0.0, "a", "n1", "l4", 2),
        CellStarted(0.0, "b", "n2", "cpu", 2),
        VideoChanged(0.0, "v", "rendering", frames=400, segments=4),
        LeaseBegan(0.0, 1, "a", "v", "render", (0, 1), 200),
        LeaseBegan(5.0, 2, "b", "v", "render", (2,), 100),
        UnitDone(8.0, 1, "v", "render", 0, 100, 10),
        LeaseEnded(10.0, 2, "failed", "encode", "encode-b", "StorageError", "503", 1.5),
        CellStopped(10.0, "a", "node n1 was lost"),
    ]


def test_busy_shares_are_what_was_leased_of_what_was_offered() -> None:
    cells = folded(_two_cells()).cells
    assert (cells.offered_seconds, cells.leased_seconds) == (40.0, 15.0)
    assert cells.slot_share == 15 / 40
    assert cells.busy_share == 15 / 20
    assert sum(cells.leased_curve.amounts) == pytest.approx(15.0)


def test_a_lost_cell_loses_its_leases_once() -> None:
    late = LeaseEnded(10.5, 1, "lost", kind="WorkerLost", message="again")
    state = folded([*_two_cells(), late])
    assert dict(state.outcomes) == {"failed": 1, "lost": 1}
    assert state.retries["WorkerLost", "", "lost"].latest == "node n1 was lost"
    assert state.videos.by_name["v"].failed_leases == 2
    assert not state.cells.open
    assert (state.cells.up, state.cells.slots, state.cells.at_work) == (1, 2, 0)


def test_what_is_left_counts_unknown_videos_as_the_known_ones() -> None:
    state = folded(_two_cells())
    assert state.videos.frames_left == 300 + 400
    state.take(VideoChanged(11.0, "v", "rendered"))
    assert state.videos.frames_left == 400
    state.take(VideoChanged(12.0, "w", "refused", message="not a video"))
    assert state.videos.frames_left == 0
    assert state.remaining_seconds() == 0.0


def test_a_run_without_events_has_a_report() -> None:
    state = RunState()
    document = batch_document_of(state, {}, {})
    assert document["run"]["status"] == "running"
    assert document["cost"]["cost"] is None
    _check_page(batch_page_of(document, state))


def test_idle_time_without_a_reason_is_said() -> None:
    state = folded([*_two_cells(), SlotsIdle(10.0, "b", "no work ready", 10.0)])
    idle = batch_document_of(state, {}, {})["idle"]
    assert idle == {"not explained": 15.0, "no work ready": 10.0}


def test_only_gpu_hours_are_paid_busy_or_not() -> None:
    state = folded(_two_cells())
    assert cost_of(state, {"*": 3.6})["cost"] == pytest.approx(0.01)
    assert cost_of(state, {"l4": 3.6, "*": 9.0})["gpu_hours"] == {"l4": pytest.approx(10 / 3600, abs=1e-4)}
    assert cost_of(state, {"h100": 3.6})["cost"] is None


def test_frames_passed_tell_the_speed_of_now_and_count_for_nothing_else() -> None:
    state = RunState()
    for second in range(40):
        state.take(FramesPassed(float(second), "render", 50))
    assert state.recent_rate("render") == pytest.approx(50, rel=0.1)
    assert state.recent_rate("render", now=100.0) == 0.0
    assert state.frames["render"] == 0


@given(st.lists(st.tuples(st.floats(0, 5000), st.floats(0, 400), st.floats(0, 1e6)), max_size=40))
def test_no_amount_is_lost_in_a_curve(added: list[tuple[float, float, float]]) -> None:
    bins = Bins(limit=16)
    for start, length, amount in added:
        bins.add(start, start + length, amount)
    assert sum(bins.amounts) == pytest.approx(sum(amount for _, _, amount in added), rel=1e-6, abs=1e-6)
    assert len(bins.amounts) <= 16
    assert sum(bins.at_width(bins.width_seconds * 4)) == pytest.approx(sum(bins.amounts))


def test_a_recent_rate_begins_with_its_first_stretch() -> None:
    recent = Recent()
    recent.add(10.0, 100, since=0.0)
    assert recent.rate(10.0) == 10.0


@given(st.lists(st.sampled_from(["done", "failed", "cancelled"]), min_size=1, max_size=200), st.integers(1, 20))
def test_thinned_lanes_hold_all_leases_and_frames_in_order(outcomes: list[str], limit: int) -> None:
    spans = [Span(float(n), n + 0.9, "render", how, f"v{n // 7}", (n, n), 10) for n, how in enumerate(outcomes)]
    thin = thinned({("a", 0): spans}, limit)["a", 0]
    assert len(thin) <= limit
    assert sum(span.count for span in thin) == len(outcomes)
    assert sum(span.frames for span in thin) == 10 * len(outcomes)
    assert all(first.end <= second.start for first, second in pairwise(thin))
    if "failed" in outcomes:
        assert any(span.outcome == "failed" for span in thin)


def test_memory_for_lanes_is_bounded_whatever_the_length() -> None:
    lanes = Lanes(limit=500)
    for n in range(20_000):
        lanes.add((f"cell-{n % 10}", 0), Span(n * 1.0, n + 0.9, "render", "done" if n % 3 else "failed"))
    kept = [span for spans in lanes.rows.values() for span in spans]
    assert len(kept) <= 500
    assert sum(span.count for span in kept) == 20_000


def test_steps_of_one_time_lie_below_each_other() -> None:
    state = folded([StepEnded(5.0, "v", "probe", "side", 5.0), StepEnded(6.0, "w", "probe", "side", 3.0)])
    assert sorted(state.step_lanes.rows) == [("side", 0), ("side", 1)]
    assert state.steps["probe"].seconds == 8.0


def test_the_document_is_plain_json_and_tells_each_video() -> None:
    document = json.loads(json.dumps(batch_document_of(folded(run()), {"*": 1.0}, {"reelyard": "0.1.0"})))
    assert document["totals"]["phases"] == {"rendered": 9, "refused": 1, "already done": 1, "failed": 1}
    assert [failure["video"] for failure in document["failures"]] == ["talk-0002", "talk-0003"]
    assert document["failures"][0]["remedy"].startswith("reelyard render s3://in/talk-0002.mp4")
    assert sum(cell["frames"] for cell in document["cells"]) == document["totals"]["frames_rendered"] == 9 * 1500
    assert sum(document["curve"]["frames_rendered"]) == pytest.approx(9 * 1500, abs=1)
    assert {len(v) for v in document["curve"].values() if isinstance(v, list)} == {
        len(document["curve"]["frames_rendered"])
    }
    gone = next(cell for cell in document["cells"] if cell["name"] == "cell-0")
    assert gone["lives"][0]["reason"] == "node 10.0.0.0 was lost"
    assert sum(document["idle"].values()) + document["speed"]["slot_seconds_leased"] == pytest.approx(
        document["speed"]["slot_seconds_offered"], abs=0.01
    )


def test_choices_of_the_run_stand_before_those_of_videos() -> None:
    notes = [Noted(0.0, "retry", f"segment {n}", "503", "v") for n in (1, 1, 2)]
    document = batch_document_of(folded([*notes, Noted(1.0, "place", "local", "no --address")]), {}, {})
    assert [(d["what"], d["choice"], d["times"]) for d in document["decisions"]] == [
        ("place", "local", 1), ("retry", "segment 1", 2), ("retry", "segment 2", 1),
    ]  # fmt: skip


def _check_page(page: str) -> None:
    """Well formed, and asking for nothing beside it."""
    open_tags: list[str] = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "br"):
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag, tag

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            pass

    Balance().feed(page)
    assert not open_tags
    assert not re.search(r"""(src|href)\s*=\s*["']|url\(|@import|https?://""", page)


@pytest.mark.parametrize(("cells", "videos", "losses"), [(1, 1, 0), (3, 12, 1), (40, 300, 3)])
def test_the_page_stands_alone_for_any_size(cells: int, videos: int, losses: int) -> None:
    state = folded(run(cells, videos, losses=losses))
    page = batch_page_of(batch_document_of(state, {"*": 2.0}, {}), state)
    _check_page(page)
    assert page.count("<rect") < 12_000
    assert len(page) < 2_000_000
    for words in ("Where the time went", "Throughput", "Why slots stood free", f"cell-{cells - 1}"):
        assert words in page


def test_an_unfinished_run_shows_what_was_running() -> None:
    state = folded([*_two_cells()[:6], Noted(7.0, "device", "cpu", "no GPU")])
    gantt = gantt_of(state)
    assert [bar.label for row in gantt.rows for bar in row.bars] == [
        "render v, segments 0–1, 200 frames, 0:00 to 0:07 (7.0 s), running",
        "render v, segment 2, 100 frames, 0:05 to 0:07 (2.0 s), running",
    ]
    assert "no end of this run was told" in batch_page_of(batch_document_of(state, {}, {}), state)


_EVIL = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def test_texts_of_the_user_cannot_become_markup() -> None:
    state = folded(
        [
            RunBegan(0.0, 1, _EVIL, _EVIL),
            CellStarted(0.0, _EVIL, _EVIL, _EVIL, 2),
            VideoChanged(0.0, _EVIL, "rendering", _EVIL, _EVIL, frames=9, segments=1),
            StepEnded(0.5, _EVIL, _EVIL, _EVIL, 0.5),
            LeaseBegan(0.5, 1, _EVIL, _EVIL, _EVIL, (0,), 9),
            UnitDone(0.7, 1, _EVIL, "render", 0, 9),
            LeaseEnded(1.0, 1, "failed", _EVIL, _EVIL, _EVIL, _EVIL),
            SlotsIdle(1.0, _EVIL, _EVIL, 1.0),
            Noted(1.0, _EVIL, _EVIL, _EVIL, _EVIL),
            VideoChanged(1.0, _EVIL, "failed", message=_EVIL, kind=_EVIL, remedy=_EVIL),
            CellStopped(1.0, _EVIL, _EVIL),
            RunEnded(1.0, _EVIL),
        ]
    )
    page = batch_page_of(batch_document_of(state, {"*": 1.0}, {_EVIL: _EVIL}), state)
    _check_page(page)
    assert page.count("<script>") == 1
    assert "<img" not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") > 20


def test_cells_are_listed_as_a_person_counts() -> None:
    assert sorted(["cell-10", "cell-2", "b", "2"], key=natural) == ["2", "b", "cell-2", "cell-10"]


def test_reports_lie_below_the_output_prefix_or_where_asked() -> None:
    places = places_of("s3://b/out/", "2026-11-21T12:34:56+00:00")
    assert (places.report, places.page) == ("s3://b/out/report.json", "s3://b/out/report.html")
    assert re.fullmatch(r"s3://b/out/events/20261121T123456-[0-9a-f]{6}", places.events)
    assert places_of("out", "2026", "r/x.json").page == "r/x.html"
    with pytest.raises(JobError, match=r"--report x.txt: expected a name that ends in \.json"):
        places_of("out", "2026", "x.txt")


def test_a_record_writes_report_page_and_log(tmp_path: Path) -> None:
    told: list[Event] = []
    record = Record(Storage(), places_of(str(tmp_path), "2026-11-21T12:00:00"), told.append)
    for event in run():
        record(event)
    document = record.finish({"*": 1.0}, {"reelyard": "0.1.0"})
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(document))
    _check_page((tmp_path / "report.html").read_text())
    assert len(told) == len((Path(record.places.events) / "events.jsonl").read_text().splitlines())


def test_a_listener_that_fails_is_told_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[Event] = []
    calls: list[Event] = []

    def broken(event: Event) -> None:
        calls.append(event)
        raise ValueError("no terminal")

    listeners: list[Callable[[Event], None]] = [broken, told.append]
    record = Record(Storage(), places_of(str(tmp_path), "2026"), *listeners)
    for event in _two_cells():
        record(event)
    assert len(calls) == 1
    assert len(told) == len(_two_cells())
    assert "failed and is told no more" in caplog.text
    record.finish({}, {})


def test_a_report_that_cannot_be_written_is_said_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    places = Places(str(tmp_path / "file" / "report.json"), str(tmp_path / "report.html"), str(tmp_path / "events"))
    record = Record(Storage(), places)
    assert record.finish({}, {})["schema"] == 1
    assert "the report could not be written" in caplog.text
