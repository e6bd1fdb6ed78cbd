"""Pictures and videos, made here, and real ones when they are at hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

TESTDATA = Path(__file__).parents[3] / ".." / "shared" / "testdata"

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="session")
def testdata() -> Callable[[str], Path]:
    """A file of the shared test data; the test is skipped when it is not here."""

    def locate(name: str) -> Path:
        path = TESTDATA / name
        if not path.is_file():
            pytest.skip(f"shared test data `{name}` is not on this machine")
        return path

    return locate


@pytest.fixture(scope="session")
def gradient() -> Callable[[int, int], Pixels]:
    """A smooth RGB picture: red grows to the right, green downwards, blue falls to the right."""

    def make(width: int, height: int) -> Pixels:
        across = np.linspace(0, 255, width)[np.newaxis, :].repeat(height, 0)
        down = np.linspace(0, 255, height)[:, np.newaxis].repeat(width, 1)
        return np.stack([across, down, 255 - across], axis=-1).astype(np.uint8)

    return make


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """Write a picture with PIL, the encoder that is not under test."""

    def encode(pixels: Any, kind: str = "JPEG", **options: Any) -> bytes:
        file = io.BytesIO()
        picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        picture.save(file, kind, **options)
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def record_video() -> Callable[..., Path]:
    """Write a video of noise that differs from picture to picture: 160x120, 30 pictures a second.

    The noise keeps packets large, so that damage hits pixels rather than headers.
    """

    def record(path: Path, codec: str = "libx264", pictures: int = 40, **options: str) -> Path:
        with av.open(str(path), "w", options=options) as container:
            stream: Any = container.add_stream(codec, rate=Fraction(30))
            stream.width, stream.height = 160, 120
            if codec == "libx264":
                stream.options = {"preset": "ultrafast"}
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for number in range(pictures):
                noise = np.random.default_rng(number).integers(0, 60, (120, 160, 3), dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(noise + np.uint8(number * 3), format="rgb24")))
            container.mux(stream.encode())
        return path

    return record


@pytest.fixture(scope="session")
def packet_ranges() -> Callable[[Path], list[tuple[int, int]]]:
    """Byte position and size of each video packet in a file."""

    def find(path: Path) -> list[tuple[int, int]]:
        with av.open(str(path)) as container:
            return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size and packet.pos]

    return find
