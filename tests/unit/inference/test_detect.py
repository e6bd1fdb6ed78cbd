"""What the bytes of a model file are told to be."""

from __future__ import annotations

import hashlib

import pytest

from nearfield.errors import ModelInvalid
from nearfield.inference import Encoding, detect_encoding
from nearfield.inference.detect import looks_like_onnx

# ir_version 8, producer_name "t", graph of 2 bytes, opset_import of 2 bytes.
ONNX = bytes.fromhex("0808 120174 3a020a00 42021011")


def refusal(data: bytes, wanted: Encoding = Encoding.AUTODETECT) -> str:
    with pytest.raises(ModelInvalid) as caught:
        detect_encoding(data, "parts", wanted)
    return str(caught.value)


@pytest.mark.parametrize("wanted", [Encoding.AUTODETECT, Encoding.TENSORFLOWLITE])
def test_a_tflite_identifier_is_enough(wanted: Encoding) -> None:
    assert detect_encoding(b"\x1c\0\0\0TFL3", "parts", wanted) is Encoding.TENSORFLOWLITE


def test_an_empty_file_is_called_empty() -> None:
    assert refusal(b"") == "model `parts`: content: got 0 bytes, expected a TFLite model; the file is empty"


def test_unknown_bytes_are_named_by_size_beginning_and_sha256() -> None:
    data = bytes(range(100, 200))
    assert refusal(data) == (
        f"model `parts`: content: got 100 bytes beginning 64 65 66 67 68 69 6a 6b, "
        f"sha256 {hashlib.sha256(data).hexdigest()}, "
        f"expected a TFLite model (`TFL3` at offset 4); no known model format"
    )


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
        (ONNX, "this build has no ONNX backend yet"),
        (b"PK\x03\x04" + bytes(40), "zip archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "Keras"),
        (b"<?xml version='1.0'?><net/>", "OpenVINO"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\0asm\x01\0\0\0", "WebAssembly"),
    ],
)
def test_what_people_put_there_by_mistake_is_recognised(data: bytes, told: str) -> None:
    assert told in refusal(data)


@pytest.mark.parametrize("wanted", [Encoding.ONNX, Encoding.OPENVINO, Encoding.TENSORFLOW, Encoding.PYTORCH])
def test_an_encoding_without_backend_is_refused_whatever_the_bytes(wanted: Encoding) -> None:
    assert f"this build has no {wanted.name} backend yet" in refusal(b"\x1c\0\0\0TFL3", wanted)


@pytest.mark.parametrize("data", [b"", ONNX[:-1], ONNX[2:], b"\x08\x08", b"\x3a\xff", b"\x3a" + b"\xff" * 20, b"\x08"])
def test_fragments_of_onnx_are_not_onnx(data: bytes) -> None:
    assert not looks_like_onnx(data)


def test_whole_onnx_is_onnx() -> None:
    assert looks_like_onnx(ONNX)
