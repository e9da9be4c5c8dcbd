"""What was built for a network is built once: found by other nodes over S3, and never believed where it is broken."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.built import BuiltFiles, built_prefix
from pipeline.job import RenderJob
from pipeline.storage import Storage
from tasks.nets.srvgg_net import SRVGGNet
from tasks.runtime import onnx_graph
from tasks.runtime.built import Recipe, seal_of
from tasks.runtime.choice import Way
from tasks.runtime.machine import machine_of
from tasks.runtime.run import held
from tests.sources import Sources
from tests.stores import s3_server

ROOT = Path(__file__).parents[2]
_KEY = Recipe("graph", "a digest", "fp32", "").key([(1, 3, 4, 4)])


@pytest.fixture(scope="module")
def options() -> Iterator[dict[str, str]]:
    with s3_server() as found:
        yield found


def sealed(key: str, content: bytes) -> bytes:
    return seal_of(key, content) + content


def files(options: dict[str, str], folder: Path, prefix: str = "s3://bucket/built") -> BuiltFiles:
    return BuiltFiles(Storage(options), prefix, folder)


def test_what_one_node_kept_another_finds_and_keeps_too(options: dict[str, str], tmp_path: Path) -> None:
    one, other = (files(options, tmp_path / name, "s3://bucket/shared") for name in ("one", "other"))
    assert one.find(_KEY) is None
    one.keep(_KEY, b"a program")
    assert other.find(_KEY) == b"a program"
    Storage(options).delete(f"s3://bucket/shared/{_KEY}")
    assert other.find(_KEY) == b"a program", "from its own folder now"


def test_whoever_kept_it_first_is_believed(options: dict[str, str], tmp_path: Path) -> None:
    one, other, third = (files(options, tmp_path / name, "s3://bucket/race") for name in ("one", "other", "third"))
    one.keep(_KEY, b"the first")
    other.keep(_KEY, b"the second")
    assert third.find(_KEY) == b"the first"
    assert other.find(_KEY) == b"the second", "its own goes on as it began"


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (b"", "it is no file of Reelyard's"),
        (b"<html>503</html>", "it is no file of Reelyard's"),
        (sealed("graph-" + "0" * 40, b"a program"), "it was kept under another key"),
        (sealed(_KEY, b"a program")[:-1], "its bytes are not those that were kept"),
        (sealed(_KEY, b"a program")[:-1] + b"M", "its bytes are not those that were kept"),
    ],
)
def test_what_is_broken_is_told_once_and_replaced(
    there: bytes, words: str, options: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prefix = f"s3://bucket/{tmp_path.name}"
    Storage(options).put_bytes(there, f"{prefix}/{_KEY}")
    one = files(options, tmp_path / "one", prefix)
    with caplog.at_level(logging.WARNING, "reelyard"):
        assert one.find(_KEY) is None
    assert [one.getMessage() for one in caplog.records if one.name == "reelyard"] == [
        f"{prefix}/{_KEY}: {words}; it is built again"
    ]
    one.keep(_KEY, b"built again")
    assert files(options, tmp_path / "other", prefix).find(_KEY) == b"built again"


def test_a_broken_file_on_this_node_is_fetched_again(options: dict[str, str], tmp_path: Path) -> None:
    one = files(options, tmp_path / "one", f"s3://bucket/{tmp_path.name}")
    one.keep(_KEY, b"a program")
    (tmp_path / "one" / _KEY).write_bytes(b"half")
    assert one.find(_KEY) == b"a program"
    assert (tmp_path / "one" / _KEY).read_bytes() == sealed(_KEY, b"a program")


def test_a_store_that_cannot_be_written_to_costs_a_line_and_no_render(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    one = BuiltFiles(Storage(), f"{tmp_path}/file/built", tmp_path / "file" / "here")
    with caplog.at_level(logging.WARNING, "reelyard"):
        one.keep(_KEY, b"a program")
    assert "cannot be kept for other nodes, each builds it again" in caplog.text
    assert one.find(_KEY) is None


def test_what_is_large_goes_from_its_file_and_comes_whole(
    options: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, prefix = os.urandom(24 << 20), f"s3://bucket/{tmp_path.name}"
    one, sent = files(options, tmp_path / "one", prefix), list[Path]()
    put = Storage.put_file
    monkeypatch.setattr(
        Storage, "put_file", lambda self, path, uri, **how: (sent.append(path), put(self, path, uri, **how))
    )
    one.keep(_KEY, content)
    assert sent == [tmp_path / "one" / _KEY], "from its file, not from memory"
    assert files(options, tmp_path / "other", prefix).find(_KEY) == content


def test_a_node_keeps_what_was_used_last(tmp_path: Path) -> None:
    keys = [Recipe("graph", f"network {number}", "fp32", "").key([(1, 3, 4, 4)]) for number in range(4)]
    size = len(sealed(keys[0], b"a program"))
    one = BuiltFiles(Storage(), f"{tmp_path}/built", tmp_path / "here", most_bytes=2 * size)
    for age, key in enumerate(keys[:2]):
        one.keep(key, b"a program")
        os.utime(tmp_path / "here" / key, (1000 + age, 1000 + age))
    assert one.find(keys[0]) == b"a program", "used again: the other goes first"
    one.keep(keys[2], b"a program")
    assert {path.name for path in (tmp_path / "here").iterdir()} == {keys[0], keys[2]}
    assert one.find(keys[1]) == b"a program", "storage has it still"
    small = BuiltFiles(Storage(), "", tmp_path / "small", most_bytes=1)
    small.keep(keys[3], b"a program")
    assert small.find(keys[3]) == b"a program", "what was just built stays, however large"


def test_what_was_cut_off_is_removed_a_day_later_and_not_sooner(tmp_path: Path) -> None:
    one = BuiltFiles(Storage(), "", tmp_path)
    for name, age in ((".old", 100_000), (".new", 60)):
        (tmp_path / name).write_bytes(b"half")
        then = time.time() - age
        os.utime(tmp_path / name, (then, then))
    one.keep(_KEY, b"a program")
    assert {path.name for path in tmp_path.iterdir()} == {".new", _KEY}


def test_it_lies_where_models_come_from_or_with_the_work() -> None:
    assert built_prefix(RenderJob("a", "b", models="s3://m/models/", work="s3://w")) == "s3://m/models/built"
    assert built_prefix(RenderJob("a", "b", work="s3://w/work")) == "s3://w/work/built"
    assert built_prefix(RenderJob("a", "b")) == ""


def test_another_machine_library_or_weight_has_another_key() -> None:
    keys = {
        Recipe(*about).key(shapes)
        for about in (("graph", "a", "fp32", ""), ("graph", "b", "fp32", ""), ("graph", "a", "fp16", ""),
                      ("graph", "a", "fp32", "zen 4"), ("graph", "a", "fp32", "", "1.31"))
        for shapes in ([(1, 3, 4, 4)], [(2, 3, 4, 4)], [(1, 3, 4, 4), (1, 1)])
    }  # fmt: skip
    assert len(keys) == 15


@torch.inference_mode()
def test_a_graph_is_written_on_one_node_alone(
    options: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    written: list[int] = []
    plain = onnx_graph.onnx_bytes

    def counted(network: nn.Module, given: object) -> bytes:
        written.append(1)
        return plain(network, given)  # type: ignore[arg-type]

    monkeypatch.setattr(onnx_graph, "onnx_bytes", counted)
    drawn, x = [], torch.rand((1, 3, 16, 24), generator=torch.Generator().manual_seed(0))
    for node in ("one", "other"):
        with torch.inference_mode(False):
            torch.manual_seed(0)
            kept = files(options, tmp_path / node, "s3://bucket/graphs")
            one = held(SRVGGNet(2, 1, 8).eval(), Way("onnx", "fp32", "a test", "cpu"), "cpu", kept)
        drawn.append(one(x))
    assert written == [1]
    assert torch.equal(*drawn)


_RENDER = """
import sys
from pipeline.job import EncodeRequest, RenderJob
from pipeline.render import render_in_process
from tasks.table import parse_task
source, output, weights, models, *options = sys.argv[1:]
report = render_in_process(RenderJob(
    source, output, (parse_task(f"upscale:model={weights},runtime=compile"),), encode=EncodeRequest("ffv1"),
    models=models, storage_options=tuple(tuple(one.split("=", 1)) for one in options)))
print(next(name for name in report.counts if name.startswith("frames enlarged")))
"""


@pytest.mark.slow
@pytest.mark.skipif(bool(machine_of("cpu").no_compiler), reason="no C++ compiler on this machine")
def test_a_second_node_with_empty_caches_compiles_nothing_again(
    options: dict[str, str], sources: Sources, tmp_path: Path
) -> None:
    """Two processes, each with folders of its own, and a compiler that writes down what it is asked for."""
    import av
    import numpy as np
    from safetensors.torch import save_file

    weights = tmp_path / "small.safetensors"
    torch.manual_seed(0)
    save_file({k: (0.3 * t).contiguous() for k, t in SRVGGNet(2, 1, 4).state_dict().items()}, weights)
    compiled, pictures = [], []
    for node in ("one", "other"):
        home = tmp_path / node
        asked = _counting_compiler(home / "bin")
        environment = {
            **os.environ, "HOME": str(home), "PATH": f"{home / 'bin'}:{os.environ['PATH']}", "TMPDIR": str(home),
            "TORCHINDUCTOR_CACHE_DIR": str(home / "inductor"), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        output = home / "out.mkv"
        job = [str(sources.path("closed mp4")), str(output), str(weights), "s3://bucket/models"]
        command = [sys.executable, "-c", _RENDER, *job, *(f"{name}={value}" for name, value in options.items())]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr[-3000:]
        assert "compile at fp32" in ran.stdout
        calls = asked.read_text().splitlines() if asked.exists() else []
        compiled.append(sum(".cpp " in call or call.endswith(".cpp") for call in calls))
        with av.open(str(output)) as container:
            pictures.append([frame.to_ndarray() for frame in container.decode(video=0)])
    assert compiled[0] > 0 and compiled[1] == 0, compiled
    assert all(np.array_equal(a, b) for a, b in zip(*pictures, strict=True))


def _counting_compiler(folder: Path) -> Path:
    """g++ that writes each call into a file first."""
    import shutil

    folder.mkdir(parents=True)
    asked, found = folder.parent / "asked.txt", shutil.which("g++")
    script = folder / "g++"
    script.write_text(f'#!/bin/sh\necho "$*" >> {asked}\nexec {found} "$@"\n')
    script.chmod(0o755)
    return asked
