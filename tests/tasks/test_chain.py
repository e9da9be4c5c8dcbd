"""Tasks in a row over one batch: order, cost of nothing, and a clean end whatever fails."""

import pickle
import threading

import numpy as np
import pytest
import torch

from tasks.chain import Chain
from tasks.device_batch import Box, DeviceBatch
from tasks.errors import OutOfVram, WeightsError
from tasks.identity import IdentityTask
from tasks.table import open_task, task_spec
from tasks.task import TaskInputs, TaskSpec
from tests.tasks.pictures import picture_format, random_batch


class Painter(IdentityTask):
    """Makes a square of one shade; fails to load where told."""

    def __init__(self, shade: float, log: list[str], fails: bool = False) -> None:
        super().__init__(TaskSpec(f"paint-{shade}"))
        self.shade, self.log, self.fails = shade, log, fails

    def load(self, device: str) -> None:
        if self.fails:
            raise WeightsError("no weights")
        self.log.append(f"load {self.shade}")

    def render(self, batch: DeviceBatch, inputs: TaskInputs) -> DeviceBatch:
        self.log.append(f"render {self.shade} at {inputs.start}")
        frames = range(len(batch))
        batch.write(frames, [Box(0, 0, 8, 8)] * len(batch), torch.full((len(batch), 3, 8, 8), self.shade))
        return batch

    def release(self) -> None:
        self.log.append(f"release {self.shade}")


def inputs(start: int, end: int) -> TaskInputs:
    return TaskInputs(start, end, {}, {})


def test_no_task_gives_the_same_object_back() -> None:
    batch = random_batch(picture_format())
    chain = Chain([], "cpu")
    chain.load()
    assert chain.render(batch, []) is batch
    chain.release()


def test_a_task_that_changes_nothing_gives_the_same_object_back() -> None:
    batch = random_batch(picture_format())
    chain = Chain([open_task(task_spec("identity", {}))], "cpu")
    chain.load()
    assert chain.render(batch, [inputs(7, 9)]) is batch


def test_tasks_run_in_order_over_the_same_planes() -> None:
    log: list[str] = []
    chain = Chain([Painter(0.0, log), Painter(1.0, log)], "cpu")
    chain.load()
    batch = random_batch(picture_format())
    after = chain.render(batch, [inputs(7, 9), inputs(7, 9)])
    chain.release()
    assert log == ["load 0.0", "load 1.0", "render 0.0 at 7", "render 1.0 at 7", "release 0.0", "release 1.0"]
    assert (after.planes[0][:, :8, :8] == 235).all()
    assert np.array_equal(after.pts, batch.pts)
    assert np.array_equal(after.source_frames, batch.source_frames)
    assert after.first_frame == batch.first_frame
    assert all(seconds > 0 for seconds in chain.seconds)


def test_the_frames_do_not_depend_on_how_they_are_batched() -> None:
    format = picture_format("yuv420p", 320, 180)
    whole = random_batch(format, 5)
    chain = Chain([open_task(task_spec("label", {"text": "AI-generated"}))], "cpu")
    chain.load()
    together = chain.render(whole, [inputs(0, 5)])
    for i in range(5):
        planes = tuple(plane[i : i + 1] for plane in whole.planes)
        single = type(whole)(format, planes, i, whole.pts[i : i + 1], whole.source_frames[i : i + 1])
        alone = chain.render(single, [inputs(i, i + 1)])
        assert all(np.array_equal(a[0], b[i]) for a, b in zip(alone.planes, together.planes, strict=True))


def test_a_failed_load_frees_what_was_loaded() -> None:
    log: list[str] = []
    chain = Chain([Painter(0.0, log), Painter(1.0, log, fails=True)], "cpu")
    with pytest.raises(WeightsError):
        chain.load()
    assert log == ["load 0.0", "release 0.0"]


def test_one_input_for_each_task_is_required() -> None:
    with pytest.raises(ValueError, match="0 inputs for 1 tasks"):
        Chain([open_task(task_spec("identity", {}))], "cpu").render(random_batch(picture_format()), [])


def test_loading_settles_torch_to_one_thread() -> None:
    before = torch.get_num_threads()
    try:
        Chain([open_task(task_spec("identity", {}))], "cpu").load()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_thread_of_the_pipeline_renders_on_one_thread_too() -> None:
    found: list[int] = []
    Chain([open_task(task_spec("identity", {}))], "cpu").load()
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [1]


def test_a_device_out_of_memory_is_named_for_the_ladder() -> None:
    class Greedy(Painter):
        def render(self, batch: DeviceBatch, inputs: TaskInputs) -> DeviceBatch:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB\nmore")

    batch = random_batch(picture_format())
    with pytest.raises(
        OutOfVram, match=r"task paint-0.5 ran out of memory on cpu with 2 pictures of 64x48.*9 GiB;"
    ) as caught:
        Chain([Greedy(0.5, [])], "cpu").render(batch, [inputs(7, 9)])
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
