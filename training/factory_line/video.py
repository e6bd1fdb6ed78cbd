"""The demonstration video and the truth about each of its frames.

The line indexes: it slows down whenever a slot of the belt is under the lamp and hurries in
between. The belt's texture repeats so that the last frame leads into the first one.
"""

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

import av
import numpy as np

from training.factory_line.belt import BeltLook
from training.factory_line.labels import EMPTY, LABELS
from training.factory_line.light import Lamp, Picture
from training.factory_line.parts import Cut
from training.factory_line.processes import drawing_pool
from training.factory_line.scene import PICTURE_WH, Line, Optics, PlacedPart, visible_fraction

logger = logging.getLogger(__name__)

FPS: Final = 30
FRAMES: Final = 450
# A part is scored from this share of its area on; below it, and above none, the frame is not.
SCORED_VISIBLE: Final = 0.6

# Distance of two slots in pixels: wider than the picture and a part, so that never two are seen.
PITCH: Final = 880.0
# Speed swings by this share of its mean: slowest under the lamp.
SWING: Final = 0.5
# The shutter is open for 1/480 s.
EXPOSURE_FRAMES: Final = FPS / 480

# One slot each: label, metal, rotation in degrees, radius in pixels, height of the centre.
# The first slot is empty and belongs half to the end, half to the start.
SLOTS: Final[tuple[tuple[str, str, float, float, float], ...]] = (
    (EMPTY, "", 0, 0, 0),
    ("bolt", "zinc", 28, 92, 176),
    ("gear", "steel", 10, 84, 186),
    ("washer", "zinc", 0, 74, 170),
    ("bracket", "yellow zinc", 160, 82, 184),
    ("bearing", "steel", 40, 82, 178),
    ("nut", "brass", 17, 76, 190),
    ("bracket", "zinc", -35, 80, 172),
    ("bolt", "black oxide", 115, 90, 182),
    ("bearing", "zinc", 5, 78, 188),
    ("washer", "brass", 0, 78, 192),
    ("nut", "steel", 50, 80, 174),
    ("gear", "copper", 33, 82, 178),
)
CUTS: Final = (Cut(0.5, 0.6, 4), Cut(0.2, 0.3, 1), Cut(0.7, 0.8, 2), Cut(0.4, 0.5, 3))

LOOK: Final = BeltLook(
    colour=(0.020, 0.066, 0.056),
    rib_pitch=71.5,
    weave=0.5,
    grain=0.5,
    streaks=0.5,
    stains=0.3,
    seams=1,
    rail_colour=(0.42, 0.43, 0.45),
    rail_height=32,
    hazard=True,
)
LAMP: Final = Lamp(azimuth=math.radians(-125), strength=1.2, warmth=0.15, spot=0.3, shade=0.75)
OPTICS: Final = Optics(noise=0.004)
BELT_SEED: Final = 20
# Eight belt tiles pass in one video, so it loops without a jump.
BELT_LENGTH: Final = round(PITCH * len(SLOTS) / 8)


def travelled_at(frame: int) -> float:
    """How far the belt has moved since frame 0, pixels."""
    slot = frame / FRAMES * len(SLOTS)
    return PITCH * (slot - SWING / (2 * math.pi) * math.sin(2 * math.pi * slot))


def parts_at(frame: int) -> list[PlacedPart]:
    """The parts in or near the picture, in picture coordinates."""
    travelled = travelled_at(frame)
    whole = PITCH * len(SLOTS)
    near = []
    for slot, (label, metal, degrees, radius, y) in enumerate(SLOTS):
        # Slots arrive from the left, one pitch behind each other, and come round again.
        off_middle = (travelled - slot * PITCH + whole / 2) % whole - whole / 2
        x = PICTURE_WH[0] / 2 + off_middle
        if label == EMPTY or not -150 < x < PICTURE_WH[0] + 150:
            continue
        cut = CUTS[slot % len(CUTS)]
        near.append(PlacedPart(label, (x, y), radius, math.radians(degrees), metal, cut, slot))
    return near


def truth_at(frame: int) -> str | None:
    """The right label of one frame; None where it is not scored."""
    shown = {part.label: visible_fraction(part) for part in parts_at(frame)}
    for label, visible in shown.items():
        if visible >= SCORED_VISIBLE:
            return label
    return None if any(shown.values()) else EMPTY


def draw_frame(frame: int) -> Picture:
    """Draw one frame of the video, uint8 (360, 640, 3), RGB."""
    speed = travelled_at(frame + 1) - travelled_at(frame)
    optics = replace(OPTICS, motion=speed * EXPOSURE_FRAMES)
    return _line().photograph(parts_at(frame), travelled_at(frame), optics, noise_seed=frame)


@cache
def _line() -> Line:
    return Line(LOOK, LAMP, BELT_SEED, belt_length=BELT_LENGTH, scale=2)


def write_video(path: Path, workers: int, frames: int = FRAMES) -> None:
    """Draw and encode the first `frames` frames as H.264 in MP4; `path` changes only when all is done."""
    unfinished = path.with_name(f"unfinished-{path.name}")
    with av.open(str(unfinished), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height = PICTURE_WH
        stream.pix_fmt = "yuv420p"
        # A key frame each second: a player that loops or seeks recovers quickly.
        stream.options = {"crf": "21", "preset": "slow", "g": str(FPS)}
        with drawing_pool(workers) as pool:
            for index, picture in enumerate(pool.map(draw_frame, range(frames), chunksize=5)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                if (index + 1) % 90 == 0:
                    logger.info("drew frame %d of %d", index + 1, frames)
        container.mux(stream.encode(None))
    unfinished.replace(path)


def write_truth(path: Path, frames: int = FRAMES) -> None:
    """Write `truth.json`; the model card describes its format."""
    rows = [
        {"index": frame, "label": label, "state": "not scored" if label is None else "scored"}
        for frame, label in enumerate(map(truth_at, range(frames)))
    ]
    head = {
        "video": "belt.mp4",
        "fps": FPS,
        "size_wh": list(PICTURE_WH),
        "labels": list(LABELS),
        "scored_visible": SCORED_VISIBLE,
    }
    lines = ",\n".join("    " + json.dumps(row) for row in rows)
    text = json.dumps(head, indent=2).removesuffix("\n}") + f',\n  "frames": [\n{lines}\n  ]\n}}\n'
    path.write_text(text, encoding="utf-8")


def read_truth(path: Path) -> list[str | None]:
    """The frames' right labels in order, as `write_truth` wrote them; None is not scored."""
    return [row["label"] for row in json.loads(path.read_text("utf-8"))["frames"]]


def decoded_frames(path: Path) -> Iterator[Picture]:
    """Decode a video, each picture uint8 (height, width, 3), RGB."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"))
