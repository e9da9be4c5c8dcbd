"""Which enlarging network a checkpoint belongs to, read off its own keys and shapes."""

import math
import re
from collections.abc import Mapping
from typing import Final

from torch import Tensor

from tasks.checkpoint import fill
from tasks.errors import WeightsError
from tasks.nets.detail_net import DetailNet
from tasks.nets.rlfn_net import RLFNNet
from tasks.nets.rrdb_net import RRDBNet
from tasks.nets.srvgg_net import SRVGGNet

EnlargingNet = RRDBNet | SRVGGNet | DetailNet | RLFNNet

_RRDB: Final = ("conv_first.weight", "body.0.rdb1.conv1.weight")
_DETAIL: Final = ("detail.0.weight", "detail.1.weight")
_RLFN: Final = ("fea_conv.weight", "B1.c1_r.weight", "B1.esa.conv1.weight", "B4.esa.conv4.weight", "upsampler.0.weight")
_SRVGG: Final = ("body.0.weight", "body.1.weight")


def enlarging_network(state: Mapping[str, Tensor], source: str) -> EnlargingNet:
    """The network that `state` was trained as, with its weights.

    Raises:
        WeightsError: it is none of those known, or not whole.
    """
    network = _empty(state, source)
    fill(network, state, of=source)
    network.eval()
    return network


def _empty(state: Mapping[str, Tensor], source: str) -> EnlargingNet:
    if all(name in state and state[name].ndim == 4 for name in _RRDB):
        return _rrdb(state)
    if all(name in state for name in _SRVGG):
        return _srvgg(state, source)
    if all(name in state for name in _DETAIL):
        return DetailNet(_count(state, r"detail\.(\d+)\.weight") // 2 - 1, state["detail.0.weight"].shape[0])
    if all(name in state for name in _RLFN) and "B1.c1_d.weight" not in state:
        return _rlfn(state)
    raise WeightsError(
        f"weights {source} begin with {next(iter(state), 'nothing')!r}; expected those of RRDBNet or "
        "SRVGGNetCompact (Real-ESRGAN's networks), of RLFN, or of our own DetailNet: name such a checkpoint"
    )


def _rrdb(state: Mapping[str, Tensor]) -> RRDBNet:
    features, folded = state["conv_first.weight"].shape[:2]
    scale = {3: 4, 12: 2, 48: 1}.get(folded, 4)
    growth = state["body.0.rdb1.conv1.weight"].shape[0]
    return RRDBNet(scale, _count(state, r"body\.(\d+)\.rdb1\.conv1\.weight"), features, growth)


def _srvgg(state: Mapping[str, Tensor], source: str) -> SRVGGNet:
    """The last convolution's outputs tell the scale, the positions of all the depth."""
    layers = _count(state, r"body\.(\d+)\.weight")
    last = state.get(f"body.{layers - 1}.weight")
    scale = 0 if last is None else math.isqrt(last.shape[0] // 3)
    if layers < 3 or scale < 1:
        raise WeightsError(f"weights {source} have no last convolution of 3 x scale² outputs; fetch them again")
    return SRVGGNet(scale, (layers - 3) // 2, state["body.0.weight"].shape[0])


def _rlfn(state: Mapping[str, Tensor]) -> RLFNNet:
    inner, features = state["B1.c1_r.weight"].shape[:2]
    scale = math.isqrt(state["upsampler.0.weight"].shape[0] // 3)
    return RLFNNet(scale, features, inner, state["B1.esa.conv1.weight"].shape[0])


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return 1 + max((int(found[1]) for key in state if (found := re.fullmatch(pattern, key))), default=-1)
