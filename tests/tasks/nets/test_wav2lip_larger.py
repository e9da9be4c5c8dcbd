"""Larger descendants of Wav2Lip: layers as in the public code, told apart by their keys, shown faces as they want them.

No checkpoint and no reference output of either is at hand: random weights prove that all is connected.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.errors import WeightsError
from tasks.lip_sync.wav2lip.kinds import KINDS, Kind, drawn_faces, kind_of, shown_pairs
from tasks.lip_sync.wav2lip.network import Generator
from tests.tasks.lip_sync.generators import at_hand, save
from tests.tasks.recipe import inputs, shapes, weights

BY_SIDE = {kind.side: kind for kind in KINDS}
#: Keys of the public definitions and their shapes, one of each part.
TOLD = {
    288: {
        "face_encoder_blocks.0.0.act.weight": [1],
        "face_encoder_blocks.1.0.conv_block.0.weight": [32, 16, 5, 5],
        "face_encoder_blocks.8.1.conv_block.0.weight": [512, 512, 1, 1],
        "audio_encoder.12.conv_block.0.weight": [512, 512, 1, 1],
        "face_decoder_blocks.4.0.conv_block.0.weight": [768, 384, 3, 3],
        "face_decoder_blocks.8.0.conv_block.0.weight": [96, 64, 3, 3],
        "output_block.0.conv_block.0.weight": [32, 80, 3, 3],
    },
    384: {
        "face_encoder_blocks.0.0.conv_block.0.weight": [8, 6, 7, 7],
        "face_encoder_blocks.7.0.conv_block.0.weight": [1024, 512, 3, 3],
        "audio_encoder.15.conv_block.0.weight": [1024, 512, 3, 3],
        "audio_refine.1.conv_block.1.running_mean": [1024],
        "face_decoder_blocks.3.0.conv_block.0.weight": [1536, 768, 3, 3],
        "face_decoder_blocks.8.2.conv_block.0.weight": [32, 32, 3, 3],
        "output_block.1.weight": [3, 16, 1, 1],
    },
}


@pytest.mark.parametrize("side", [288, pytest.param(384, marks=pytest.mark.slow)])
@torch.inference_mode()
def test_a_larger_generator_is_known_by_its_keys_and_hears_and_sees(side: int, tmp_path: Path) -> None:
    network = BY_SIDE[side].build()
    assert {key: shapes(network)[key] for key in TOLD[side]} == TOLD[side]
    state = weights(shapes(network))
    assert kind_of(state).side == side
    generator = Generator(at_hand(save(tmp_path / "random.pth", state)), "cpu", precision="fp32")
    assert generator.side == side
    generator.batch = 2
    mel = torch.from_numpy(inputs("mel", (2, 1, 80, 16), -4, 4))
    faces = torch.from_numpy(inputs("faces", (2, 3, side, side)))
    drawn = generator.draw(mel, faces)
    assert drawn.shape == (2, 3, side, side)
    assert 0 <= float(drawn.min()) < float(drawn.max()) <= 1
    other = generator.draw(torch.stack([mel[0], -mel[1]]), faces)
    assert torch.equal(other[0], drawn[0]), "the same again, whatever its company"
    assert not torch.equal(other[1], drawn[1])
    generator.release()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.side))
def test_each_is_shown_its_face_with_the_mouth_hidden(kind: Kind) -> None:
    faces = torch.from_numpy(inputs("faces", (1, 3, kind.side, kind.side), 0.25, 1))
    pairs = shown_pairs(kind, faces)
    hidden, seen = pairs[:, :3], pairs[:, 3:]
    assert torch.allclose(drawn_faces(kind, seen), faces, atol=1e-6), "what is drawn is read as what is shown"
    black = hidden == kind.black
    assert not black[:, :, : kind.side // 2].any()
    rows, columns = np.nonzero(black[0, 0].numpy())
    end = kind.side - kind.rim
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (kind.side // 2, end, kind.rim, end)
    assert bool(black[:, :, kind.side // 2 : end, kind.rim : end].all())
    assert kind.rim == (8 if kind.side == 384 else 0)


def test_a_file_of_no_kind_is_refused_with_the_first_key_of_the_kind_it_is_nearest_to(tmp_path: Path) -> None:
    state = weights(shapes(BY_SIDE[288].build()))
    state["face_decoder_blocks.8.0.conv_block.0.weight"] = torch.zeros(64, 64, 3, 3)
    with pytest.raises(
        WeightsError, match=r"weights of Wav2Lip288: face_decoder_blocks\.8\.0\.conv_block\.0\.weight is"
    ):
        Generator(at_hand(save(tmp_path / "random.pth", state)), "cpu")
    del state["face_encoder_blocks.0.0.act.weight"]
    with pytest.raises(WeightsError, match="these are not weights of Wav2Lip: "):
        Generator(at_hand(save(tmp_path / "random.pth", state)), "cpu")
