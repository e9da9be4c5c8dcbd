"""How the voice networks are made: one command from clips and synthetic speech to weights that speak."""

from ctypes.util import find_library
from pathlib import Path

import numpy as np
import pytest

from tasks.lip_sync.voice import articulate, load_voice_net
from tasks.mel import MelStatistics
from tasks.training.voice import __main__ as command
from tests.tasks.faces.test_training import few_files

TEACHING = ("LivePortrait__assets_examples_driving_d11", "LivePortrait__assets_examples_driving_d20")
TESTING = ("V-Express__test_samples_short_case_tys_gt",)


@pytest.mark.slow
@pytest.mark.skipif(find_library("espeak-ng") is None, reason="espeak-ng is not here: nothing speaks for training")
def test_one_command_goes_from_clips_to_weights_that_speak(
    test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "TEACHING", TEACHING)
    monkeypatch.setattr(command, "TESTING", TESTING)
    folder = few_files(test_data / "data", tmp_path / "data", (*TEACHING, *TESTING))
    out = tmp_path / "voice.safetensors"
    asked = ["--data", str(folder), "--teacher", str(test_data / "weights" / "facemesh.pth"), "--out", str(out)]
    command.main([*asked, "--cache", str(tmp_path), "--utterances", "8", "--steps", "2", "--mouth-steps", "2"])
    told = capsys.readouterr().out
    assert all(name in told for name in (*TEACHING, *TESTING))
    mel = np.random.default_rng(0).uniform(-4, 2, (80, 200)).astype(np.float32)
    spoken = articulate(mel, MelStatistics.of(mel), net=load_voice_net(out))
    assert np.isfinite(spoken.opening).all()
