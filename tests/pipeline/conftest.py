"""Fixtures of journeys: who draws a mouth."""

from pathlib import Path

import pytest

from tests.tasks.lip_sync.generators import Loud


@pytest.fixture(params=["embedded", "wav2lip"])
def model(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who draws, as the task's option names it; Wav2Lip's network is stood in for by one that needs no time."""
    if request.param == "embedded":
        return "embedded"
    monkeypatch.setattr("tasks.lip_sync.wav2lip.backend.Generator", Loud)
    checkpoint = tmp_path / "made.pth"
    checkpoint.write_bytes(b"never read")
    return str(checkpoint)


@pytest.fixture
def task(model: str) -> str:
    """The task with each of them; the embedded one is the default."""
    return "lip-sync" if model == "embedded" else f"lip-sync:model={model}"
