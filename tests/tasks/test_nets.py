"""Networks give the upstream's numbers: keys, shapes and outputs against reference vectors.

The vectors lie in the folder that REELYARD_TEST_DATA names; without it keys, shapes, ranges and
what depends on what are held against random weights.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tasks.checkpoint import fill, load
from tasks.nets.face_mesh import FaceMesh
from tasks.nets.s3fd import S3FD, STRIDES
from tasks.nets.syncnet import SyncNet
from tasks.nets.wav2lip import Wav2Lip
from tests.tasks.recipe import inputs, shapes, weights

#: Negating the mel moves Wav2Lip's output by 3.5e-3 on average: a wider bound would pass a broken sound path.
TOLERANCE = 1e-4


def filled(build: Callable[[], nn.Module]) -> nn.Module:
    network = build()
    fill(network, weights(shapes(network)), of="recipe")
    return network.eval()


@pytest.fixture(scope="module")
def wav2lip() -> nn.Module:
    return filled(Wav2Lip)


@pytest.fixture(scope="module")
def mel_and_pairs() -> tuple[Tensor, Tensor]:
    mel = inputs("input.mel", (4, 1, 80, 16), -4, 4)
    pairs = inputs("input.face", (4, 6, 96, 96))
    pairs[:, :3, 48:] = 0
    return torch.from_numpy(mel), torch.from_numpy(pairs)


@pytest.mark.parametrize(
    ("name", "build"), [("wav2lip", Wav2Lip), ("syncnet_color", SyncNet), ("s3fd", S3FD)], ids=lambda v: str(v)
)
def test_keys_and_shapes_are_upstream_s(test_data: Path, name: str, build: Callable[[], nn.Module]) -> None:
    expected = json.loads((test_data / "reference" / f"{name}_keys.json").read_text())
    assert shapes(build()) == expected


@torch.inference_mode()
def test_wav2lip_gives_upstream_s_numbers(
    test_data: Path, wav2lip: nn.Module, mel_and_pairs: tuple[Tensor, Tensor]
) -> None:
    expected = np.load(test_data / "reference" / "wav2lip_io.npz")["out_fp32"]
    assert np.abs(wav2lip(*mel_and_pairs).numpy() - expected).max() <= TOLERANCE


@torch.inference_mode()
def test_syncnet_gives_upstream_s_numbers(test_data: Path) -> None:
    expected = np.load(test_data / "reference" / "syncnet_color_io.npz")
    mel, faces = inputs("sync.mel", (2, 1, 80, 16), -4, 4), inputs("sync.face", (2, 15, 48, 96))
    sound, face = filled(SyncNet)(torch.from_numpy(mel), torch.from_numpy(faces))
    assert np.abs(sound.numpy() - expected["audio"]).max() <= TOLERANCE
    assert np.abs(face.numpy() - expected["face"]).max() <= TOLERANCE


@torch.inference_mode()
def test_s3fd_gives_upstream_s_numbers(test_data: Path) -> None:
    expected = np.load(test_data / "reference" / "s3fd_io.npz")
    pictures = torch.from_numpy(inputs("s3fd.img", (1, 3, 128, 160), -120, 140))
    found = [map for pair in filled(S3FD)(pictures) for map in pair]
    for number, map in enumerate(found):
        wanted = expected[f"o{number}"]
        assert map.shape == wanted.shape
        assert np.abs(map.numpy() - wanted).max() <= TOLERANCE * max(1.0, np.abs(wanted).max()), number
    assert len(found) == 12


@torch.inference_mode()
def test_wav2lip_in_bf16_stays_within_its_stated_tolerance(mel_and_pairs: tuple[Tensor, Tensor]) -> None:
    """0.02 at most and 0.0025 on average of 0..1: five and less than one of 255 steps."""
    mel, pairs = (x[:2] for x in mel_and_pairs)
    exact = filled(Wav2Lip)(mel, pairs)
    rough = filled(Wav2Lip).bfloat16()(mel.bfloat16(), pairs.bfloat16()).float()
    difference = (rough - exact).abs()
    assert float(difference.max()) <= 0.02
    assert 0 < float(difference.mean()) <= 0.0025


@torch.inference_mode()
def test_wav2lip_hears_and_sees(wav2lip: nn.Module, mel_and_pairs: tuple[Tensor, Tensor]) -> None:
    """Each picture depends on its own sound and its own face, and on no neighbour's."""
    mel, pairs = (x[:2] for x in mel_and_pairs)
    drawn = wav2lip(mel, pairs)
    assert drawn.shape == (2, 3, 96, 96)
    assert 0 <= float(drawn.min()) < float(drawn.max()) <= 1
    other = wav2lip(torch.stack([mel[0], -mel[1]]), pairs)
    assert torch.allclose(other[0], drawn[0], atol=1e-5)
    assert float((other[1] - drawn[1]).abs().mean()) > 1e-3
    other = wav2lip(mel, torch.stack([pairs[0], pairs[1].flip(-1)]))
    assert float((other[1] - drawn[1]).abs().mean()) > 1e-3


@torch.inference_mode()
def test_syncnet_gives_directions() -> None:
    mel, faces = inputs("sync.mel", (2, 1, 80, 16), -4, 4), inputs("sync.face", (2, 15, 48, 96))
    for direction in filled(SyncNet)(torch.from_numpy(mel), torch.from_numpy(faces)):
        assert direction.shape == (2, 512)
        assert torch.allclose(direction.norm(dim=1), torch.ones(2), atol=1e-5)


@torch.inference_mode()
def test_s3fd_maps_cover_the_picture() -> None:
    found = filled(S3FD)(torch.from_numpy(inputs("s3fd.img", (1, 3, 128, 128), -120, 140)))
    assert len(found) == len(STRIDES)
    for stride, side, (classes, boxes) in zip(STRIDES, (32, 16, 8, 8, 4, 2), found, strict=True):
        assert side >= 128 // stride
        assert classes.shape == (1, 2, side, side)
        assert boxes.shape == (1, 4, side, side)


@torch.inference_mode()
def test_face_mesh_loads_the_real_file_and_finds_a_face_in_a_face_alone(test_data: Path) -> None:
    from pathlib import Path as Here

    import cv2

    import tasks

    network = load(FaceMesh(), test_data / "weights" / "facemesh.pth")
    portrait = cv2.imread(str(Here(tasks.__file__).parent / "data" / "demo" / "portrait.jpg"))
    (box,) = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml").detectMultiScale(
        cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY), 1.1, 8, minSize=(portrait.shape[0] // 6,) * 2
    )[:1]
    x, y, w, h = (int(v) for v in box)
    side = int(1.3 * max(w, h))
    top, left = max(0, y + h // 2 - side // 2), max(0, x + w // 2 - side // 2)
    crop = cv2.resize(portrait[top : top + side, left : left + side], (192, 192))[..., ::-1]
    pictures = torch.from_numpy(np.stack([crop, np.full_like(crop, 128)]).astype(np.float32)).permute(0, 3, 1, 2)
    mesh, confidence = network(pictures / 127.5 - 1)
    assert mesh.shape == (2, 468, 3)
    assert torch.sigmoid(confidence)[0] > 0.9 > 0.1 > torch.sigmoid(confidence)[1]
    eyes, chin = mesh[0, [33, 263], 1].mean(), mesh[0, 152, 1]
    assert 20 < eyes < chin < 190
