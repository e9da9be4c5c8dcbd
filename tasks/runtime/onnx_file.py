"""An ONNX file as bytes, field by field; knows the format (onnx/onnx.proto3, IR 8), no network.

Written by hand because the exporters bring three packages of which none is needed to run a graph.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

#: Both are of 2022 and read by every runtime of today.
IR_VERSION: Final = 8
OPSET: Final = 17
#: TensorProto.DataType by torch's names.
TYPES: Final = {"float32": 1, "int64": 7, "float16": 10, "bfloat16": 16}

#: Of the one thing that comes out.
OUTPUT: Final = "drawn"

Attribute = int | float | str | Sequence[int]


@dataclass(frozen=True)
class Constant:
    """A tensor that is part of the file."""

    name: str
    shape: tuple[int, ...]
    kind: str
    "By torch's name, as float32."
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Node:
    """One operation."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True)
class Value:
    """What goes in or comes out."""

    name: str
    shape: tuple[int, ...]
    kind: str


def input_name(position: int) -> str:
    """Of what goes in, in order."""
    return f"given{position}"


def model_bytes(
    nodes: Iterable[Node], constants: Iterable[Constant], inputs: Iterable[Value], outputs: Iterable[Value]
) -> bytes:
    """The file; equal graphs give equal bytes."""
    graph = b"".join(
        (
            *(_block(1, _node(node)) for node in nodes),
            _text(2, "graph"),
            *(_block(5, _constant(one)) for one in constants),
            *(_block(11, _value(one)) for one in inputs),
            *(_block(12, _value(one)) for one in outputs),
        )
    )
    return _number(1, IR_VERSION) + _text(2, "reelyard") + _block(7, graph) + _block(8, _number(2, OPSET))


def _node(node: Node) -> bytes:
    return b"".join(
        (
            *(_text(1, name) for name in node.inputs),
            *(_text(2, name) for name in node.outputs),
            _text(4, node.kind),
            *(_block(5, _attribute(name, value)) for name, value in sorted(node.attributes.items())),
        )
    )


def _attribute(name: str, value: Attribute) -> bytes:
    head = _text(1, name)
    if isinstance(value, int):
        return head + _number(3, value) + _number(20, 2)
    if isinstance(value, float):
        return head + _key(2, 5) + struct.pack("<f", value) + _number(20, 1)
    if isinstance(value, str):
        return head + _text(4, value) + _number(20, 3)
    return head + b"".join(_number(8, one) for one in value) + _number(20, 7)


def _constant(one: Constant) -> bytes:
    dimensions = b"".join(_number(1, side) for side in one.shape)
    return dimensions + _number(2, TYPES[one.kind]) + _text(8, one.name) + _block(9, one.data)


def _value(one: Value) -> bytes:
    shape = b"".join(_block(1, _number(1, side)) for side in one.shape)
    return _text(1, one.name) + _block(2, _block(1, _number(1, TYPES[one.kind]) + _block(2, shape)))


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _number(number: int, value: int) -> bytes:
    return _key(number, 0) + _varint(value & (1 << 64) - 1)


def _text(number: int, value: str) -> bytes:
    return _block(number, value.encode())


def _block(number: int, value: bytes) -> bytes:
    return _key(number, 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
