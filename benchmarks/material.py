"""What the inference benchmark works on: a model, its labels, a picture."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import ROOT
from nearfield.demo import assets
from nearfield.media import encode_jpeg, open_video

_TESTDATA = ROOT / ".." / "shared" / "testdata"
_PICTURE_WH = (640, 480)


@dataclass(frozen=True, slots=True)
class Material:
    """Attributes:
    model: a TFLite model of shape (1, h, w, 3) u8 to (1, n) u8.
    labels: text file, one a line.
    jpeg: a picture of 640x480.
    is_reference: whether the model is the one that the targets are for.
    """

    model: Path
    labels: Path
    jpeg: bytes
    is_reference: bool

    @property
    def names(self) -> list[str]:
        """The labels."""
        return self.labels.read_text().splitlines()

    def __str__(self) -> str:
        return f"{self.model.name} ({self.model.stat().st_size:,} bytes), a JPEG of {len(self.jpeg):,} bytes"


def find_material() -> Material:
    """MobileNet and a photograph where they are at hand, else what the demonstration has."""
    mobilenet, labels = _TESTDATA / "mobilenet_v1_0.75_192_quant.tflite", _TESTDATA / "imagenet_labels.txt"
    photograph = _TESTDATA / "cat_720p.jpg"
    if mobilenet.exists() and labels.exists() and photograph.exists():
        return Material(mobilenet.resolve(), labels.resolve(), _scaled(photograph), True)
    with open_video(str(assets.VIDEO)) as video:
        return Material(assets.MODEL, assets.LABELS, next(video).jpeg(), False)


def _scaled(photograph: Path) -> bytes:
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(photograph.read_bytes())) as picture:
        return encode_jpeg(np.asarray(picture.convert("RGB").resize(_PICTURE_WH)))
