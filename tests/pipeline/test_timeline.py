"""Laws of the timeline: which frame is shown when, whatever the rate and the fit."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.job import RenderJob, parse_fit, parse_frame_rate, parse_trim
from pipeline.timeline import plan_timeline
from tasks.errors import JobError
from tests.pipeline.made import source_index

JOB = RenderJob("in.mp4", "out.mp4")

gaps = st.lists(st.integers(1, 200), min_size=1, max_size=60)


def _index(durations, **more):
    edges = np.concatenate([[0], np.cumsum(durations)])
    return source_index(edges[:-1], end_pts=int(edges[-1]), **more)


@given(gaps)
def test_identity_keeps_every_frame_and_pts(durations):
    index = _index(durations)
    timeline = plan_timeline(index, JOB, None)
    assert np.array_equal(timeline.pts, index.frame_pts)
    assert np.array_equal(timeline.source_frames, np.arange(len(durations)))
    assert timeline.end_pts == index.end_pts
    assert timeline.carries_streams


def test_identity_keeps_a_late_start_but_not_a_clock_that_starts_anywhere():
    late = source_index([500, 540, 580], end_pts=620)
    assert plan_timeline(late, JOB, None).pts.tolist() == [500, 540, 580]
    stream = source_index([95443500, 95443540], end_pts=95443580, origin=Fraction(95443500, 1000))
    assert plan_timeline(stream, JOB, None).pts.tolist() == [0, 40]


@given(gaps, st.integers(1, 20_000), st.sampled_from(["loop", "ping-pong", "hold"]))
def test_fit_audio_covers_the_voice_and_no_frame_more(durations, milliseconds, how):
    index = _index(durations)
    timeline = plan_timeline(index, replace(JOB, fit=f"audio:{how}"), Fraction(milliseconds, 1000))
    assert timeline.end_pts >= min(milliseconds, timeline.end_pts)
    assert timeline.end_pts >= milliseconds
    assert timeline.pts[-1] < milliseconds
    assert np.all(np.diff(timeline.pts) > 0)
    assert timeline.source_frames.min() >= 0
    assert timeline.source_frames.max() < len(durations)


@given(gaps.filter(lambda g: len(g) > 2), st.integers(1, 5))
def test_loop_shows_each_frame_as_long_as_the_source_does(durations, rounds):
    index = _index(durations)
    timeline = plan_timeline(index, replace(JOB, fit="audio:loop"), Fraction(sum(durations) * rounds, 1000))
    shown = np.diff(np.append(timeline.pts, timeline.end_pts))
    assert shown.tolist() == durations * rounds
    assert timeline.source_frames.tolist() == list(range(len(durations))) * rounds


def test_ping_pong_never_shows_the_turning_frame_twice_in_a_row():
    index = _index([40] * 5)
    timeline = plan_timeline(index, replace(JOB, fit="audio:ping-pong"), Fraction(18 * 40, 1000))
    assert timeline.source_frames.tolist() == [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0, 1]
    assert not timeline.monotonic


def test_a_longer_source_is_cut_to_the_voice():
    timeline = plan_timeline(_index([40] * 100), JOB, Fraction(1))
    assert len(timeline) == 25
    assert timeline.kind == "cut"
    assert timeline.carries_streams


def test_fit_video_leaves_the_frames_alone():
    timeline = plan_timeline(_index([40] * 10), replace(JOB, fit="video"), Fraction(9))
    assert len(timeline) == 10


def test_a_still_is_held_for_the_voice_at_25_frames_a_second():
    timeline = plan_timeline(_index([1], still=True), JOB, Fraction(101, 100))
    assert len(timeline) == 26
    assert set(timeline.source_frames.tolist()) == {0}
    assert timeline.frame_rate == 25


@settings(max_examples=200)
@given(
    st.sampled_from([Fraction(24000, 1001), Fraction(30000, 1001), Fraction(25), Fraction(60), Fraction(10)]),
    gaps,
)
def test_frame_rate_conversion_is_constant_and_shows_what_was_on_screen(rate, durations):
    index = _index(durations, variable=True)
    timeline = plan_timeline(index, replace(JOB, frame_rate=rate), None)
    assert set(np.diff(timeline.pts).tolist()) <= {rate.denominator}
    assert timeline.time_base == Fraction(1, rate.numerator)
    assert timeline.monotonic
    for pts, shown in zip(timeline.pts.tolist(), timeline.source_frames.tolist(), strict=True):
        middle = min((pts * timeline.time_base + Fraction(1, 2) / rate) * 1000, Fraction(sum(durations) - 1))
        edges = np.concatenate([[0], np.cumsum(durations)])
        assert edges[shown] <= middle < edges[shown + 1]


def test_trim_starts_at_zero_and_tells_where_the_sound_begins():
    timeline = plan_timeline(_index([40] * 100), replace(JOB, trim=(Fraction("1.01"), Fraction(2))), None)
    assert timeline.source_frames.tolist() == list(range(26, 50))
    assert timeline.pts[0] == 0
    assert timeline.audio_start_seconds == Fraction(1040, 1000)
    assert timeline.audio_end_seconds == 2


def test_trim_past_the_end_is_refused_with_the_length():
    with pytest.raises(JobError, match=r"lasts 4\.000 s"):
        plan_timeline(_index([40] * 100), replace(JOB, trim=(Fraction(9), None)), None)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("25", Fraction(25)), ("29.97", Fraction(30000, 1001)), ("23.976", Fraction(24000, 1001)),
     ("30000/1001", Fraction(30000, 1001)), ("59.94", Fraction(60000, 1001)), ("12.5", Fraction(25, 2)),
     ("24", Fraction(24)), ("60", Fraction(60))],
)  # fmt: skip
def test_frame_rates_are_exact(text, rate):
    assert parse_frame_rate(text) == rate


@pytest.mark.parametrize("text", ["0", "-3", "abc", "1/0", "2000"])
def test_no_frame_rate_is_refused(text):
    with pytest.raises(JobError, match="--frame-rate"):
        parse_frame_rate(text)


@pytest.mark.parametrize(
    ("text", "trim"),
    [("5:12.5", (Fraction(5), Fraction(25, 2))), (":10", (None, Fraction(10))), ("5:", (Fraction(5), None)),
     ("1:00-1:30", (Fraction(60), Fraction(90))), ("0:01:30.5-", (Fraction(181, 2), None))],
)  # fmt: skip
def test_trim_is_read_in_seconds_or_by_the_clock(text, trim):
    assert parse_trim(text) == trim


@pytest.mark.parametrize("text", ["9:5", "a:b", "5", "1:2:3:4"])
def test_no_trim_is_refused(text):
    with pytest.raises(JobError, match="--trim"):
        parse_trim(text)


def test_an_unknown_fit_names_the_known_ones():
    assert parse_fit("audio") == "audio:ping-pong"
    with pytest.raises(JobError, match="audio:loop"):
        parse_fit("stretch")
