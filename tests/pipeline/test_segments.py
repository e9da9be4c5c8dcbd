"""Laws of segments: they cover the timeline once, on split points, whatever the machine."""

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.job import RenderJob
from pipeline.segments import plan_scan_units, plan_segments
from pipeline.timeline import plan_timeline
from tests.pipeline.made import source_index

JOB = RenderJob("in.mp4", "out.mp4")


def _index(frames, splits):
    return source_index(np.arange(frames) * 40, end_pts=frames * 40, split_points=splits)


@given(
    st.integers(1, 5000),
    st.integers(1, 600),
    st.sampled_from([None, 0.04, 0.5, 2.0, 60.0]),
    st.sampled_from([None, Fraction(7), Fraction(1000)]),
)
def test_segments_cover_the_timeline_once(frames, gop, seconds, voice):
    index = _index(frames, list(range(0, frames, gop)))
    timeline = plan_timeline(index, JOB, voice)
    segments = plan_segments(index, timeline, seconds)
    assert segments[0].start == 0
    assert segments[-1].end == len(timeline)
    assert all(a.end == b.start for a, b in itertools.pairwise(segments))
    assert all(len(segment) > 0 for segment in segments)


@given(st.integers(2000, 20000), st.integers(20, 240))
def test_borders_lie_on_split_points_and_lengths_between_10_and_30_seconds(frames, gop):
    index = _index(frames, list(range(0, frames, gop)))
    segments = plan_segments(index, plan_timeline(index, JOB, None))
    assert all(segment.start % gop == 0 for segment in segments)
    assert all(10 <= len(segment) / 25 <= 30 for segment in segments[:-1])
    assert len(segments[-1]) / 25 <= 30


def test_a_source_without_split_points_is_cut_all_the_same():
    index = _index(5000, [0])
    assert len(plan_segments(index, plan_timeline(index, JOB, None))) > 5


def test_scan_units_do_not_depend_on_the_length_of_segments():
    index = _index(5000, list(range(0, 5000, 50)))
    timeline = plan_timeline(index, JOB, None)
    units = plan_scan_units(index, timeline)
    assert units[0].start == 0
    assert units[-1].end == 5000
    assert plan_segments(index, timeline, 1.0) != plan_segments(index, timeline, 60.0)
    looped = plan_timeline(index, replace(JOB, fit="audio:loop"), Fraction(1000))
    assert plan_scan_units(index, looped) == units


def test_a_trimmed_video_is_scanned_only_inside_the_trim():
    index = _index(5000, list(range(0, 5000, 50)))
    timeline = plan_timeline(index, replace(JOB, trim=(Fraction(50), Fraction(90))), None)
    units = plan_scan_units(index, timeline)
    assert (units[0].start, units[-1].end) == (1250, 2250)
