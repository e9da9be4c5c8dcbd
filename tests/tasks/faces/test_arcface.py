"""Recognition networks of the user's: keys as published, random weights, files of other networks refused.

No trained weights were at hand: what is tested is that a network is read, run and asked rightly.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.errors import WeightsError
from tasks.faces.arcface import ArcFace
from tasks.faces.identity import open_embedding
from tasks.faces.photo import faces_in
from tasks.faces.portraits import Portrait
from tasks.nets.iresnet import STAGES, IResNet, stages_of
from tasks.weights import Weights
from tests.tasks.faces.made import portrait, stranger
from tests.tasks.faces.test_photo import photo
from tests.tasks.recipe import shapes, weights


def at(path: Path) -> Weights:
    return Weights("identity", path.name, "arcface-r50", "", path.name, path=str(path))


@pytest.fixture(scope="module")
def faces() -> tuple[Portrait, ...]:
    return (*faces_in(photo(portrait())), *faces_in(photo(stranger())))


@pytest.fixture(scope="module")
def small() -> IResNet:
    """The network at its least depth, with the weights of the recipe."""
    network = IResNet(STAGES["r18"])
    network.load_state_dict({k: torch.as_tensor(v) for k, v in weights(shapes(network)).items()})
    return network.eval()


def test_the_network_of_fifty_layers_has_the_parameters_that_are_published() -> None:
    network = IResNet(STAGES["r50"])
    count = sum(value.numel() for value in network.parameters())
    assert 4 * count == pytest.approx(174_383_860, rel=2e-3), "bytes of w600k_r50.onnx, whose norms are folded"
    keys = set(network.state_dict())
    assert {"conv1.weight", "layer1.0.downsample.0.weight", "layer3.13.prelu.weight", "fc.bias"} <= keys
    assert {"layer4.2.bn3.running_var", "bn2.weight", "features.running_mean"} <= keys
    assert stages_of(network.state_dict()) == STAGES["r50"]


def test_a_checkpoint_gives_directions_of_each_face_by_itself(
    tmp_path: Path, small: IResNet, faces: tuple[Portrait, ...]
) -> None:
    torch.save(small.state_dict(), tmp_path / "r18.pth")
    eye = open_embedding(at(tmp_path / "r18.pth"))
    both = eye.embed(faces)
    assert both.shape == (2, 512)
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(eye.embed(faces[1:])[0], both[1])
    assert (eye.name, len(eye.embed(()))) == ("r18.pth", 0)
    seen = torch.from_numpy(faces[0].picture.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.inference_mode():
        wanted = torch.nn.functional.normalize(small(seen))[0].numpy()
    np.testing.assert_allclose(both[0], wanted, atol=1e-5)


def test_an_onnx_file_gives_what_the_same_network_gives_in_torch(
    tmp_path: Path, small: IResNet, faces: tuple[Portrait, ...]
) -> None:
    path = tmp_path / "r18.onnx"
    try:
        torch.onnx.export(small, (torch.zeros(1, 3, 112, 112),), str(path), dynamo=False)
    except (ImportError, ModuleNotFoundError, RuntimeError, TypeError) as error:
        pytest.skip(f"no ONNX file can be written here: {error}")
    torch.save(small.state_dict(), tmp_path / "r18.pth")
    one, other = (ArcFace(at(file)).embed(faces) for file in (path, tmp_path / "r18.pth"))
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_weights_of_another_network_are_refused_by_their_first_mismatch(tmp_path: Path, small: IResNet) -> None:
    state = {**small.state_dict(), "fc.weight": torch.zeros(512, 512 * 49 // 2)}
    torch.save(state, tmp_path / "half.pth")
    with pytest.raises(WeightsError, match=r"half\.pth: these are not weights of IResNet: fc\.weight is 512x12544"):
        ArcFace(at(tmp_path / "half.pth"))
    (tmp_path / "none.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsError, match=r"none\.onnx: cannot be run as ArcFace; choose the file of that network"):
        ArcFace(at(tmp_path / "none.onnx"))
    with pytest.raises(WeightsError, match="no such file of weights"):
        ArcFace(at(tmp_path / "gone.onnx"))


def test_a_detector_is_no_recognition_network(test_data: Path) -> None:
    with pytest.raises(WeightsError, match="as ArcFace|expected \\(1, 512\\)"):
        ArcFace(at(test_data / "weights" / "yunet_s_640_640.onnx"))
