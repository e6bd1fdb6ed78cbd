"""Label files: two shapes, and what cannot fit a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nearfield.errors import ConfigError
from nearfield.inference.contract import TensorSpec
from nearfield.inference.labels import check_labels, parse_labels, read_labels

WHERE = "model `parts`"


def spec(*shape: int) -> TensorSpec:
    return TensorSpec("out", shape, np.dtype(np.float32), 0.0, 0)


def test_plain_lines_are_numbered_from_zero() -> None:
    assert parse_labels("bolt\nnut\n") == {0: "bolt", 1: "nut"}


def test_windows_lines_and_trailing_blank_lines_leave_no_trace() -> None:
    assert parse_labels("bolt\r\nnut\r\n\r\n\n") == {0: "bolt", 1: "nut"}


def test_an_empty_line_in_the_middle_keeps_its_index() -> None:
    assert parse_labels("bolt\n\nnut") == {0: "bolt", 1: "", 2: "nut"}


def test_the_indexed_shape_is_recognised_with_gaps_and_in_any_order() -> None:
    assert parse_labels("2  car\n0  person\n1  bicycle, red\n17  cat\n") == {
        0: "person",
        1: "bicycle, red",
        2: "car",
        17: "cat",
    }


def test_an_index_with_a_colon_is_recognised() -> None:
    assert parse_labels("0: good\n1:bad\n") == {0: "good", 1: "bad"}


def test_labels_that_begin_with_large_numbers_stay_whole() -> None:
    assert parse_labels("10 mm bolt\n12 mm bolt\n") == {0: "10 mm bolt", 1: "12 mm bolt"}


def test_one_line_without_an_index_makes_the_file_plain() -> None:
    assert parse_labels("0 ring\nbolt\n") == {0: "0 ring", 1: "bolt"}


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_no_labels_at_all_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="got no labels"):
        parse_labels(text)


def test_an_index_twice_is_refused_with_numbers() -> None:
    with pytest.raises(ValueError, match="got 3 lines with 2 different indices"):
        parse_labels("0 a\n1 b\n1 c\n")


def test_a_file_with_a_byte_order_mark_reads_as_one_without(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffschraube\nmüll\n".encode())
    assert read_labels(path, where=WHERE) == {0: "schraube", 1: "müll"}


def test_unreadable_files_are_errors_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    with pytest.raises(ConfigError, match=r"cannot read .*labels\.txt.*No such file"):
        read_labels(path, where=WHERE)
    path.write_bytes(b"bolt\n\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 5"):
        read_labels(path, where=WHERE)
    path.write_bytes(b"\n")
    with pytest.raises(ConfigError, match="got no labels"):
        read_labels(path, where=WHERE)


def test_a_classifier_wants_one_label_for_each_class(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        check_labels({0: "bolt", 1: "nut"}, (spec(1, 3),), path=Path("l.txt"), where=WHERE)
    assert str(caught.value) == (
        "model `parts`: labels: got 2 labels in `l.txt`, expected 3 for output 0 of shape (1, 3); the last one is `nut`"
    )
    check_labels({0: "a", 2: "c"}, (spec(1, 3),), path=Path("l.txt"), where=WHERE)


@pytest.mark.parametrize(
    "outputs", [(spec(1, 10, 4), spec(1, 10)), (spec(1, 513, 513),), (spec(),), (), (spec(1, 64, 64, 3),)]
)
def test_models_that_are_no_classifiers_take_any_labels(outputs: tuple[TensorSpec, ...]) -> None:
    check_labels({0: "bolt"}, outputs, path=Path("l.txt"), where=WHERE)


def test_the_published_imagenet_labels_fit_1001_classes(testdata: Callable[[str], Path]) -> None:
    path = testdata("imagenet_labels.txt")
    labels = read_labels(path, where=WHERE)
    assert (len(labels), labels[0], labels[283]) == (1001, "background", "tiger cat")
    check_labels(labels, (spec(1, 1001),), path=path, where=WHERE)
