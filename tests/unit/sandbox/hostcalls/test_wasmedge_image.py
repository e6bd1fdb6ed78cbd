from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from nearfield.inference import ModelStore
from nearfield.media import Resampling
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import wasmedge_image as image
from nearfield.sandbox.limits import Limits
from nearfield.sandbox.memory import OutOfBounds
from tests.unit.sandbox.kit import FRAME, Buffer

SOURCE, TARGET, SIZE = 0, 30_000, 8
LAYOUTS = {"rgb8": 0, "bgr8": 1, "rgb32f": 2, "bgr32f": 3}
BODIES = {entry.name: entry.body for entry in image.FUNCTIONS}


def picture(kind: str, size_wh: tuple[int, int] = (SIZE, SIZE)) -> bytes:
    """Red grows to the right, green downwards, blue is 40."""
    width, height = size_wh
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, :, 0] = np.linspace(0, 255, width)[None, :]
    pixels[:, :, 1] = np.linspace(0, 255, height)[:, None]
    pixels[:, :, 2] = 40
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def put(host: Host, content: bytes) -> tuple[int, int]:
    host.memory.write(SOURCE, content)
    return SOURCE, len(content)


def pixels(host: Host, layout: str) -> np.ndarray:
    dtype = np.float32 if layout.endswith("32f") else np.uint8
    content = host.memory.read(TARGET, SIZE * SIZE * 3 * np.dtype(dtype).itemsize)
    return np.frombuffer(content, dtype).reshape(SIZE, SIZE, 3)


def expected(layout: str) -> np.ndarray:
    rgb = np.asarray(Image.open(io.BytesIO(picture("png"))))
    ordered = rgb[:, :, ::-1] if layout.startswith("bgr") else rgb
    return ordered.astype(np.float32) / 255 if layout.endswith("32f") else ordered


@pytest.mark.parametrize("layout", LAYOUTS)
def test_generation_a_decodes_into_each_layout(host: Host, layout: str) -> None:
    load = BODIES[f"wasmedge_image_load_png_to_{layout}"]
    assert load(host, *put(host, picture("png")), SIZE, SIZE, TARGET) == image.SUCCESS
    np.testing.assert_array_equal(pixels(host, layout), expected(layout))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["load_jpg", "load_png", "load_image"])
def test_generation_b_decodes_into_each_layout_whatever_its_name(host: Host, name: str, layout: str) -> None:
    source = put(host, picture("png"))
    result = BODIES[name](host, *source, SIZE, SIZE, LAYOUTS[layout], TARGET, SIZE * SIZE * 12)
    assert result == image.SUCCESS
    np.testing.assert_array_equal(pixels(host, layout), expected(layout))


@pytest.mark.parametrize(("name", "kind"), [("jpg", "png"), ("png", "jpeg")])
def test_generation_a_takes_only_the_format_of_its_name(host: Host, name: str, kind: str) -> None:
    assert BODIES[f"wasmedge_image_load_{name}_to_rgb8"](host, *put(host, picture(kind)), 4, 4, TARGET) == image.FAIL
    assert (
        BODIES[f"wasmedge_image_load_{name}_to_rgb8"](
            host, *put(host, picture({"jpg": "jpeg", "png": "png"}[name])), 4, 4, TARGET
        )
        == image.SUCCESS
    )


@pytest.mark.parametrize("content", [b"", b"no picture", picture("jpeg")[:100]])
def test_what_is_no_picture_fails_with_a_line(host: Host, content: bytes) -> None:
    assert BODIES["wasmedge_image_load_jpg_to_rgb8"](host, *put(host, content), 4, 4, TARGET) == image.FAIL
    assert host.call.logs()[0].text.startswith("wasmedge_image: ")


@pytest.mark.parametrize(("width", "height"), [(0, 4), (4, 0)])
def test_a_picture_without_pixels_fails(host: Host, width: int, height: int) -> None:
    source = put(host, picture("png"))
    assert BODIES["load_png"](host, *source, width, height, 0, TARGET, 1000) == image.FAIL
    assert BODIES["wasmedge_image_load_png_to_rgb8"](host, *source, width, height, TARGET) == image.FAIL


@pytest.mark.parametrize(
    ("layout", "limit"), [(4, 10_000), (2**32 - 1, 10_000), (0, 4 * 4 * 3 - 1), (2, 4 * 4 * 12 - 1)]
)
def test_generation_b_checks_layout_and_room(host: Host, layout: int, limit: int) -> None:
    assert BODIES["load_image"](host, *put(host, picture("png")), 4, 4, layout, TARGET, limit) == image.FAIL


@pytest.mark.parametrize(("width", "height"), [(200, 200), (2**32 - 1, 2**32 - 1), (2**16, 2**16)])
def test_a_target_larger_than_memory_is_refused_before_decoding(host: Host, width: int, height: int) -> None:
    with pytest.raises(OutOfBounds):
        BODIES["wasmedge_image_load_png_to_rgb8"](host, *put(host, picture("png")), width, height, TARGET)


def test_the_resampling_of_generation_b_is_a_setting(models: ModelStore) -> None:
    results = {}
    for resampling in Resampling:
        host = Host(models, Limits(), None, resampling)
        host.memory = Buffer(65536)
        host.begin(FRAME)
        source = put(host, picture("png", (40, 40)))
        assert BODIES["load_image"](host, *source, SIZE, SIZE, 0, TARGET, 1000) == image.SUCCESS
        assert BODIES["wasmedge_image_load_png_to_rgb8"](host, *source, SIZE, SIZE, TARGET + 1000) == image.SUCCESS
        results[resampling] = host.memory.read(TARGET, 192), host.memory.read(TARGET + 1000, 192)
    aligned, smooth = results[Resampling.ALIGN_CORNERS], results[Resampling.AREA_SMOOTH]
    assert aligned[0] == aligned[1] == smooth[1] != smooth[0]
