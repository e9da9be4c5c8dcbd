"""Weights on a node: fetched once, continued where stopped, hashed always, told in words where they cannot be had."""

import hashlib
import logging
import multiprocessing
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.model import Model
from pipeline.model_table import MODELS
from pipeline.models import ModelStore
from pipeline.storage import Storage
from tasks.errors import ResourceShortage, WeightsError
from tests.stores import http_server

BYTES = bytes(range(256)) * 400
BLOCK = 16_384


def model_of(*urls: str, data: bytes = BYTES) -> Model:
    return Model(
        name="tiny",
        task="lip sync",
        architecture="tiny",
        file="tiny.safetensors",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        licence="ours",
        urls=urls,
    )


@pytest.fixture
def served(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "tiny.safetensors").write_bytes(BYTES)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "cache", block_bytes=BLOCK)


def left(store: ModelStore) -> set[str]:
    """What lies in the cache, locks aside."""
    return {p.name for p in store.folder.rglob("*") if p.is_file() and p.suffix != ".lock"}


def test_a_fetched_file_is_the_published_one_and_is_not_fetched_twice(store: ModelStore, served: Path) -> None:
    with http_server(served) as (base, traffic):
        model = model_of(f"{base}/tiny.safetensors")
        heard: list[tuple[int, int]] = []
        assert store.fetch(model, lambda done, size: heard.append((done, size))).read_bytes() == BYTES
        assert traffic.bytes == len(BYTES)
        assert heard[0] == (0, len(BYTES))
        assert heard[-1] == (len(BYTES), len(BYTES))
        store.fetch(model)
        assert traffic.bytes == len(BYTES)
    assert left(store) == {"tiny.safetensors"}


def test_a_stopped_download_goes_on_where_it_stood(store: ModelStore, served: Path) -> None:
    with http_server(served) as (base, traffic):
        model = model_of(f"{base}/tiny.safetensors")

        def stop(done: int, size: int) -> None:
            if done >= 3 * BLOCK:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.fetch(model, stop)
        assert not store.has(model)
        assert left(store) == {"tiny.safetensors.part"}
        before = traffic.bytes
        assert before == 3 * BLOCK
        assert store.fetch(model).read_bytes() == BYTES
        assert traffic.bytes == len(BYTES)


def test_a_server_that_dies_is_gone_on_from_by_the_next(store: ModelStore, served: Path) -> None:
    with http_server(served, dies_after=2 * BLOCK) as (first, _), http_server(served) as (second, traffic):
        model = model_of(f"{first}/tiny.safetensors", f"{second}/tiny.safetensors")
        assert store.fetch(model).read_bytes() == BYTES
        assert traffic.bytes == len(BYTES) - 2 * BLOCK


def test_a_file_of_another_size_is_refused_before_a_byte_is_fetched(store: ModelStore, served: Path) -> None:
    with http_server(served) as (base, traffic):
        model = replace(model_of(f"{base}/tiny.safetensors"), size_bytes=7)
        with pytest.raises(WeightsError, match=rf"found {len(BYTES)} bytes, expected 7"):
            store.fetch(model)
        assert traffic.bytes == 0


def test_a_file_of_another_hash_is_refused_and_the_next_source_tried(store: ModelStore, served: Path) -> None:
    (served / "altered.safetensors").write_bytes(BYTES[:-1] + b"!")
    with http_server(served) as (base, _):
        wrong, right = f"{base}/altered.safetensors", f"{base}/tiny.safetensors"
        with pytest.raises(WeightsError, match="found sha256 .* expected"):
            store.fetch(model_of(wrong))
        assert left(store) == set()
        assert store.fetch(model_of(wrong, right)).read_bytes() == BYTES


def test_what_another_source_left_does_not_spoil_a_download(store: ModelStore, served: Path) -> None:
    with http_server(served) as (base, _):
        model = model_of(f"{base}/tiny.safetensors")
        part = store.path(model).with_name("tiny.safetensors.part")
        part.parent.mkdir(parents=True)
        part.write_bytes(b"\xff" * 5000)
        assert store.fetch(model).read_bytes() == BYTES


def test_a_part_longer_than_the_file_is_begun_anew(store: ModelStore, served: Path) -> None:
    with http_server(served) as (base, _):
        model = model_of(f"{base}/tiny.safetensors")
        part = store.path(model).with_name("tiny.safetensors.part")
        part.parent.mkdir(parents=True)
        part.write_bytes(BYTES * 2)
        assert store.fetch(model).read_bytes() == BYTES


def test_a_server_without_ranges_is_said(store: ModelStore, served: Path) -> None:
    with (
        http_server(served, ranges=False) as (base, _),
        pytest.raises(WeightsError, match="server ignores Range requests"),
    ):
        store.fetch(model_of(f"{base}/tiny.safetensors"))


def test_without_network_every_address_and_the_place_by_hand_are_told(store: ModelStore) -> None:
    urls = ("http://127.0.0.1:9/a", "http://127.0.0.1:9/b")
    mirrored = replace(store, mirror="/nowhere/models/")
    with pytest.raises(WeightsError) as told:
        mirrored.fetch(model_of(*urls))
    text = str(told.value)
    for url in (*urls, "/nowhere/models/tiny/tiny.safetensors"):
        assert url in text
    assert text.count("the endpoint cannot be reached; check its address and the network") == 2
    assert f"put it at {store.path(model_of())}" in text
    assert model_of().sha256 in text
    assert str(pickle.loads(pickle.dumps(told.value))) == text


def test_a_cache_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"")
    with pytest.raises(WeightsError, match="cannot be written to: Not a directory; choose another --cache, or put"):
        ModelStore(tmp_path / "cache").fetch(model_of())


def test_a_model_without_an_address_names_its_page_and_its_place(store: ModelStore) -> None:
    model = replace(model_of(), page="https://example.org/page")
    with pytest.raises(WeightsError, match="no address of the file itself is known.*from https://example.org/page"):
        store.fetch(model)
    store.path(model).write_bytes(BYTES)
    assert store.fetch(model) == store.path(model)


def test_a_file_altered_in_the_cache_is_refused_at_its_next_use(store: ModelStore, served: Path) -> None:
    model = model_of(str(served / "tiny.safetensors"))
    store.fetch(model).write_bytes(b"!" + BYTES[1:])
    for use in (store.fetch, store.verify):
        with pytest.raises(WeightsError, match="is not the published file: found sha256 .* remove it"):
            use(model)


def test_a_file_that_is_not_there_is_told_with_the_command_that_fetches_it(store: ModelStore) -> None:
    with pytest.raises(WeightsError, match="run `reelyard models fetch tiny`"):
        store.verify(model_of())


def test_a_full_disk_is_told_before_the_download(
    store: ModelStore, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    with pytest.raises(ResourceShortage, match=f"needs {len(BYTES)} more bytes, found 1 free"):
        store.fetch(model_of(str(served / "tiny.safetensors")))


def test_a_place_that_cannot_be_written_is_told(store: ModelStore, served: Path) -> None:
    model = model_of(str(served / "tiny.safetensors"))
    store.path(model).with_name("tiny.safetensors.part").mkdir(parents=True)
    with pytest.raises(ResourceShortage, match="tiny.safetensors.part: cannot be written: Is a directory"):
        store.fetch(model)


def test_a_licence_that_forbids_is_told_once_before_the_first_use(
    store: ModelStore, served: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = replace(model_of(str(served / "tiny.safetensors")), forbids=("commercial use",))
    with caplog.at_level(logging.WARNING, "reelyard"):
        store.fetch(model)
        store.fetch(model)
    assert [r.message for r in caplog.records] == ["tiny: its licence (ours) forbids commercial use"]


def test_the_mirror_is_asked_first_and_can_be_filled(tmp_path: Path, served: Path, s3_options: dict[str, str]) -> None:
    storage = Storage(s3_options)
    mirror = "s3://bucket/models"
    with http_server(served) as (base, traffic):
        model = model_of(f"{base}/tiny.safetensors")
        first = ModelStore(tmp_path / "one", mirror, storage, BLOCK)
        first.fetch(model)
        assert first.fill_mirror(model) == f"{mirror}/tiny/tiny.safetensors"
        assert storage.read(f"{mirror}/tiny/tiny.safetensors") == BYTES
        before = traffic.bytes
        second = ModelStore(tmp_path / "two", mirror, storage, BLOCK)
        assert second.fetch(model).read_bytes() == BYTES
        assert traffic.bytes == before


def _fetch(folder: Path, model: Model) -> None:
    ModelStore(folder, block_bytes=BLOCK).fetch(model)


def test_two_processes_at_once_fetch_one_copy(tmp_path: Path, served: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with http_server(served) as (base, traffic):
        model = model_of(f"{base}/tiny.safetensors")
        both = [spawn.Process(target=_fetch, args=(tmp_path / "cache", model)) for _ in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join(120)
        assert [one.exitcode for one in both] == [0, 0]
        assert traffic.bytes == len(BYTES)
    assert ModelStore(tmp_path / "cache").verify(model).read_bytes() == BYTES


def test_one_process_waits_while_another_fetches(tmp_path: Path, served: Path) -> None:
    import fcntl
    import threading

    store = ModelStore(tmp_path / "cache", block_bytes=BLOCK)
    model = model_of(str(served / "tiny.safetensors"))
    store.path(model).parent.mkdir(parents=True)
    with store.path(model).with_name("tiny.safetensors.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = threading.Thread(target=store.fetch, args=(model,))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        assert not store.has(model)
    waiting.join(30)
    assert store.has(model)


def test_the_table_names_each_model_and_file_once() -> None:
    assert len({m.name for m in MODELS}) == len({m.sha256 for m in MODELS}) == len(MODELS)
    assert all(m.urls or m.page for m in MODELS)


def test_a_real_file_is_the_table_s(tmp_path: Path, test_data: Path) -> None:
    """Three files whose hashes the table took from elsewhere: the real ones are fetched and accepted."""
    real = {
        "yunet-2023mar": "yunet_s_640_640.onnx",
        "yunet": "yunet_n_640_640.onnx",
        "face-mesh": "facemesh.pth",
    }
    store = ModelStore(tmp_path / "cache")
    for model in (m for m in MODELS if m.name in real):
        uri = (test_data / "weights" / real[model.name]).as_uri()
        assert os.path.getsize(store.fetch(replace(model, urls=(uri,)))) == model.size_bytes
