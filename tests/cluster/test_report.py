"""The report: a document in plain types, and a page that stands alone."""

import json
import re
from html.parser import HTMLParser

import pytest

from cluster.report.chart import WIDTH, chart_of
from cluster.report.document import Usage, document_of
from cluster.report.files import report_uris
from cluster.report.page import page_of
from cluster.report.pictures import Picture, Pictures
from pipeline.part import Part
from pipeline.pool import Decision
from pipeline.run_report import RunReport, StageSpan
from tasks.errors import JobError

_PIXEL = "data:image/jpeg;base64,/9j/4AAQSkZJRg=="


def _report(**changed: object) -> RunReport:
    part = Part(0, 0, 50, "k" * 40, "p.nut", 12345, "", "", "", 2, {"kept: no face": 3}, {"encode": 1.25}, "encode-0")
    facts: dict[str, object] = {
        "job_key": "a" * 40, "source": "in.mp4", "output": "out.mp4", "status": "rendered",
        "source_facts": {"codec": "h264", "frames": 50}, "timeline": {"frames": 50, "duration_seconds": 2.0},
        "encode": {"encoder": "libx264", "options": {"crf": "18"}},
        "tasks": ({"name": "lip-sync", "options": {"face": "largest"}, "kept": {"no face": 3}},),
        "decisions": (Decision("device", "cpu", "no usable GPU"),), "notes": ("alpha dropped",),
        "counts": {"frames": 50, "segments": 1, "segments resumed": 0}, "parts": (part,),
        "stages": (StageSpan("probe", 0.0, 0.5), StageSpan("render", 0.5, 4.0),
                   StageSpan("segment 0", 0.5, 4.0, "encode-0")),
        "wall_seconds": 4.5, "frames_per_second": 14.3,
    } | changed  # fmt: skip
    return RunReport(**facts)  # type: ignore[arg-type]


def _document(**changed: object) -> dict[str, object]:
    usage = [Usage("driver", 1.5, 10**8), Usage("encode-0", 3.0, 5 * 10**8)]
    return document_of(_report(**changed), usage, 2.0, {"reelyard": "0.1.0", "python": "3.11"})


def test_the_document_is_plain_json_and_complete() -> None:
    document = json.loads(json.dumps(_document()))
    assert document["speed"]["cpu_seconds"] == 4.5
    assert document["segments"][0]["counts"] == {"kept: no face": 3}
    assert document["decisions"] == [{"what": "device", "choice": "cpu", "reason": "no usable GPU"}]
    assert document["tasks"][0]["kept"] == {"no face": 3}


def test_the_page_is_well_formed_and_asks_for_nothing() -> None:
    picture = Picture(0.0, _PIXEL)
    page = page_of(_document(), Pictures((picture,) * 3, (picture,) * 12))
    open_tags: list[str] = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "img", "line", "br"):
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            pass

    Balance().feed(page)
    assert not open_tags
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)|url\(|@import|<script""", page)
    assert page.count(_PIXEL) == 15
    for words in ("alpha dropped", "no usable GPU", "no face 3", "libx264"):
        assert words in page


def test_texts_of_the_user_cannot_become_markup() -> None:
    page = page_of(_document(output="<script>alert(1)</script>.mp4", notes=("<b>",)), Pictures())
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<b>&" not in page.replace("<b>50</b>", "")


def test_a_page_without_stages_or_parts_still_stands() -> None:
    page = page_of(_document(stages=(), parts=(), tasks=(), notes=()), Pictures())
    assert "Where the time went" not in page


def test_bars_keep_to_the_chart_and_do_not_overlap_in_a_row() -> None:
    spans = [
        {"name": f"segment {i}", "start_seconds": i * 1.0, "end_seconds": i * 1.0 + 1.7, "worker": "encode-0"}
        for i in range(6)
    ]
    chart = chart_of(spans)
    assert sum(len(lane.bars) for lane in chart.lanes) == 6
    for lane in chart.lanes:
        ends = [bar.x + bar.width for bar in lane.bars]
        starts = [bar.x for bar in lane.bars]
        assert all(end <= start + 1e-6 for end, start in zip(ends, starts[1:], strict=False))
        assert max(ends) <= WIDTH + 1.5


def test_the_report_lies_beside_the_output_or_where_asked() -> None:
    assert report_uris("s3://b/o.mp4", None) == ("s3://b/o.mp4.report.json", "s3://b/o.mp4.report.html")
    assert report_uris("o.mp4", "r/x.json") == ("r/x.json", "r/x.html")
    with pytest.raises(JobError, match=r"ends in \.json"):
        report_uris("o.mp4", "report.txt")
