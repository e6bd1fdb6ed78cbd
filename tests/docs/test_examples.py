"""The programs and workflows under `examples/`, as real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nearfield.config import check_workflow
from tests.docs.reader import ROOT, Reader

WORKFLOWS = sorted((ROOT / "examples").rglob("*.yaml"))
BELT = "src/nearfield/assets/factory_line/belt.mp4"
PICTURES = 60


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.parent.name)
def test_workflow_is_valid_and_its_files_exist(path: Path) -> None:
    assert [finding.located(path.name) for finding in check_workflow(path).findings] == []


def test_factory_line_recognises_parts(tmp_path: Path, free_port: int) -> None:
    with Reader(tmp_path, free_port) as reader:
        serve = "nearfield serve -c examples/factory-line/workflow.yaml --port 9900"
        reader.start("zipper", serve, ready="joined")
        reader.start("sink", "nearfield watch --tag 0x11 --json --count 20 --timeout 30", ready="ready")
        reader.run(f"nearfield send {BELT} --tag 0x10 --every 10 --fps 20")
        results = reader.finish("sink")
    seen = [json.loads(line)["json"] for line in results.splitlines() if "sequence" in line]
    assert len(seen) == 20
    assert {result["label"] for result in seen} >= {"bolt", "gear"}


def test_function_in_python_measures_what_the_source_in_python_sends(tmp_path: Path, free_port: int) -> None:
    with Reader(tmp_path, free_port) as reader:
        serve = "nearfield serve -c examples/python-function/workflow.yaml --port 9900"
        reader.start("zipper", serve, ready="joined")
        reader.start("sink", f"nearfield watch --tag 0x13 --json --count {PICTURES // 2} --timeout 30", ready="ready")
        reader.run(f"python examples/python-source/camera.py localhost:9900 {PICTURES}")
        results = reader.finish("sink")
    measured = [json.loads(line) for line in results.splitlines() if "sequence" in line]
    assert len(measured) == PICTURES // 2
    by_sequence = {entry["sequence"]: entry["json"]["brightness"] for entry in measured}
    # The first two seconds grow brighter, from black.
    rising = [by_sequence[number] for number in sorted(by_sequence) if number < 50]
    assert rising == sorted(rising)
    assert rising[0] < 0.2 < rising[-1]
