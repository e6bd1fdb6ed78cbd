from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearfield.errors import InferenceError, ModelInvalid
from nearfield.inference import tensorflow_runtime as runtime
from nearfield.inference.tensorflow_graphs import MOST_GRAPHS, TensorFlowGraphs
from nearfield.inference.tensorflow_runtime import SavedModelFiles, TensorFlowGraph, TensorName
from tests.unit.inference.tensorflow_models import (
    counter,
    endless,
    frozen,
    needs_tensorflow,
    passer,
    saved_model,
    scaler,
    tensorflow,
)

X, Y = TensorName("x"), TensorName("y")
ONES = np.ones((1, 4), np.float32)


def compute(graph: TensorFlowGraph, value: Any = ONES, fetch: TensorName = Y) -> np.ndarray[Any, Any]:
    session = graph.open()
    (result,) = session.run({X: value}, [fetch], 10)
    session.close()
    return result


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("saved") / "m")


def files_of(directory: Path) -> SavedModelFiles:
    variables = {path.name: path.read_bytes() for path in (directory / "variables").iterdir()}
    return SavedModelFiles((directory / "saved_model.pb").read_bytes(), variables)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setattr(runtime, "is_installed", lambda: False)
    with pytest.raises(InferenceError) as caught:
        runtime.prepare.__wrapped__()
    assert str(caught.value) == "TensorFlow is not installed; pip install 'nearfield[tensorflow]'"


@needs_tensorflow
class TestFrozenGraphs:
    def test_a_graph_computes(self) -> None:
        graph = TensorFlowGraph.from_graph_def(scaler(), "m")
        assert compute(graph).tolist() == [[1, 2, 3, 4]]
        assert compute(graph, np.ones((2, 4), np.float32), TensorName("z", 1)).tolist() == [[3, 4], [3, 4]]

    @pytest.mark.parametrize(
        "dtype",
        [
            "bool",
            "uint8",
            "int8",
            "uint16",
            "int16",
            "uint32",
            "int32",
            "uint64",
            "int64",
            "float16",
            "float32",
            "float64",
        ],
    )
    def test_elements_of_every_type_go_in_and_out(self, dtype: str) -> None:
        graph = TensorFlowGraph.from_graph_def(passer(dtype), "m")
        assert graph.element_type(X) == np.dtype(dtype)
        value = np.array([0, 1, 1], dtype)
        assert compute(graph, value).tobytes() == value.tobytes()

    @pytest.mark.parametrize("content", [b"", b"no graph", b"\x0a\xff\xff\xff\xff\x0f", bytes(100)])
    def test_bytes_that_are_no_graph_are_refused(self, content: bytes) -> None:
        if content:
            with pytest.raises(ModelInvalid, match="model `m`: content: got"):
                TensorFlowGraph.from_graph_def(content, "m")
        else:
            assert TensorFlowGraph.from_graph_def(content, "m").element_type(X) is None

    def test_every_truncation_is_refused_or_computes(self) -> None:
        content = scaler()
        for length in range(0, len(content), 7):
            try:
                TensorFlowGraph.from_graph_def(content[:length], "m")
            except ModelInvalid:
                continue

    def test_a_graph_that_does_not_fit_together_is_refused(self) -> None:
        v1 = tensorflow().compat.v1
        graph_def = v1.GraphDef.FromString(scaler())
        del graph_def.node[0]
        with pytest.raises(ModelInvalid, match="model `m`: graph: TensorFlow cannot build it"):
            TensorFlowGraph.from_graph_def(graph_def.SerializeToString(), "m")

    @pytest.mark.parametrize(
        ("name", "exists"),
        [(X, True), (TensorName("z", 1), True), (TensorName("z", 2), False), (TensorName("nobody"), False),
         (TensorName("x:0"), False), (TensorName("^x"), False), (TensorName(""), False), (TensorName("x", 2**32), False)
         ],
    )  # fmt: skip
    def test_only_tensors_that_exist_have_a_type(self, name: TensorName, exists: bool) -> None:
        graph = TensorFlowGraph.from_graph_def(scaler(), "m")
        assert (graph.element_type(name) is not None, graph.may_compute(name)) == (exists, exists)

    def test_tensors_of_text_cannot_be_had(self) -> None:
        graph = TensorFlowGraph.from_graph_def(frozen(lambda v1: v1.constant("text", name="y")), "m")
        assert not graph.may_compute(Y)

    def test_a_shape_that_does_not_fit_is_an_error(self) -> None:
        with pytest.raises(InferenceError, match=r"model `m`: run failed: Cannot feed value of shape \(1, 3\)"):
            compute(TensorFlowGraph.from_graph_def(scaler(), "m"), np.ones((1, 3), np.float32))

    def test_a_missing_input_is_an_error(self) -> None:
        session = TensorFlowGraph.from_graph_def(scaler(), "m").open()
        with pytest.raises(InferenceError, match="run failed"):
            session.run({}, [Y], 10)

    def test_a_loop_without_end_ends_at_its_time(self) -> None:
        session = TensorFlowGraph.from_graph_def(endless(), "m").open()
        with pytest.raises(InferenceError, match="run failed"):
            session.run({}, [TensorName("out")], 0.1)

    def test_a_closed_session_refuses(self) -> None:
        session = TensorFlowGraph.from_graph_def(scaler(), "m").open()
        session.close()
        session.close()
        with pytest.raises(InferenceError, match="used after close"):
            session.run({X: ONES}, [Y], 10)

    def test_a_session_that_kept_nothing_is_used_again(self) -> None:
        graph = TensorFlowGraph.from_graph_def(scaler(), "m")
        first = graph.open()
        native = first._native
        first.run({X: ONES}, [Y], 10)
        first.close()
        assert graph.open()._native is native

    def test_what_one_session_counts_no_other_sees(self) -> None:
        graph = TensorFlowGraph.from_graph_def(counter(), "m")
        first = graph.open()
        first.run({}, [TensorName("start")], 10)
        assert [float(first.run({}, [TensorName("count")], 10)[0]) for _ in range(3)] == [1, 2, 3]
        second = graph.open()
        with pytest.raises(InferenceError, match="run failed"):
            second.run({}, [TensorName("count")], 10)
        first.close()
        third = graph.open()
        with pytest.raises(InferenceError, match="run failed"):
            third.run({}, [TensorName("count")], 10)

    def test_graphs_trained_on_a_gpu_run_here(self) -> None:
        def build(v1: Any) -> None:
            with v1.device("/job:worker/replica:0/task:3/device:GPU:1"):
                v1.identity(v1.placeholder(v1.float32, [1, 4], "x"), "y")

        assert compute(TensorFlowGraph.from_graph_def(frozen(build), "m")).tolist() == ONES.tolist()


@needs_tensorflow
class TestSavedModels:
    def test_its_variables_are_restored(self, directory: Path) -> None:
        graph = TensorFlowGraph.from_saved_model(files_of(directory), ["serve"], "m")
        session = graph.open()
        out, x = TensorName("StatefulPartitionedCall"), TensorName("serving_default_x")
        assert session.run({x: ONES}, [out], 10)[0].tolist() == [[2, 2, 2, 2]]
        session.close()
        assert tensorflow().io.gfile.glob("ram://nearfield-*") == []

    @pytest.mark.parametrize("tags", [[], ["train"], ["serve", "gpu"], [""]])
    def test_other_tags_name_no_graph(self, directory: Path, tags: list[str]) -> None:
        with pytest.raises(ModelInvalid, match=r"model `m`: tags: got .*, expected one of \[\['serve'\]\]"):
            TensorFlowGraph.from_saved_model(files_of(directory), tags, "m")

    def test_damaged_variables_are_an_error(self, directory: Path) -> None:
        files = files_of(directory)
        damaged = {name: content[: len(content) // 2] for name, content in files.variables.items()}
        with pytest.raises(InferenceError, match="model `m`: variables: "):
            TensorFlowGraph.from_saved_model(SavedModelFiles(files.graph, damaged), ["serve"], "m")
        assert tensorflow().io.gfile.glob("ram://nearfield-*") == []

    def test_saving_and_restoring_are_not_for_guests(self, directory: Path) -> None:
        graph = TensorFlowGraph.from_saved_model(files_of(directory), ["serve"], "m")
        for name in ("StatefulPartitionedCall_1", "StatefulPartitionedCall_2"):
            assert not graph.may_compute(TensorName(name))
        assert graph.may_compute(TensorName("StatefulPartitionedCall"))

    def test_a_start_that_reaches_files_is_refused(self, directory: Path) -> None:
        from tensorflow.core.protobuf import saved_model_pb2

        files = files_of(directory)
        content = saved_model_pb2.SavedModel.FromString(files.graph)
        content.meta_graphs[0].saver_def.restore_op_name = "StatefulPartitionedCall_1"  # saves
        hostile = SavedModelFiles(content.SerializeToString(), files.variables)
        with pytest.raises(ModelInvalid, match="operations: got MergeV2Checkpoints, SaveV2, ShardedFilename behind"):
            TensorFlowGraph.from_saved_model(hostile, ["serve"], "m")

    def test_a_graph_of_its_own_is_no_saved_model(self) -> None:
        with pytest.raises(ModelInvalid):
            TensorFlowGraph.from_saved_model(SavedModelFiles(scaler(), {}), ["serve"], "m")


@needs_tensorflow
class TestKeptGraphs:
    def test_the_same_content_is_built_once_and_admitted_once(self) -> None:
        graphs, content, admitted = TensorFlowGraphs(), scaler(), list[int]()
        found = {
            id(graphs.frozen(len(content), lambda kept: kept == content, lambda: content, admitted.append))
            for _ in range(3)
        }
        assert (len(found), admitted) == (1, [len(content)])

    def test_the_least_recently_used_goes(self) -> None:
        graphs, admitted = TensorFlowGraphs(), list[int]()
        contents = [passer(dtype) for dtype in ("int8", "uint8", "int16", "uint16", "int32")]

        def get(content: bytes) -> TensorFlowGraph:
            return graphs.frozen(len(content), lambda kept: kept == content, lambda: content, admitted.append)

        first = get(contents[0])
        for content in contents[1:MOST_GRAPHS]:
            get(content)
        assert get(contents[0]) is first
        get(contents[MOST_GRAPHS])
        before = len(admitted)
        assert get(contents[0]) is first
        get(contents[1])
        assert len(admitted) == before + 1

    def test_a_refused_admission_builds_nothing(self) -> None:
        def refuse(size: int) -> None:
            raise InferenceError("no more")

        with pytest.raises(InferenceError, match="no more"):
            TensorFlowGraphs().frozen(4, lambda _: False, lambda: b"", refuse)

    def test_changed_files_are_another_model(self, tmp_path: Path) -> None:
        graphs = TensorFlowGraphs()
        directory = saved_model(tmp_path / "m")

        def get(identity: object) -> TensorFlowGraph:
            return graphs.saved(identity, ["serve"], 0, lambda: files_of(directory), lambda _: None, "m")

        first = get(1)
        assert get(1) is first
        shutil.rmtree(directory)
        saved_model(directory, scale=3)
        assert get(2) is not first
