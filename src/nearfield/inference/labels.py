"""Names for a model's outputs, from a text file in one of the two shapes that people publish."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from nearfield.errors import ConfigError
from nearfield.inference.contract import TensorSpec

# 10,000 classes of 100 characters are 1 MB.
_MOST_LABEL_BYTES = 4 * 1024**2

# `0  background`, `12: car`: an index, a separator, the label.
_INDEXED = re.compile(r"\s*(\d{1,9})(?:\s*:\s*|\s+)(\S.*?)\s*")

_MOST_QUOTED_CHARACTERS = 40


def read_labels(path: Path, *, where: str) -> Mapping[int, str]:
    """Labels by index.

    Raises:
        ConfigError: the file cannot be read, is too large, is not UTF-8, is empty, or repeats an index.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_LABEL_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"labels: cannot read `{path}`: {error.strerror}", where=where) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"labels: `{path}` is not UTF-8 at byte {error.start}", where=where) from error
    if len(content) > _MOST_LABEL_BYTES:
        raise ConfigError(f"labels: got more than {_MOST_LABEL_BYTES} bytes in `{path}`", where=where)
    try:
        return parse_labels(text)
    except ValueError as error:
        raise ConfigError(f"labels: `{path}`: {error}", where=where) from error


def parse_labels(text: str) -> Mapping[int, str]:
    """Labels by index. Pure.

    Two shapes are known. Plain: the first line names index 0, the next 1, and so on; an empty line in the middle
    keeps its index. Indexed, as Coral publishes them: each line is `index  label`, in any order, with gaps. A file is
    indexed when every line reads so and the smallest index is 0 or 1.

    Raises:
        ValueError: no labels at all, or an index twice.
    """
    lines = [line.rstrip("\r") for line in text.rstrip().split("\n")]
    if lines == [""]:
        raise ValueError("got no labels, expected one per line")
    indexed = [_INDEXED.fullmatch(line) for line in lines if line.strip()]
    pairs = [(int(match[1]), match[2]) for match in indexed if match is not None]
    if len(pairs) < len(indexed) or min(index for index, _ in pairs) > 1:
        return {index: line.strip() for index, line in enumerate(lines)}
    labels = dict(pairs)
    if len(labels) < len(pairs):
        raise ValueError(f"got {len(pairs)} lines with {len(labels)} different indices, expected each index once")
    return labels


def check_labels(labels: Mapping[int, str], outputs: tuple[TensorSpec, ...], *, path: Path, where: str) -> None:
    """Refuse labels that cannot belong to this model. Pure.

    Only a classifier's output says how many there must be: a single output whose size is its last dimension, like
    (1, 1001). Detectors and segmenters pass unchecked.

    Raises:
        ConfigError: another count.
    """
    if len(outputs) != 1 or not outputs[0].shape:
        return
    classes = outputs[0].shape[-1]
    count = max(labels) + 1
    if classes != math.prod(outputs[0].shape) or count == classes:
        return
    last = labels[max(labels)][:_MOST_QUOTED_CHARACTERS]
    raise ConfigError(
        f"labels: got {count} labels in `{path}`, expected {classes} for output 0 of shape {outputs[0].shape}",
        where=where,
        hint=f"the last one is `{last}`",
    )
