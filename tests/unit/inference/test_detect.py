"""What the bytes of a model file are told to be."""

from __future__ import annotations

import hashlib

import pytest

from nearfield.errors import ModelInvalid
from nearfield.inference import Encoding, detect_encoding

TFLITE = b"\x1c\0\0\0TFL3"
# ir_version 8, producer_name "t", graph of 2 bytes, opset_import of 2 bytes.
ONNX = bytes.fromhex("0808 120174 3a020a00 42021011")
OPENVINO = b'<?xml version="1.0"?>\n<net name="m" version="11"></net>'


def refusal(data: bytes, wanted: Encoding = Encoding.AUTODETECT) -> str:
    with pytest.raises(ModelInvalid) as caught:
        detect_encoding(data, "parts", wanted)
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (TFLITE, Encoding.TENSORFLOWLITE),
        (ONNX, Encoding.ONNX),
        (OPENVINO, Encoding.OPENVINO),
        (b"<net>", Encoding.OPENVINO),
        (b"\xef\xbb\xbf <?xml version='1.0'?><!-- > made by -- hand --> <!----><net\nname='m'>", Encoding.OPENVINO),
    ],
)
def test_a_format_is_told_by_the_bytes_whether_or_not_it_is_named(data: bytes, encoding: Encoding) -> None:
    assert detect_encoding(data, "parts") is encoding
    assert detect_encoding(data, "parts", encoding) is encoding


def test_another_format_than_the_named_one_is_refused_with_both() -> None:
    assert refusal(ONNX, Encoding.TENSORFLOWLITE) == (
        "model `parts`: content: got an ONNX model (13 bytes beginning 08 08 12 01 74 3a 02 0a, "
        f"sha256 {hashlib.sha256(ONNX).hexdigest()}), expected a TFLite model; "
        "name it as ONNX, or leave its format open"
    )


def test_an_empty_file_is_called_empty() -> None:
    assert refusal(b"") == (
        "model `parts`: content: got 0 bytes, expected a TFLite, ONNX or OpenVINO model; the file is empty"
    )
    assert "expected an ONNX model; the file is empty" in refusal(b"", Encoding.ONNX)


def test_unknown_bytes_are_named_by_size_beginning_and_sha256() -> None:
    data = bytes(range(100, 200))
    assert refusal(data) == (
        f"model `parts`: content: got 100 bytes beginning 64 65 66 67 68 69 6a 6b, "
        f"sha256 {hashlib.sha256(data).hexdigest()}, "
        f"expected a TFLite, ONNX or OpenVINO model; no known model format"
    )


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
        (ONNX[:-1], "perhaps an ONNX model that was cut off"),
        (b"\x18\0\0\0ORTM" + bytes(40), "ONNX Runtime's own format"),
        (b"PK\x03\x04" + bytes(40), "zip archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "Keras"),
        (b"<?xml version='1.0'?><opencv_storage/>", "an XML file"),
        (b"<!--" + b"--><!--" * 600 + b"<nut>", "no known model format"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\0asm\x01\0\0\0", "WebAssembly"),
    ],
)
def test_what_people_put_there_by_mistake_is_recognised(data: bytes, told: str) -> None:
    assert told in refusal(data)


@pytest.mark.parametrize("wanted", [Encoding.TENSORFLOW, Encoding.PYTORCH])
def test_an_encoding_without_backend_is_refused_whatever_the_bytes(wanted: Encoding) -> None:
    told = f"encoding: got {wanted.name}, expected one of TENSORFLOWLITE, ONNX, OPENVINO, AUTODETECT; no backend runs a"
    assert told in refusal(TFLITE, wanted)
