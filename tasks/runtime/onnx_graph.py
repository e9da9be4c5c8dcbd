"""A network and the shapes of what it is given, as an ONNX graph of exactly these shapes; knows no runtime.

The network is run once and its operations are written down (`make_fx`), so whatever its own code does beside
them leaves no trace.  What stands in `_WRITERS` is all that our networks use.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

from tasks.errors import JobError
from tasks.runtime.onnx_file import OUTPUT, TYPES, Attribute, Constant, Node, Value, input_name, model_bytes


def onnx_bytes(network: nn.Module, given: Sequence[Tensor]) -> bytes:
    """The network, in host memory, as a file that takes tensors of these shapes and types; nothing is computed.

    Raises:
        JobError: it does something that has no counterpart here.
    """
    traced = _traced(network, given)
    graph, position = _Graph(), 0
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            graph.names[node] = input_name(position)
            position += 1
        elif node.op == "get_attr":
            graph.keep(node, getattr(traced, str(node.target)))
        elif node.op == "call_function":
            graph.write(node)
    (result,) = next(node for node in traced.graph.nodes if node.op == "output").args
    graph.end(result)
    drawn = _found(result)
    return model_bytes(
        graph.nodes,
        graph.used_constants(),
        [Value(input_name(i), tuple(x.shape), _kind(x)) for i, x in enumerate(given)],
        [Value(OUTPUT, tuple(drawn.shape), _kind(drawn))],
    )


def _traced(network: nn.Module, given: Sequence[Tensor]) -> fx.GraphModule:
    """The operations, each node with the shape and type of what it gives as `meta["val"]`.

    What is given asks for a gradient: our networks then leave ways out that only processors take.
    """
    with torch.inference_mode(False), torch.enable_grad():
        asked = [torch.empty_like(x, device="cpu").requires_grad_() for x in given]
        return make_fx(lambda *inputs: network(*inputs), tracing_mode="fake", _allow_non_fake_inputs=True)(*asked)


class _Graph:
    """The ONNX graph as it grows."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.names: dict[fx.Node, str] = {}
        self._constants: dict[str, Constant] = {}
        self._kept: dict[fx.Node, Tensor] = {}
        "Weights, by what reads them."

    def keep(self, node: fx.Node, tensor: Tensor) -> None:
        self._kept[node] = tensor
        self.names[node] = self.constant(tensor)

    def kept(self, node: fx.Node) -> Tensor:
        """Weights, though they were given another shape meanwhile."""
        return self._kept[node] if node in self._kept else self.kept(_node(node.args[0]))

    def constant(self, tensor: Tensor) -> str:
        plain = tensor.detach().contiguous()
        name = f"constant{len(self._constants)}"
        self._constants[name] = Constant(name, tuple(plain.shape), _kind(plain), _bytes(plain))
        return name

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(torch.tensor(list(values), dtype=torch.int64))

    def add(self, kind: str, inputs: Sequence[str], **attributes: Attribute) -> str:
        output = f"value{len(self.nodes)}"
        self.nodes.append(Node(kind, tuple(inputs), (output,), attributes))
        return output

    def end(self, result: fx.Node) -> None:
        self.nodes.append(Node("Identity", (self.names[result],), (OUTPUT,)))

    def write(self, node: fx.Node) -> None:
        name = str(node.target)
        if name not in _WRITERS:
            raise JobError(f"runtime=onnx: the network does {name}, which is not known here; use another runtime")
        self.names[node] = _WRITERS[name](self, node)

    def of(self, argument: Any, like: Tensor) -> str:
        """The name of an argument as `like`'s type, which torch brings both sides of a sum to."""
        if not isinstance(argument, fx.Node):
            return self.constant(torch.tensor(argument, dtype=like.dtype))
        name = self.names[argument]
        return name if _found(argument).dtype == like.dtype else self.cast(name, like)

    def cast(self, name: str, like: Tensor) -> str:
        return self.add("Cast", [name], to=TYPES[_kind(like)])

    def used_constants(self) -> list[Constant]:
        used = {name for node in self.nodes for name in node.inputs}
        return [one for name, one in self._constants.items() if name in used]


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _bytes(tensor: Tensor) -> bytes:
    return bytes(tensor.flatten().view(torch.uint8).numpy()) if tensor.numel() else b""


def _found(node: fx.Node) -> Tensor:
    found: Tensor = node.meta["val"]
    return found


def _first(graph: _Graph, node: fx.Node) -> str:
    return graph.names[_node(node.args[0])]


def _node(argument: Any) -> fx.Node:
    assert isinstance(argument, fx.Node)
    return argument


def _simple(kind: str, **attributes: Attribute) -> Callable[[_Graph, fx.Node], str]:
    return lambda graph, node: graph.add(kind, [_first(graph, node)], **attributes)


def _same(graph: _Graph, node: fx.Node) -> str:
    """What changes no value."""
    return _first(graph, node)


def _nothing(graph: _Graph, node: fx.Node) -> str:
    """What nobody reads: room that eager operations ask for."""
    return ""


def _convolution(graph: _Graph, node: fx.Node) -> str:
    x, weight, bias, stride, padding, dilation, transposed, output_padding, groups = node.args
    inputs = [graph.names[_node(one)] for one in (x, weight, bias) if one is not None]
    sides = list(padding)  # type: ignore[arg-type]
    attributes: dict[str, Any] = {"strides": stride, "pads": sides + sides, "dilations": dilation, "group": groups}
    if not transposed:
        return graph.add("Conv", inputs, **attributes)
    return graph.add("ConvTranspose", inputs, output_padding=output_padding, **attributes)  # type: ignore[arg-type]


def _normalised(graph: _Graph, node: fx.Node) -> str:
    """Batch normalisation with what it learnt; the first of its three results."""
    x, weight, bias, mean, variance, _, _, epsilon = node.args
    names = [graph.names[_node(one)] for one in (x, weight, bias, mean, variance)]
    return graph.add("BatchNormalization", names, epsilon=float(epsilon))  # type: ignore[arg-type]


def _prelu(graph: _Graph, node: fx.Node) -> str:
    """The slopes with the shape that a picture's channels have."""
    slopes = graph.constant(graph.kept(_node(node.args[1])).reshape(-1, 1, 1))
    return graph.add("PRelu", [_first(graph, node), slopes])


def _leaky(graph: _Graph, node: fx.Node) -> str:
    return graph.add("LeakyRelu", [_first(graph, node)], alpha=float(node.args[1]))  # type: ignore[arg-type]


def _of_two(kind: str) -> Callable[[_Graph, fx.Node], str]:
    def write(graph: _Graph, node: fx.Node) -> str:
        assert not node.kwargs, "sums with a factor are not used"
        like = _found(node)
        return graph.add(kind, [graph.of(one, like) for one in node.args[:2]])

    return write


def _joined(graph: _Graph, node: fx.Node) -> str:
    axis = node.args[1] if len(node.args) > 1 else 0
    return graph.add("Concat", [graph.names[_node(one)] for one in node.args[0]], axis=axis)  # type: ignore[union-attr, arg-type]


def _cut(graph: _Graph, node: fx.Node) -> str:
    axis, start, end = node.args[1:4]
    return graph.add(
        "Slice",
        [_first(graph, node), *(graph.integers([value]) for value in (start, end, axis))],  # type: ignore[list-item]
    )


def _reshaped(graph: _Graph, node: fx.Node) -> str:
    return graph.add("Reshape", [_first(graph, node), graph.integers(tuple(_found(node).shape))])


def _resized(mode: str, **attributes: Attribute) -> Callable[[_Graph, fx.Node], str]:
    def write(graph: _Graph, node: fx.Node) -> str:
        sizes = graph.integers(tuple(_found(node).shape))
        return graph.add("Resize", [_first(graph, node), "", "", sizes], mode=mode, **attributes)

    return write


def _shuffled(graph: _Graph, node: fx.Node) -> str:
    return graph.add("DepthToSpace", [_first(graph, node)], blocksize=_side(node), mode="CRD")


def _unshuffled(graph: _Graph, node: fx.Node) -> str:
    """(N, C, s H, s W) -> (N, C s², H, W) in torch's order, for which ONNX has no word."""
    n, channels, height, width = _found(node).shape
    side = _side(node)
    inner = graph.integers((n, channels // side**2, height, side, width, side))
    apart = graph.add("Reshape", [_first(graph, node), inner])
    turned = graph.add("Transpose", [apart], perm=[0, 1, 3, 5, 2, 4])
    return graph.add("Reshape", [turned, graph.integers((n, channels, height, width))])


def _side(node: fx.Node) -> int:
    side = node.args[1]
    assert isinstance(side, int)
    return side


def _cast(graph: _Graph, node: fx.Node) -> str:
    return graph.cast(_first(graph, node), _found(node))


_WRITERS: Final[dict[str, Callable[[_Graph, fx.Node], str]]] = {
    "aten.convolution.default": _convolution,
    "aten.native_batch_norm.default": _normalised,
    "aten._native_batch_norm_legit_no_training.default": _normalised,
    "<built-in function getitem>": _same,
    "aten.empty.memory_format": _nothing,
    "aten._prelu_kernel.default": _prelu,
    "aten.leaky_relu.default": _leaky,
    "aten.relu.default": _simple("Relu"),
    "aten.sigmoid.default": _simple("Sigmoid"),
    "aten.tanh.default": _simple("Tanh"),
    "aten.add.Tensor": _of_two("Add"),
    "aten.add_.Tensor": _of_two("Add"),
    "aten.mul.Tensor": _of_two("Mul"),
    "aten.cat.default": _joined,
    "aten.slice.Tensor": _cut,
    "aten.view.default": _reshaped,
    "aten.upsample_nearest2d.default": _resized(
        "nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    ),
    "aten.upsample_bilinear2d.default": _resized("linear", coordinate_transformation_mode="half_pixel"),
    "aten.pixel_shuffle.default": _shuffled,
    "aten.pixel_unshuffle.default": _unshuffled,
    "aten.detach.default": _same,
    "aten.clone.default": _same,
    "aten._to_copy.default": _cast,
}
