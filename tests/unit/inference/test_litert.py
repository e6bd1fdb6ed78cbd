"""What only LiteRT does; the rest is in `tests/conformance/inference`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.schema_py_generated import TensorType

from nearfield.errors import InferenceError, ModelInvalid
from nearfield.inference import Encoding
from nearfield.inference.contract import Graph, ModelContent
from nearfield.inference.litert import LiteRtBackend
from tests.conformance.inference.networks import FORMATS, FREE


def load(content: bytes, label: str) -> Graph:
    return LiteRtBackend().load(ModelContent((content,)), label=label)


def test_a_graph_describes_its_tensors(tiny: Any) -> None:
    graph = load(tiny.quantised_passer(0.5, 3), label="passer")
    assert [spec.name for spec in (*graph.inputs, *graph.outputs)] == ["in0", "in1", "out0"]
    first = graph.inputs[0]
    assert (first.shape, first.dtype, first.nbytes) == ((2, 3), np.dtype(np.uint8), 6)
    assert (first.scale, first.zero_point) == (0.5, 3)
    assert str(first) == "(2, 3) uint8"
    assert (graph.encoding, graph.label) == (Encoding.TENSORFLOWLITE, "passer")


def test_a_failed_compute_hides_earlier_outputs_and_the_graph_goes_on(tiny: Any) -> None:
    graph = load(tiny.divider(), label="divider")
    context = graph.acquire()
    eights, twos = np.full(4, 8, np.int32), np.full(4, 2, np.int32)
    context.set_input(0, eights)
    context.set_input(1, twos)
    context.compute()
    context.set_input(1, bytes(16))
    with pytest.raises(InferenceError, match="model `divider`: compute failed: "):
        context.compute()
    with pytest.raises(InferenceError, match="read before a successful compute"):
        context.output(0)
    context.close()
    again = graph.acquire()
    again.set_input(0, eights)
    again.set_input(1, twos)
    again.compute()
    assert np.frombuffer(again.output(0), np.int32).tolist() == [4] * 4


def test_a_cut_off_file_is_refused_with_its_fingerprint(tiny: Any) -> None:
    content = tiny.adder()[:200]
    with pytest.raises(ModelInvalid, match=r"model `cut`: content: got 200 bytes beginning .* sha256 [0-9a-f]{64}"):
        load(content, label="cut")


def test_a_tensor_beyond_a_gibibyte_is_refused_before_memory_is_taken(tiny: Any) -> None:
    with pytest.raises(ModelInvalid, match="tensor `in0`: got 68719476736 bytes declared, expected at most 1073741824"):
        load(tiny.adder((1 << 20, 1 << 14)), label="giant")


def test_another_free_dimension_than_the_first_is_refused() -> None:
    content = FORMATS[0].passer(np.float32, (1, FREE, 4))[0]
    with pytest.raises(ModelInvalid, match=r"input 0 `x`: got free dimension 1 of \(1, -1, 4\), expected none but the"):
        load(content, label="free")


def test_text_tensors_are_refused(tiny: Any) -> None:
    with pytest.raises(ModelInvalid, match="model `text`: "):
        load(tiny.adder(element=TensorType.STRING), label="text")


def test_the_delegate_line_stays_off_the_terminal_and_other_lines_do_not(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "adder.tflite"
    path.write_bytes(tiny.adder())
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from nearfield.inference.contract import ModelContent\n"
        "from nearfield.inference.litert import LiteRtBackend\n"
        "os.write(2, b'INFO: before\\n')\n"
        "content = ModelContent((Path(sys.argv[1]).read_bytes(),))\n"
        "graph = LiteRtBackend().load(content, label='a')\n"
        "contexts = [graph.acquire() for _ in range(3)]\n"
        "os.write(2, b'INFO: after\\n')\n"
    )
    source = str(Path(__file__).parents[3] / "src")
    ended = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == (b"", b"INFO: before\nINFO: after\n")


def test_the_real_classifier_names_the_cat_class_for_a_cat(testdata: Callable[[str], Path]) -> None:
    from nearfield.media import decode_image

    graph = load(testdata("mobilenet_v1_0.75_192_quant.tflite").read_bytes(), label="mobilenet")
    pixels = decode_image(testdata("cat_720p.jpg").read_bytes(), (192, 192))
    context = graph.acquire()
    context.set_input(0, pixels)
    context.compute()
    scores = np.frombuffer(context.output(0), np.uint8)
    # 282 to 286: tabby, tiger cat, Persian, Siamese, Egyptian.
    assert len(scores) == 1001
    assert scores.argmax() in range(282, 287)
