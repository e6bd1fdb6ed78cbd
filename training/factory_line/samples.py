"""Labelled 96x96 samples, drawn by several processes and the same for the same seed."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from training.factory_line.belt import BeltLook
from training.factory_line.camera import decode_some_way, encode_jpeg, soften_like_h264
from training.factory_line.labels import LABELS
from training.factory_line.light import Lamp, Picture
from training.factory_line.processes import drawing_pool
from training.factory_line.scene import Line, draw_picture

logger = logging.getLogger(__name__)

# Encoded pictures with the index of their label.
LabelledJpegs = list[tuple[bytes, int]]
Chunk = TypeVar("Chunk")

# One conveyor is painted for this many pictures; painting costs about as much as a picture.
PICTURES_PER_LINE = 2 * len(LABELS)


@dataclass(frozen=True)
class Samples:
    """Pictures as the model sees them, uint8 (n, 96, 96, 3), and label indices, int64 (n,)."""

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]


def draw_training_samples(seed: int, lines: int, views: int, workers: int) -> Samples:
    """Draw `lines` conveyors; each picture is seen `views` times through different codecs."""
    chunks = _in_processes(partial(_training_chunk, seed, views), lines, workers)
    return Samples(
        np.concatenate([chunk.pictures for chunk in chunks]),
        np.concatenate([chunk.labels for chunk in chunks]),
    )


def draw_held_out_jpegs(seed: int, lines: int, workers: int) -> LabelledJpegs:
    """Draw `lines` conveyors as a source would send them: JPEGs of varied quality."""
    chunks = _in_processes(partial(_held_out_chunk, seed), lines, workers)
    return [labelled for chunk in chunks for labelled in chunk]


def decoded(jpegs: LabelledJpegs, decode: Callable[[bytes], Picture]) -> Samples:
    """Take JPEGs to 96x96 by one decode path."""
    pictures = np.stack([decode(jpeg) for jpeg, _ in jpegs])
    return Samples(pictures, np.asarray([label for _, label in jpegs], np.int64))


def _in_processes(draw_chunk: Callable[[int], Chunk], lines: int, workers: int) -> list[Chunk]:
    """Draw one chunk per conveyor in `workers` processes, logging progress."""
    chunks = []
    with drawing_pool(workers) as pool:
        for chunk in pool.map(draw_chunk, range(lines)):
            chunks.append(chunk)
            if len(chunks) % max(1, lines // 10) == 0:
                logger.info("drew %d of %d conveyors", len(chunks), lines)
    return chunks


def _pictures_of_one_line(
    rng: np.random.Generator,
) -> Iterable[tuple[int, Picture]]:
    line = Line(BeltLook.draw(rng), Lamp.draw(rng), seed=int(rng.integers(2**31)))
    for index in range(PICTURES_PER_LINE):
        label = index % len(LABELS)
        picture = draw_picture(line, rng, LABELS[label])
        yield label, soften_like_h264(picture, rng) if rng.uniform() < 0.6 else picture


def _training_chunk(seed: int, views: int, line: int) -> Samples:
    rng = np.random.default_rng((seed, line))
    pictures, labels = [], []
    for label, picture in _pictures_of_one_line(rng):
        for _ in range(views):
            jpeg = encode_jpeg(picture, quality=int(rng.integers(60, 96)))
            pictures.append(decode_some_way(jpeg, rng))
            labels.append(label)
    return Samples(np.stack(pictures), np.asarray(labels, np.int64))


def _held_out_chunk(seed: int, line: int) -> LabelledJpegs:
    rng = np.random.default_rng((seed, line))
    return [
        (encode_jpeg(picture, quality=int(rng.integers(60, 96))), label)
        for label, picture in _pictures_of_one_line(rng)
    ]
