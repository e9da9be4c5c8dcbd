"""Chains that stay loaded in a render worker, and what becomes of a device without memory."""

from collections.abc import Iterator
from typing import Any

import pytest

from cluster.cell import Chains
from pipeline.stages import staged
from pipeline.storage import Storage
from tasks.chain import Chain
from tasks.errors import SegmentError
from tasks.table import task_spec

_ONE, _OTHER = (task_spec("label", {"text": "one"}),), (task_spec("label", {"text": "other"}),)


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> list[Chain]:
    """The chains that were released."""
    found: list[Chain] = []
    release = Chain.release
    monkeypatch.setattr(Chain, "release", lambda self: (found.append(self), release(self)))
    return found


def test_a_chain_in_use_stays_loaded_while_another_is_asked_for(released: list[Chain]) -> None:
    chains = Chains(Storage())
    with chains.held(_ONE, "cpu") as one:
        with chains.held(_OTHER, "cpu") as other:
            assert other is not one
            assert released == []
        with chains.held(_ONE, "cpu") as same:
            assert same is one


def test_a_chain_that_nobody_uses_makes_room_for_the_next_and_else_stays(released: list[Chain]) -> None:
    chains = Chains(Storage())
    with chains.held(_ONE, "cpu") as one:
        pass
    with chains.held(_ONE, "cpu") as same:
        assert same is one
    with chains.held(_OTHER, "cpu"):
        assert released == [one]


def test_memory_that_torch_says_is_lacking_is_told_as_such_wherever_it_was_lacking() -> None:
    import torch

    def load() -> Iterator[Any]:
        raise torch.OutOfMemoryError("CUDA out of memory")
        yield

    with pytest.raises(SegmentError, match="out of memory") as told:
        list(staged(load(), "render", "render-0"))
    assert (told.value.stage, told.value.kind) == ("render", "OutOfVram")
