"""Fixtures shared by all tests: generated videos, and the folder of real ones where there is one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources import Sources
from tests.stores import s3_server


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Generated videos by kind, each made once a session."""
    return Sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session")
def test_data() -> Iterator[Path]:
    """The folder of real files; the test is skipped where there is none."""
    folder = os.environ.get("REELYARD_TEST_DATA")
    if not folder:
        pytest.skip("REELYARD_TEST_DATA is not set: no real files to try")
    yield Path(folder)


@pytest.fixture(scope="session")
def s3_options() -> Iterator[dict[str, str]]:
    """Storage options of an S3 server on this machine, over real HTTP, with a bucket named `bucket`."""
    with s3_server() as options:
        yield options
