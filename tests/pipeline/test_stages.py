"""Stages hand on what they are given: order, errors, and nothing left running behind."""

import threading
import time

import numpy as np
import pytest

from pipeline.stages import Stopped, in_thread, split_at, staged
from tasks.errors import SegmentError, SourceError
from tasks.picture import FrameBatch
from tests.pipeline.made import picture_format


def test_items_come_in_order_and_one_ahead():
    made = []

    def items():
        for i in range(10):
            made.append(i)
            yield i

    stream = in_thread(items(), "test", threading.Event())
    assert next(stream) == 0
    time.sleep(0.3)
    assert len(made) <= 3
    assert list(stream) == list(range(1, 10))


def test_an_error_comes_out_after_the_good_items():
    def items():
        yield 1
        raise SourceError("broken")

    stream = in_thread(items(), "test", threading.Event())
    assert next(stream) == 1
    with pytest.raises(SourceError, match="broken"):
        next(stream)


def test_a_dropped_stream_closes_what_it_reads():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    stream = in_thread(items(), "test", threading.Event())
    next(stream)
    stream.close()
    assert closed.wait(2)


def test_a_stopped_run_stops_waiting_stages():
    stop = threading.Event()
    stream = in_thread(iter(lambda: time.sleep(0.01), 1), "test", stop)
    next(stream)
    stop.set()
    with pytest.raises(Stopped):
        list(stream)


def test_failures_are_told_with_stage_worker_and_kind():
    def items():
        yield 1
        raise SourceError("in.mp4: packet 7 is damaged")

    with pytest.raises(SegmentError) as caught:
        list(staged(items(), "decode", "cell-3"))
    assert (caught.value.stage, caught.value.worker, caught.value.kind) == ("decode", "cell-3", "SourceError")
    assert str(caught.value) == "in.mp4: packet 7 is damaged"
    assert isinstance(caught.value.__cause__, SourceError)


def test_batches_are_cut_at_borders_and_lose_nothing():
    format = picture_format(16, 8)

    def batch(first, count):
        numbers = np.arange(first, first + count)
        planes = tuple(
            np.broadcast_to(numbers[:, None, None], (count, *shape)).astype(np.uint8) for shape in format.plane_shapes
        )
        return FrameBatch(format, planes, first, numbers * 40, numbers)

    cut = list(split_at(iter([batch(0, 7), batch(7, 7), batch(14, 2)]), [3, 7, 9, 13, 16]))
    assert [(b.first_frame, len(b)) for b in cut] == [(0, 3), (3, 4), (7, 2), (9, 4), (13, 1), (14, 2)]
    assert [int(b.planes[0][i, 0, 0]) for b in cut for i in range(len(b))] == list(range(16))
    assert all(plane.flags.c_contiguous for b in cut for plane in b.planes)
