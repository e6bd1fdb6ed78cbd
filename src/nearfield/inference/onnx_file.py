"""What an ONNX file says about itself, read from its protobuf without any runtime. Pure."""

from __future__ import annotations

from collections.abc import Iterator

# Fields of onnx.ModelProto (onnx.proto): number -> wire type (0 varint, 2 length-delimited). 1 is the IR version, 7 the
# graph.
_MODEL_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_IR_VERSION_FIELD = 1
_GRAPH_FIELD = 7
# Functions and metadata may be many.
_MOST_MODEL_FIELDS = 16384

# Where tensors lie in a model: message -> {field: message}. Every other field is stepped over.
_TENSOR = "TensorProto"
_CONTENTS: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: _TENSOR, 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: _TENSOR,
        6: "GraphProto",
        10: _TENSOR,
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: _TENSOR, 2: _TENSOR},
}
_TENSOR_NAME_FIELD = 8
_TENSOR_EXTERNAL_FIELD = 13
_TENSOR_LOCATION_FIELD = 14

# Protobuf's own readers stop at 100 messages inside each other.
_MOST_DEPTH = 100


def looks_like_onnx(data: bytes) -> bool:
    """Whether the bytes are a protobuf with the fields of an ONNX model, the IR version and the graph among them."""
    seen = set()
    try:
        for count, (number, wire_type, _, _) in enumerate(_fields(data, 0, len(data))):
            if _MODEL_FIELDS.get(number) != wire_type or count >= _MOST_MODEL_FIELDS:
                return False
            seen.add(number)
    except ValueError:
        return False
    return {_IR_VERSION_FIELD, _GRAPH_FIELD} <= seen


def external_tensor(data: bytes) -> str | None:
    """Name of the first tensor whose values are in another file; None when the file holds everything itself.

    Takes about 1 ms for each 500 operators; the size of the weights does not matter.

    Raises:
        ValueError: no protobuf, or nested too deep.
    """
    pending = [("ModelProto", 0, len(data), 0)]
    while pending:
        kind, start, end, depth = pending.pop()
        if depth > _MOST_DEPTH:
            raise ValueError(f"got messages nested deeper than {_MOST_DEPTH}")
        if kind == _TENSOR:
            name = _external_name(data, start, end)
            if name is not None:
                return name
            continue
        inner = _CONTENTS[kind]
        for number, wire_type, first, last in _fields(data, start, end):
            if number in inner and wire_type == 2:
                pending.append((inner[number], first, last, depth + 1))
    return None


def _external_name(data: bytes, start: int, end: int) -> str | None:
    name, is_external = "", False
    for number, wire_type, first, last in _fields(data, start, end):
        if number == _TENSOR_NAME_FIELD and wire_type == 2:
            name = data[first:last].decode(errors="replace")
        elif number == _TENSOR_EXTERNAL_FIELD:
            is_external = True
        elif number == _TENSOR_LOCATION_FIELD and wire_type == 0:
            is_external = is_external or _varint(data, first, end)[0] != 0
    return name if is_external else None


def _fields(data: bytes, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Fields of a message: number, wire type, and where the value begins and ends.

    Raises:
        ValueError: the bytes are no message.
    """
    while position < end:
        key, position = _varint(data, position, end)
        # Protobuf's own reader keeps 32 bits of a key, so more of them must not hide a field from us.
        key &= 0xFFFFFFFF
        wire_type = key & 7
        start = position
        if wire_type == 0:
            _, position = _varint(data, position, end)
        elif wire_type == 1:
            position += 8
        elif wire_type == 2:
            length, start = _varint(data, position, end)
            position = start + length
        elif wire_type == 5:
            position += 4
        else:
            raise ValueError(f"got wire type {wire_type} at byte {start}")
        if position > end:
            raise ValueError(f"got a field that ends {position - end} bytes beyond its message")
        yield key >> 3, wire_type, start, position


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Protobuf base-128 integer at `position`, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"got no whole integer before byte {position}")
