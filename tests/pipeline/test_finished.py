"""A store that fails for a while says nothing of what lies in it."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.finished import output_job_key
from pipeline.ledger import Ledger
from pipeline.render import render_in_process
from pipeline.steps import plan_render
from pipeline.storage import Storage
from tasks.errors import StorageError
from tests.pipeline.test_journey import job_for
from tests.sources import Sources


class _Down(Storage):
    """Lists, but gives no byte of what ends in `.mp4` or `.json`."""

    def open(self, uri: str, *arguments: Any, **named: Any) -> Any:
        self._refuse(uri)
        return super().open(uri, *arguments, **named)

    def read(self, uri: str, *arguments: Any, **named: Any) -> Any:
        self._refuse(uri)
        return super().read(uri, *arguments, **named)

    def _refuse(self, uri: str) -> None:
        if "out" in uri and uri.endswith((".mp4", ".json")):
            raise StorageError(f"{uri}: the store is down")


def test_an_output_that_cannot_be_read_for_a_while_is_not_called_another_job_s(
    sources: Sources, tmp_path: Path
) -> None:
    job = job_for(sources.path("closed mp4"), tmp_path / "out.mp4")
    (tmp_path / "out.mp4").write_bytes(sources.path("closed mp4").read_bytes())
    with pytest.raises(StorageError, match="the store is down"):
        output_job_key(_Down({}), str(tmp_path / "out.mp4"))
    with pytest.raises(StorageError, match="the store is down"):
        plan_render(_Down({}), tmp_path, job)


def test_a_sidecar_that_cannot_be_read_for_a_while_costs_no_part(sources: Sources, tmp_path: Path) -> None:
    job = job_for(sources.path("closed mp4"), tmp_path / "out.mp4", keep_parts=True)
    render_in_process(job)
    prefix = str(tmp_path / "out.mp4.work")
    (sidecar,) = list(Path(prefix, "parts").glob("*.json"))[:1]

    class Work:
        part_uri = str(sidecar).removesuffix(".json")
        key = sidecar.name.partition(".")[0]
        quality_uri = ""

    assert list(Ledger(Storage({}), prefix).committed([Work()])) == [Work.key]  # type: ignore[list-item]
    with pytest.raises(StorageError, match="the store is down"):
        Ledger(_Down({}), prefix).committed([Work()])  # type: ignore[list-item]
