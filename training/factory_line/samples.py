"""Labelled 96x96 samples, drawn by several processes and the same for the same seed."""

import logging
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from training.factory_line.belt import BeltLook
from training.factory_line.camera import (
    decode_antialiased,
    decode_for_model,
    decode_some_way,
    encode_jpeg,
    soften_like_h264,
)
from training.factory_line.labels import LABELS
from training.factory_line.light import Lamp, Picture
from training.factory_line.scene import Line, draw_picture

logger = logging.getLogger(__name__)

# One conveyor is painted for this many pictures; painting costs about as much as a picture.
PICTURES_PER_LINE = 2 * len(LABELS)


@dataclass(frozen=True)
class Samples:
    """Pictures as the model sees them, uint8 (n, 96, 96, 3), and label indices, int64 (n,)."""

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]


def draw_training_samples(seed: int, lines: int, views: int, workers: int) -> Samples:
    """Draw `lines` conveyors; each picture is seen `views` times through different codecs."""
    return _gather(partial(_training_chunk, seed, views), lines, workers)


def draw_held_out_samples(seed: int, lines: int, workers: int, *, antialiased: bool = False) -> Samples:
    """Draw pictures through the host's own decode path, or through the anti-aliased one."""
    return _gather(partial(_held_out_chunk, seed, antialiased), lines, workers)


def _gather(draw_chunk: "partial[Samples]", lines: int, workers: int) -> Samples:
    with ProcessPoolExecutor(workers) as pool:
        chunks = list(_with_progress(pool.map(draw_chunk, range(lines)), lines))
    return Samples(
        np.concatenate([chunk.pictures for chunk in chunks]),
        np.concatenate([chunk.labels for chunk in chunks]),
    )


def _with_progress(chunks: Iterable[Samples], total: int) -> Iterable[Samples]:
    for done, chunk in enumerate(chunks, start=1):
        if done % max(1, total // 10) == 0:
            logger.info("drew %d of %d conveyors", done, total)
        yield chunk


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


def _held_out_chunk(seed: int, antialiased: bool, line: int) -> Samples:
    rng = np.random.default_rng((seed, line))
    decode = decode_antialiased if antialiased else decode_for_model
    pictures, labels = [], []
    for label, picture in _pictures_of_one_line(rng):
        jpeg = encode_jpeg(picture, quality=int(rng.integers(60, 96)))
        pictures.append(decode(jpeg))
        labels.append(label)
    return Samples(np.stack(pictures), np.asarray(labels, np.int64))
