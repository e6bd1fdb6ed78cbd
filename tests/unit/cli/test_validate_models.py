"""What `nearfield validate` says about models, without running them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from nearfield.cli.validate import validate
from nearfield.config import WorkflowInvalid

# Told by its first bytes, and no more than that.
TFLITE = b"\x1c\0\0\0TFL3"
DIGEST = hashlib.sha256(TFLITE).hexdigest()


def workflow(folder: Path, model: str) -> Path:
    path = folder / "workflow.yaml"
    path.write_text(f"name: a\nfunctions: []\nmodels:\n  m:\n    {model}\n")
    (folder / "m.tflite").write_bytes(TFLITE)
    (folder / "page.html").write_bytes(b"<!DOCTYPE html><html>")
    (folder / "empty.txt").write_bytes(b"")
    return path


@pytest.mark.parametrize("more", ["", f", sha256: '{DIGEST}'", ", backend: litert", ", device: cuda"])
def test_a_model_that_may_run_somewhere_is_valid(tmp_path: Path, more: str, capsys: pytest.CaptureFixture[str]) -> None:
    validate(workflow(tmp_path, f"{{path: m.tflite{more}}}"))
    assert ": valid; functions: none" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("{path: page.html}", ":5: models.m.path: content: got a web page ("),
        (
            f"{{path: m.tflite, sha256: '{'0' * 64}'}}",
            f":5: models.m.path: content: got sha256 {DIGEST}, expected 0000",
        ),
        ("{path: m.tflite, backend: onnxruntime}", ", expected an ONNX model; name it as TENSORFLOWLITE"),
        ("{path: m.tflite, labels: empty.txt}", ":5: models.m.path: labels: `"),
    ],
)
def test_a_model_that_cannot_be_meant_is_refused_with_its_line(tmp_path: Path, model: str, told: str) -> None:
    with pytest.raises(WorkflowInvalid) as caught:
        validate(workflow(tmp_path, model))
    assert told in str(caught.value)


def test_findings_about_models_are_objects_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WorkflowInvalid):
        validate(workflow(tmp_path, "{path: page.html}"), json=True)
    assert '{"level":"error","line":5,"path":"models.m.path","text":"content: got a web page' in (
        capsys.readouterr().out.replace('": ', '":').replace(', "', ',"')
    )
