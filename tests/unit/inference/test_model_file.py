"""Named models: their files, and what the workflow says about them."""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nearfield.config.schema import ModelConfig
from nearfield.errors import ConfigError, ModelInvalid, ProvenanceError
from nearfield.inference import (
    BACKENDS,
    BatchSettings,
    Encoding,
    ModelContent,
    ModelSource,
    backend_for,
    backend_named,
    probe_model,
)
from nearfield.inference.model_file import read_model
from nearfield.inference.pinned_file import PinnedFile
from nearfield.signing import SigningKey, sign, signature_path

ModelFile = Callable[..., Path]


def test_a_file_is_read_told_and_digested(tiny: Any, model_file: ModelFile) -> None:
    path = model_file(tiny.adder())
    file = read_model(ModelSource(path), "parts")
    assert file.content == ModelContent((tiny.adder(),), path)
    assert file.sha256 == hashlib.sha256(tiny.adder()).hexdigest()
    assert file.backend is BACKENDS[Encoding.TENSORFLOWLITE]


@pytest.mark.parametrize("write", [str.lower, str.upper])
def test_the_digest_that_was_meant_passes(tiny: Any, model_file: ModelFile, write: Callable[[str], str]) -> None:
    digest = hashlib.sha256(tiny.adder()).hexdigest()
    assert read_model(ModelSource(model_file(tiny.adder()), sha256=write(digest)), "parts").sha256 == digest


def test_another_digest_is_refused_with_both(tiny: Any, model_file: ModelFile) -> None:
    path, digest = model_file(tiny.adder()), hashlib.sha256(tiny.adder()).hexdigest()
    with pytest.raises(ModelInvalid) as caught:
        read_model(ModelSource(path, sha256="0" * 64), "parts")
    assert str(caught.value) == (
        f"model `parts` (`{path}`): content: got sha256 {digest}, expected {'0' * 64}; "
        "this is not the file that was meant"
    )


def test_the_digest_of_an_openvino_model_is_over_both_files(tmp_path: Path) -> None:
    xml, weights = b'<net name="m" version="11"></net>', b"weights"
    path = tmp_path / "m.xml"
    path.write_bytes(xml)
    path.with_suffix(".bin").write_bytes(weights)
    file = read_model(ModelSource(path), "m")
    assert file.content.parts == (xml, weights)
    assert file.sha256 == hashlib.sha256(xml + weights).hexdigest()


def test_a_named_backend_must_fit_the_file(tiny: Any, model_file: ModelFile) -> None:
    path = model_file(tiny.adder())
    assert read_model(ModelSource(path, backend="litert"), "parts").backend.name == "litert"
    with pytest.raises(ModelInvalid, match=r"got a TFLite model .*, expected an ONNX model"):
        read_model(ModelSource(path, backend="onnxruntime"), "parts")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threads": 0}, "model `m`: threads: got 0, expected 1 or more"),
        ({"sha256": "xyz"}, "model `m`: sha256: got `xyz`, expected 64 hexadecimal digits"),
        ({"backend": "torch"}, "model `m`: backend: got `torch`, expected one of `litert`, `onnxruntime`, `openvino`"),
        ({"batch": BatchSettings(0, 0.0)}, "model `m`: batch: got BatchSettings"),
        ({"batch": BatchSettings(2, -1.0)}, "model `m`: batch: got BatchSettings"),
    ],
)
def test_values_out_of_range_are_refused_without_the_file(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ModelSource(Path("absent"), **changes).check("m")
    assert str(caught.value).startswith(message)


def test_the_workflow_knows_the_same_backends() -> None:
    known, _ = typing.get_args(typing.get_type_hints(ModelConfig)["backend"])
    assert set(typing.get_args(known)) == {backend.name for backend in BACKENDS.values()}
    for backend in BACKENDS.values():
        assert backend_named(backend.name) is backend_for(backend.encoding) is backend


def test_a_format_without_backend_is_refused() -> None:
    with pytest.raises(ModelInvalid, match="encoding: got PYTORCH, expected one of TENSORFLOWLITE, ONNX, OPENVINO"):
        backend_for(Encoding.PYTORCH)


# ---- pinned files


def test_a_pinned_file_is_the_same_after_it_was_replaced(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"first")
    other.write_bytes(b"second")
    pinned = PinnedFile.holding(ModelContent((b"first",), path))
    other.replace(path)
    assert pinned is not None
    assert Path(pinned.path).read_bytes() == b"first"


@pytest.mark.parametrize("now", [b"firsT", b"first and more", b""])
def test_a_file_that_changed_since_it_was_read_is_refused(tmp_path: Path, now: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(now)
    with pytest.raises(ModelInvalid, match="the file changed while it was loaded"):
        PinnedFile.holding(ModelContent((b"first",), path))


def test_the_descriptor_goes_with_the_graph(tiny: Any, model_file: ModelFile) -> None:
    path = model_file(tiny.adder())
    opened = _descriptors_of(path)
    pinned = PinnedFile.holding(ModelContent((tiny.adder(),), path))
    assert _descriptors_of(path) == opened + 1
    del pinned
    assert _descriptors_of(path) == opened


def test_what_a_guest_carries_has_no_file() -> None:
    assert PinnedFile.holding(ModelContent((b"bytes",))) is None


def _descriptors_of(path: Path) -> int:
    links = Path("/proc/self/fd").iterdir()
    return sum(link.is_symlink() and link.readlink() == path for link in links)


def test_a_signed_model_is_read_where_its_signer_is_trusted(tiny: Any, model_file: ModelFile) -> None:
    key = SigningKey.make()
    path = model_file(tiny.adder())
    trusting = ModelSource(path, signers=frozenset({key.public}))
    with pytest.raises(ProvenanceError) as caught:
        read_model(trusting, "parts")
    assert str(caught.value).startswith(f"model `parts` (`{path}`): signature: cannot read `{path}.sig`")
    assert trusting.files() == (path,)
    signature_path(path).write_bytes(sign([tiny.adder()], "model", key).encode())
    assert read_model(trusting, "parts").content.parts == (tiny.adder(),)
    assert trusting.files() == (path, signature_path(path))
    assert ModelSource(path).files() == (path,)


def test_a_model_that_is_exchanged_before_it_is_tried_out_is_not_run(tiny: Any, model_file: ModelFile) -> None:
    with pytest.raises(ModelInvalid, match="this is not the file that was meant"):
        probe_model(model_file(tiny.adder()), sha256="0" * 64)
