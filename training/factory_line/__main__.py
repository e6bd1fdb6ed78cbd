"""Rebuilds every asset of the factory line: `python -m training.factory_line`."""

import argparse
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.factory_line import card, sheet, video
from training.factory_line.camera import SOURCE_JPEG_QUALITY, decode_antialiased, decode_for_model, encode_jpeg
from training.factory_line.labels import LABELS
from training.factory_line.measure import Classifier, accuracy, confusion
from training.factory_line.samples import (
    PICTURES_PER_LINE,
    Samples,
    decoded,
    draw_held_out_jpegs,
    draw_training_samples,
)

logger = logging.getLogger(__name__)

ROOT: Final = Path(__file__).parents[2]
ASSETS: Final = ROOT / "src" / "nearfield" / "assets" / "factory_line"
SHEET: Final = ROOT / "docs" / "pictures" / "factory_line.png"
QUICK: Final = ROOT / "build" / "factory_line_quick"

TRAINING_SEED: Final = 1
HELD_OUT_SEED: Final = 2
STEPS: Final = ("model", "video", "sheet", "card")


@dataclass(frozen=True)
class Plan:
    """How much is drawn and trained; lines are conveyors of 14 pictures each."""

    training_lines: int
    training_views: int
    epochs: int
    held_out_lines: int
    video_frames: int


FULL: Final = Plan(280, 3, 16, 100, video.FRAMES)
SMOKE: Final = Plan(6, 2, 2, 2, 30)


def main() -> None:
    """Parse the command line and run the steps asked for."""
    parser = argparse.ArgumentParser(prog="python -m training.factory_line", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"smoke run into {QUICK.name}/")
    parser.add_argument("--only", choices=STEPS, action="append", help="run this step; repeatable")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")

    plan, assets = (SMOKE, QUICK) if arguments.quick else (FULL, ASSETS)
    assets.mkdir(parents=True, exist_ok=True)
    steps = arguments.only or STEPS
    if "model" in steps:
        make_model(assets, plan, arguments.workers)
    if "video" in steps:
        video.write_video(assets / "belt.mp4", arguments.workers, plan.video_frames)
        video.write_truth(assets / "truth.json", plan.video_frames)
    if "sheet" in steps:
        sheet.write_sheet(QUICK / SHEET.name if arguments.quick else SHEET)
    if "card" in steps:
        make_card(assets, plan, arguments.workers)


def make_model(assets: Path, plan: Plan, workers: int) -> None:
    """Draw samples, train, write `parts.tflite` and `labels.txt`."""
    # Here and not above: the drawing processes import this module, and need no TensorFlow.
    from training.factory_line import network

    samples = draw_training_samples(TRAINING_SEED, plan.training_lines, plan.training_views, workers)
    trained = network.train(samples, plan.epochs, TRAINING_SEED)
    stride = max(1, len(samples.labels) // 300)
    calibration = Samples(samples.pictures[::stride], samples.labels[::stride])
    (assets / "parts.tflite").write_bytes(network.export_int8(trained, calibration))
    (assets / "labels.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")


def make_card(assets: Path, plan: Plan, workers: int) -> None:
    """Measure the assets as they lie on disk and write `card.md`."""
    from training.factory_line import network

    model = (assets / "parts.tflite").read_bytes()
    classifier = Classifier(model)
    held_out = draw_held_out_jpegs(HELD_OUT_SEED, plan.held_out_lines, workers)
    truths = video.read_truth(assets / "truth.json")
    measured = card.Measured(
        model_bytes=len(model),
        parameters=network.trained_parameters(),
        input_facts=classifier.input_facts,
        output_facts=classifier.output_facts,
        inference_ms=classifier.median_inference_ms(),
        training_pictures=plan.training_lines * PICTURES_PER_LINE,
        training_views=plan.training_views,
        epochs=plan.epochs,
        held_out=confusion(classifier, decoded(held_out, decode_for_model)),
        held_out_antialiased=confusion(classifier, decoded(held_out, decode_antialiased)),
        video_bytes=(assets / "belt.mp4").stat().st_size,
        video_frames=len(truths),
        video=_video_confusion(classifier, assets / "belt.mp4", truths),
    )
    (assets / "card.md").write_text(card.model_card(measured), encoding="utf-8")
    logger.info(
        "held-out accuracy %.4f, agreement on the video %.4f, %.2f ms per inference",
        accuracy(measured.held_out),
        accuracy(measured.video),
        measured.inference_ms,
    )


def _video_confusion(classifier: Classifier, path: Path, truths: list[str | None]) -> NDArray[np.int64]:
    """Answers on the scored frames: row is the right label, column the model's, shape (7, 7)."""
    counts = np.zeros((len(LABELS), len(LABELS)), np.int64)
    for picture, truth in zip(video.decoded_frames(path), truths, strict=True):
        if truth is not None:
            seen = decode_for_model(encode_jpeg(picture, SOURCE_JPEG_QUALITY))
            counts[LABELS.index(truth), classifier.label_index(seen)] += 1
    return counts


if __name__ == "__main__":
    main()
