"""Chains that stay loaded in a render worker, and what becomes of a device without memory."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.chains import Chains
from cluster.gpus.sharing import CardShare
from pipeline.stages import staged
from pipeline.storage import Storage
from pipeline.weights import with_weights
from tasks.chain import Chain
from tasks.errors import SegmentError
from tasks.table import parse_task, task_spec
from tests.tasks.lip_sync.generators import copying_weights, save

_ONE, _OTHER = (task_spec("label", {"text": "one"}),), (task_spec("label", {"text": "other"}),)


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> list[Chain]:
    """The chains that were released."""
    found: list[Chain] = []
    release = Chain.release
    monkeypatch.setattr(Chain, "release", lambda self: (found.append(self), release(self)))
    return found


def test_a_chain_in_use_stays_loaded_while_another_is_asked_for(released: list[Chain]) -> None:
    chains = Chains(Storage(), CardShare())
    with chains.held(_ONE, "cpu") as one:
        with chains.held(_OTHER, "cpu") as other:
            assert other is not one
            assert released == []
        with chains.held(_ONE, "cpu") as same:
            assert same is one


def test_a_chain_that_nobody_uses_makes_room_for_the_next_and_else_stays(released: list[Chain]) -> None:
    chains = Chains(Storage(), CardShare())
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


def test_a_chain_is_loaded_with_weights_that_travelled_by_name_and_content(tmp_path: Path) -> None:
    """What a worker gets is a pickled specification; the file is found, hashed and loaded where it works."""
    path = save(tmp_path / "mine.pth", copying_weights())
    spec = pickle.loads(pickle.dumps(with_weights(parse_task(f"lip-sync:model={path}"))))
    assert not spec.weights[0].path
    with Chains(Storage(), CardShare()).held((spec,), "cpu") as chain:
        assert chain.tasks[0].spec.weights[0].path == str(path)
        assert chain.tasks[0]._backend._generator is not None  # type: ignore[attr-defined]
