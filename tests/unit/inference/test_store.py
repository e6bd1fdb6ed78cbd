"""Named models and those that guests carry."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nearfield.errors import ConfigError, InferenceError, ModelInvalid
from nearfield.inference import BatchSettings, Device, Encoding, ModelSource, ModelStore, ModelUnknown
from nearfield.inference import store as store_module
from nearfield.inference.batching import BatchingGraph
from nearfield.inference.carried import MOST_GUEST_MODELS
from tests.conformance.inference.networks import FORMATS, FREE

ModelFile = Callable[..., Path]


def test_nothing_is_read_before_a_model_is_wanted(tmp_path: Path) -> None:
    assert ModelStore({"parts": ModelSource(tmp_path / "absent")}).names() == ("parts",)


def test_a_model_is_loaded_once_and_shared(tiny: Any, model_file: ModelFile) -> None:
    store = ModelStore({"parts": ModelSource(model_file(tiny.adder()))}, probe=False)
    assert store.by_name("parts") is store.by_name("parts")
    assert store.by_name("parts").label == "parts"


def test_default_is_the_first_model(tiny: Any, model_file: ModelFile) -> None:
    first, second = model_file(tiny.adder(), "a"), model_file(tiny.divider(), "b")
    store = ModelStore({"x": ModelSource(first), "y": ModelSource(second)}, probe=False)
    assert store.by_name("default") is store.by_name("x")
    named = ModelStore({"x": ModelSource(first), "default": ModelSource(second)}, probe=False)
    assert named.by_name("default") is not named.by_name("x")


@pytest.mark.parametrize("name", ["wheel", "", "../parts", "parts\0", "DEFAULT"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    store = ModelStore({"parts": ModelSource(Path("p")), "nuts": ModelSource(Path("n"))})
    with pytest.raises(ModelUnknown) as caught:
        store.by_name(name)
    assert str(caught.value) == f"model `{name}`: no such model; known: `parts`, `nuts`"
    assert isinstance(caught.value, InferenceError)


def test_an_empty_store_has_no_default() -> None:
    with pytest.raises(ModelUnknown, match="known: none"):
        ModelStore({}).by_name("default")
    ModelStore({}).load_all()


def test_load_all_names_the_path_of_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "absent.tflite"
    with pytest.raises(ConfigError) as caught:
        ModelStore({"parts": ModelSource(path)}).load_all()
    assert str(caught.value) == f"model `parts`: path: cannot read `{path}`: No such file or directory"


def test_load_all_names_the_path_of_what_is_no_model(model_file: ModelFile) -> None:
    path = model_file(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelInvalid, match="Git LFS pointer") as caught:
        ModelStore({"parts": ModelSource(path)}).load_all()
    assert str(caught.value).startswith(f"model `parts` (`{path}`): content: ")


def test_load_all_survives_a_model_that_kills_its_process(tiny: Any, model_file: ModelFile) -> None:
    path = model_file(tiny.killer())
    with pytest.raises(ModelInvalid) as caught:
        ModelStore({"parts": ModelSource(path)}).load_all()
    assert f"model `parts` (`{path}`): " in str(caught.value)


def test_a_named_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="expected a regular file"):
        ModelStore({"parts": ModelSource(path)}).load_all()


def test_each_content_is_probed_once_and_not_again_with_a_record(
    tiny: Any, model_file: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed: list[Path] = []
    monkeypatch.setattr(store_module, "probe_model", lambda path, sha256: probed.append(path))
    path, record = model_file(tiny.adder()), tmp_path / "admitted"
    models = {"a": ModelSource(path), "b": ModelSource(path, threads=2)}
    for _ in range(2):
        store = ModelStore(models, probe_record=record)
        store.load_all()
        store.load_all()
    assert probed == [path]


def test_labels_are_read_and_checked_with_the_model(tiny: Any, model_file: ModelFile) -> None:
    path = model_file(tiny.adder())
    four = model_file(b"bolt\nnut\nring\npin\n", "four.txt")
    store = ModelStore({"parts": ModelSource(path, labels=four), "bare": ModelSource(path)}, probe=False)
    store.load_all()
    assert [store.label_of("default", index) for index in (0, 3, 4, -1)] == ["bolt", "pin", None, None]
    assert store.label_of("bare", 0) is None
    with pytest.raises(ModelUnknown):
        store.label_of("wheel", 0)


def test_labels_of_another_model_are_refused_with_both_counts(tiny: Any, model_file: ModelFile) -> None:
    labels = model_file(b"bolt\nnut\n", "two.txt")
    store = ModelStore({"parts": ModelSource(model_file(tiny.adder()), labels=labels)}, probe=False)
    with pytest.raises(ConfigError, match=r"got 2 labels in .*two.txt`, expected 4 for output 0 of shape \(1, 4\)"):
        store.load_all()


def test_a_model_inside_a_guest_is_loaded_once_for_each_thread_count(tiny: Any) -> None:
    store, content = ModelStore({}), tiny.adder()
    first = store.from_parts((content,))
    assert store.from_parts((bytes(bytearray(content)),), Encoding.TENSORFLOWLITE) is first
    assert store.from_parts((content,), threads=2) is not first
    assert first.label.startswith("sha256:")


def test_a_known_model_under_a_wrong_encoding_is_refused_all_the_same(tiny: Any) -> None:
    store = ModelStore({})
    store.from_parts((tiny.adder(),))
    with pytest.raises(ModelInvalid, match=r"got a TFLite model .* expected an ONNX model"):
        store.from_parts((tiny.adder(),), Encoding.ONNX)


def test_models_from_guests_are_kept_in_bounded_number_newest_first(tiny: Any) -> None:
    store = ModelStore({})
    contents = [tiny.adder((1, size)) for size in range(1, MOST_GUEST_MODELS + 1)]
    graphs = [store.from_parts((content,)) for content in contents]
    assert store.from_parts((contents[0],)) is graphs[0]
    store.from_parts((tiny.divider(),))
    assert store.from_parts((contents[0],)) is graphs[0]
    assert store.from_parts((contents[1],)) is not graphs[1]


def test_a_carried_model_is_found_by_its_bytes_without_a_copy(tiny: Any) -> None:
    store, content = ModelStore({}), tiny.adder()
    graph = store.from_parts((content,))
    asked: list[tuple[bytes, ...]] = []

    def has_content(parts: tuple[bytes, ...]) -> bool:
        asked.append(parts)
        return True

    assert store.find_carried((len(content) + 1,), has_content) is None
    assert store.find_carried((len(content), 0), has_content) is None
    assert store.find_carried((len(content),), has_content, Encoding.ONNX) is None
    assert store.find_carried((len(content),), has_content, threads=2) is None
    assert store.find_carried((len(content),), has_content, device=Device.AUTO) is None
    assert asked == []
    assert store.find_carried((len(content),), has_content, Encoding.TENSORFLOWLITE) is graph
    assert asked == [(content,)]
    assert store.find_carried((len(content),), lambda _: False) is None


def test_contents_of_one_size_are_told_apart(tiny: Any) -> None:
    store, content = ModelStore({}), tiny.adder()
    other = content.replace(b"out0", b"out1")
    graphs = [store.from_parts((each,)) for each in (content, other)]
    found = [
        store.find_carried((len(content),), lambda parts, each=each: parts == (each,)) for each in (content, other)
    ]
    assert found == graphs
    assert graphs[0] is not graphs[1]


def test_the_content_of_a_carried_model_is_known_as_long_as_it_is_held(tiny: Any, model_file: ModelFile) -> None:
    store = ModelStore({"parts": ModelSource(model_file(tiny.adder()))}, probe=False)
    graph = store.from_parts([tiny.adder()])
    assert store.carried_content(graph) == (tiny.adder(),)
    assert store.carried_content(store.by_name("parts")) is None
    for size in range(MOST_GUEST_MODELS):
        store.from_parts((tiny.adder((2, size + 1)),))
    assert store.carried_content(graph) is None


def test_an_earlier_model_is_admitted_for_nothing(tiny: Any) -> None:
    store, sizes = ModelStore({}), []
    for content in (tiny.adder(), tiny.adder(), tiny.divider()):
        store.from_parts((content,), admit=sizes.append)
    assert sizes == [len(tiny.adder()), len(tiny.divider())]


def test_a_batch_needs_a_model_that_can_take_one(tiny: Any, model_file: ModelFile) -> None:
    path = model_file(tiny.adder())
    store = ModelStore({"parts": ModelSource(path, batch=BatchSettings(8, 0.002))}, probe=False)
    with pytest.raises(ConfigError, match=r"model `parts`: batch: got a model for single frames .* \(1, 4\) float32"):
        store.load_all()
    ModelStore({"parts": ModelSource(path, batch=BatchSettings(1, 0.002))}, probe=False).load_all()


def test_frames_of_a_model_with_a_batch_are_put_together(model_file: ModelFile) -> None:
    path = model_file(FORMATS[0].dense(FREE)[0])
    store = ModelStore({"parts": ModelSource(path, batch=BatchSettings(8, 0.002))}, probe=False)
    assert isinstance(store.by_name("parts"), BatchingGraph)
    assert store.by_name("default") is store.by_name("parts")


def test_a_wrong_digest_is_refused_before_anything_runs(tiny: Any, model_file: ModelFile) -> None:
    path = model_file(tiny.killer())
    with pytest.raises(ModelInvalid, match=r"got sha256 .*, expected 0000"):
        ModelStore({"parts": ModelSource(path, sha256="0" * 64)}, probe=False).load_all()


def test_a_device_that_is_not_there_names_the_file(tiny: Any, model_file: ModelFile) -> None:
    path = model_file(tiny.adder())
    with pytest.raises(InferenceError, match=f"model `parts` \\(`{path}`\\): device: got cuda"):
        ModelStore({"parts": ModelSource(path, device=Device.CUDA)}, probe=False).load_all()


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"TFL3TFL3"])
def test_bytes_that_are_no_model_are_refused(content: bytes) -> None:
    with pytest.raises(ModelInvalid):
        ModelStore({}).from_parts((content,))


def test_the_real_classifier_loads_with_its_labels(testdata: Callable[[str], Path]) -> None:
    source = ModelSource(
        testdata("mobilenet_v1_0.75_192_quant.tflite"), labels=testdata("imagenet_labels.txt"), threads=2
    )
    store = ModelStore({"mobilenet": source})
    store.load_all()
    graph = store.by_name("mobilenet")
    assert [str(spec) for spec in (*graph.inputs, *graph.outputs)] == ["(1, 192, 192, 3) uint8", "(1, 1001) uint8"]
    assert store.label_of("mobilenet", 935) == "hotdog, hot dog, red hot"
