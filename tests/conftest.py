"""Fixtures shared by all tests: generated videos, and the folder of real media that REELYARD_TEST_DATA names."""

import os
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from tests.sources import Sources
from tests.stores import s3_server

# Time limits belong to benchmarks: a busy machine must not fail a law.
settings.register_profile("reelyard", deadline=None)
settings.load_profile("reelyard")


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Generated videos by kind, each made once a session."""
    return Sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real media, weights and reference vectors; skips where it is not given."""
    folder = os.environ.get("REELYARD_TEST_DATA")
    if not folder:
        pytest.skip("REELYARD_TEST_DATA is not set: real media are not here")
    return Path(folder)


@pytest.fixture(scope="session")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds of a rising tone with a pause, mono, 16 kHz."""
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    seconds = np.arange(16_000 * 10) / 16_000
    tone = np.sin(2 * np.pi * (200 + 40 * seconds) * seconds) * (np.abs(seconds - 5) > 0.5)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((tone * 12_000).astype("<i2").tobytes())
    return path


@pytest.fixture(scope="session")
def s3_options() -> Iterator[dict[str, str]]:
    """Storage options of an S3 server on this machine, over real HTTP, with a bucket named `bucket`."""
    with s3_server() as options:
        yield options
