"""Which format a model's bytes have, told from the bytes alone. Pure."""

from __future__ import annotations

import hashlib

from nearfield.errors import ModelInvalid
from nearfield.inference.contract import Encoding

# "File identifier" of a flatbuffer: four bytes after the root offset. TFLite's schema declares `TFL3`.
_TFLITE_IDENTIFIER = b"TFL3"

# Beginnings of files that people put where a model belongs, with what to do about each.
_KNOWN_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the real file with `git lfs pull`"),
    (b"PK\x03\x04", "a zip archive (PyTorch, Keras or plain zip)", "convert the model to TFLite"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras)", "convert the model to TFLite"),
    (b"GGUF", "a GGUF language model", "convert the model to TFLite"),
    (b"<?xml", "an XML file (OpenVINO or other)", "this build has no OpenVINO backend; convert the model to TFLite"),
    (b"<!DOCTYPE", "a web page", "the download answered with a page instead of the model; fetch it again"),
    (b"<html", "a web page", "the download answered with a page instead of the model; fetch it again"),
    (b"\0asm", "a WebAssembly module", "name guests under `functions`, models under `models`"),
)

# Fields of onnx.ModelProto (onnx.proto): number -> wire type (0 varint, 2 length-delimited). 7 is the graph.
_ONNX_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2}
_ONNX_GRAPH_FIELD = 7
_MOST_ONNX_FIELDS = 256


def detect_encoding(data: bytes, label: str, wanted: Encoding = Encoding.AUTODETECT) -> Encoding:
    """Tell the format of a model, and that this build can run it.

    Args:
        data: the whole file.
        label: the model's name for messages.
        wanted: what the caller says it is; AUTODETECT to trust the bytes.

    Returns:
        TENSORFLOWLITE: the one format with a backend so far.

    Raises:
        ModelInvalid: anything else, with the size, the first bytes and the sha256.
    """
    where = f"model `{label}`"
    if wanted not in (Encoding.AUTODETECT, Encoding.TENSORFLOWLITE):
        raise ModelInvalid(
            f"encoding: got {wanted.name}, expected TENSORFLOWLITE or AUTODETECT",
            where=where,
            hint=f"this build has no {wanted.name} backend yet",
        )
    if not data:
        raise ModelInvalid("content: got 0 bytes, expected a TFLite model", where=where, hint="the file is empty")
    if data[4:8] == _TFLITE_IDENTIFIER:
        return Encoding.TENSORFLOWLITE
    raise _not_a_model(data, where)


def fingerprint(data: bytes) -> str:
    """Size, first bytes and sha256 of a file, for messages."""
    return f"{len(data)} bytes beginning {data[:8].hex(' ')}, sha256 {hashlib.sha256(data).hexdigest()}"


def _not_a_model(data: bytes, where: str) -> ModelInvalid:
    got = fingerprint(data)
    for beginning, noun, hint in _KNOWN_OTHERS:
        if data.startswith(beginning):
            return ModelInvalid(f"content: got {noun} ({got}), expected a TFLite model", where=where, hint=hint)
    if looks_like_onnx(data):
        return ModelInvalid(
            f"content: got an ONNX model ({got}), expected a TFLite model",
            where=where,
            hint="this build has no ONNX backend yet; convert the model to TFLite",
        )
    return ModelInvalid(
        f"content: got {got}, expected a TFLite model (`TFL3` at offset 4)", where=where, hint="no known model format"
    )


def looks_like_onnx(data: bytes) -> bool:
    """Whether the bytes are a protobuf with the fields of an ONNX model: an IR version first, a graph further on."""
    position, seen = 0, set()
    for _ in range(_MOST_ONNX_FIELDS):
        if position >= len(data):
            break
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if _ONNX_FIELDS.get(number) != wire_type:
            return False
        value, position = _varint(data, position)
        if wire_type == 2:
            position += value
        seen.add(number)
    return position == len(data) and 1 in seen and _ONNX_GRAPH_FIELD in seen


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Protobuf base-128 integer at `position` and the position after it; past the end when there is none."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    return 0, len(data) + 1
