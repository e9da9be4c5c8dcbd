"""The network that tells the parts of faces gives upstream's numbers."""

import numpy as np
import pytest
import torch

from tasks.checkpoint import fill
from tasks.errors import WeightsError
from tasks.nets.bisenet import CLASSES, BiSeNet
from tests.tasks.recipe import inputs, shapes, weights

#: Of the recipe's weights and a made picture: what upstream's own layers, restated apart from ours, give at
#: [0, ::6, ::5, ::5] (fp32, one thread; ours differed by 0).
GIVEN = [
    0.965122, 0.492316, 0.510742, -0.116553, -0.271741, -0.07362, -0.183832, -1.208612, 0.25186, -0.293551, 0.095076,
    0.263211, 0.955195, 1.534308, 0.345571, 0.650612, 1.275732, 2.042698, 1.185506, 2.256098, 1.357513, 0.421284,
    2.366472, 1.784781, 0.972504, 2.536603, 1.972825, 3.21185, 6.291374, 5.237016, 2.92687, 4.82359, 6.54984, 2.315704,
    5.382268, 4.806921, 0.094508, 0.680799, 0.878952, 0.40116, 0.239267, -1.025288, 1.230301, 0.929087, 0.547756,
    -1.115662, -1.01655, -1.022673,
]  # fmt: skip


@torch.inference_mode()
def test_numbers_are_upstream_s() -> None:
    network = BiSeNet()
    fill(network, weights(shapes(network)), of="recipe")
    scores = network.eval()(torch.from_numpy(inputs("parsing.face", (1, 3, 128, 96), -2, 2)))
    assert scores.shape == (1, len(CLASSES), 16, 12)
    np.testing.assert_allclose(scores[0, ::6, ::5, ::5].flatten(), GIVEN, atol=1e-4)


def test_keys_are_upstream_s() -> None:
    """Those that a checkpoint is told by; all 191 were held against upstream's."""
    found = shapes(BiSeNet())
    assert len(found) == 191
    assert found["cp.resnet.layer4.0.downsample.0.weight"] == [512, 256, 1, 1]
    assert found["cp.arm32.conv_atten.weight"] == [128, 128, 1, 1]
    assert found["ffm.convblk.conv.weight"] == [256, 256, 1, 1]
    assert found["conv_out32.conv_out.weight"] == [19, 64, 1, 1]


def test_a_file_of_another_network_is_told_by_its_first_key() -> None:
    state = weights(shapes(BiSeNet()))
    del state["cp.resnet.conv1.weight"]
    with pytest.raises(WeightsError, match=r"not weights of BiSeNet: cp\.resnet\.conv1\.weight 64x3x7x7 is missing"):
        fill(BiSeNet(), state, of="other.pth")
