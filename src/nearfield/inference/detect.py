"""Which format a model's bytes have, told from the bytes alone. Pure."""

from __future__ import annotations

import hashlib
import re

from nearfield.errors import ModelInvalid
from nearfield.inference.contract import Encoding
from nearfield.inference.onnx_file import looks_like_onnx

# "File identifier" of a flatbuffer: four bytes after the root offset. TFLite's schema declares `TFL3`.
_TFLITE_IDENTIFIER = b"TFL3"
_ORT_IDENTIFIER = b"ORTM"

# OpenVINO's XML: a byte order mark, a declaration and comments may stand before the root element `net`.
_OPENVINO_ROOT = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--(?:(?!-->).){0,4000}-->\s*)*<net[\s>]", re.DOTALL
)

_NOUNS = {
    Encoding.TENSORFLOWLITE: "a TFLite model",
    Encoding.ONNX: "an ONNX model",
    Encoding.OPENVINO: "an OpenVINO model",
    Encoding.TENSORFLOW: "a TensorFlow model",
    Encoding.PYTORCH: "a PyTorch model",
}
_DETECTED = (Encoding.TENSORFLOWLITE, Encoding.ONNX, Encoding.OPENVINO)
_ANY_MODEL = "a TFLite, ONNX or OpenVINO model"
_CONVERT = "convert the model to ONNX or TFLite"

# Beginnings of files that people put where a model belongs, with what to do about each.
_KNOWN_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the real file with `git lfs pull`"),
    (b"PK\x03\x04", "a zip archive (PyTorch, Keras or plain zip)", _CONVERT),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras)", _CONVERT),
    (b"GGUF", "a GGUF language model", _CONVERT),
    (b"<!DOCTYPE", "a web page", "the download answered with a page instead of the model; fetch it again"),
    (b"<html", "a web page", "the download answered with a page instead of the model; fetch it again"),
    (b"<?xml", "an XML file", "OpenVINO's has `net` as its root"),
    (b"\0asm", "a WebAssembly module", "name guests under `functions`, models under `models`"),
)


def detect_encoding(data: bytes, label: str, wanted: Encoding = Encoding.AUTODETECT) -> Encoding:
    """Tell the format of a model, and that this build can run it.

    Args:
        data: the whole file; of an OpenVINO model the XML.
        label: the model's name for messages.
        wanted: what the caller says it is; AUTODETECT to trust the bytes.

    Returns:
        TENSORFLOWLITE, ONNX or OPENVINO.

    Raises:
        ModelInvalid: anything else, with the size, the first bytes and the sha256.
    """
    where = f"model `{label}`"
    if wanted is not Encoding.AUTODETECT and wanted not in _DETECTED:
        known = ", ".join(each.name for each in (*_DETECTED, Encoding.AUTODETECT))
        raise ModelInvalid(
            f"encoding: got {wanted.name}, expected one of {known}",
            where=where,
            hint=f"no backend runs {_NOUNS[wanted]} here; {_CONVERT}",
        )
    expected = _NOUNS.get(wanted, _ANY_MODEL)
    if not data:
        raise ModelInvalid(f"content: got 0 bytes, expected {expected}", where=where, hint="the file is empty")
    found = _told_by(data)
    if found is None:
        raise _not_a_model(data, expected, where)
    if wanted not in (Encoding.AUTODETECT, found):
        raise ModelInvalid(
            f"content: got {_NOUNS[found]} ({fingerprint(data)}), expected {expected}",
            where=where,
            hint=f"name it as {found.name}, or leave its format open",
        )
    return found


def fingerprint(data: bytes) -> str:
    """Size, first bytes and sha256 of a file, for messages."""
    return f"{len(data)} bytes beginning {data[:8].hex(' ')}, sha256 {hashlib.sha256(data).hexdigest()}"


def _told_by(data: bytes) -> Encoding | None:
    if data[4:8] == _TFLITE_IDENTIFIER:
        return Encoding.TENSORFLOWLITE
    if _OPENVINO_ROOT.match(data):
        return Encoding.OPENVINO
    return Encoding.ONNX if looks_like_onnx(data) else None


def _not_a_model(data: bytes, expected: str, where: str) -> ModelInvalid:
    got = fingerprint(data)
    for beginning, noun, hint in _KNOWN_OTHERS:
        if data.startswith(beginning):
            return ModelInvalid(f"content: got {noun} ({got}), expected {expected}", where=where, hint=hint)
    if data[4:8] == _ORT_IDENTIFIER:
        return ModelInvalid(
            f"content: got a model in ONNX Runtime's own format ({got}), expected {expected}",
            where=where,
            hint="use the ONNX file that it was made from",
        )
    # The IR version comes first in every ONNX file.
    hint = (
        "perhaps an ONNX model that was cut off" if data[:1] == b"\x08" and len(data) > 2 else "no known model format"
    )
    return ModelInvalid(f"content: got {got}, expected {expected}", where=where, hint=hint)
