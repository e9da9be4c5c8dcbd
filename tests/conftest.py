"""Where tests find real media: the folder that REELYARD_TEST_DATA names, and nowhere else."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Time limits belong to benchmarks: a busy machine must not fail a law.
settings.register_profile("reelyard", deadline=None)
settings.load_profile("reelyard")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real media, weights and reference vectors; skips where it is not given."""
    folder = os.environ.get("REELYARD_TEST_DATA")
    if not folder:
        pytest.skip("REELYARD_TEST_DATA is not set: real media are not here")
    return Path(folder)
