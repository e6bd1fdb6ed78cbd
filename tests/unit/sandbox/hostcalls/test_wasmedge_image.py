"""The host functions of `wasmedge_image`, both generations, against tables of what each answers."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from nearfield.errors import GuestTimeout
from nearfield.inference import ModelStore
from nearfield.media import Layout, Resampling, decode_image
from nearfield.sandbox import Limits, PictureRules
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import wasmedge_image as image
from nearfield.sandbox.memory import OutOfBounds
from tests.unit.sandbox.kit import Buffer, host_with

SOURCE, TARGET, SIZE = 0, 30_000, 8
PAGE = 65536
U32 = 2**32 - 1
LAYOUTS = {"rgb8": 0, "bgr8": 1, "rgb32f": 2, "bgr32f": 3}
BODIES = {entry.name: entry.body for entry in image.FUNCTIONS}
A_NAMES = {name: f"wasmedge_image_load_{name}_to_rgb8" for name in ("jpg", "png")}

ALIGNED, SMOOTH = PictureRules(Resampling.ALIGN_CORNERS), PictureRules(Resampling.SMOOTH)


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


def pixels(host: Host, layout: str, target: int = TARGET) -> npt.NDArray[Any]:
    dtype = np.dtype(np.float32 if layout.endswith("32f") else np.uint8)
    content = host.memory.read(target, SIZE * SIZE * 3 * dtype.itemsize)
    return np.frombuffer(content, dtype).reshape(SIZE, SIZE, 3)


def expected(layout: str) -> npt.NDArray[Any]:
    rgb = np.asarray(Image.open(io.BytesIO(picture("png"))))
    ordered = rgb[:, :, ::-1] if layout.startswith("bgr") else rgb
    return ordered.astype(np.float32) / 255 if layout.endswith("32f") else ordered


def load_b(host: Host, name: str, content: bytes, size_wh: tuple[int, int] = (SIZE, SIZE), layout: int = 0) -> int:
    result: int = BODIES[name](host, *put(host, content), *size_wh, layout, TARGET, size_wh[0] * size_wh[1] * 12)
    return result


def load_a(host: Host, name: str, content: bytes, size_wh: tuple[int, int] = (SIZE, SIZE)) -> int:
    result: int = BODIES[A_NAMES[name]](host, *put(host, content), *size_wh, TARGET)
    return result


def test_both_generations_are_offered_with_their_signatures() -> None:
    offered = {entry.name: (len(entry.signature.params), entry.signature.results) for entry in image.FUNCTIONS}
    a = {f"wasmedge_image_load_{kind}_to_{layout}": (5, ("i32",)) for kind in ("jpg", "png") for layout in LAYOUTS}
    assert offered == a | dict.fromkeys(("load_jpg", "load_png", "load_image"), (7, ("i32",)))
    assert {entry.fault for entry in image.FUNCTIONS} == {image.FAIL}


@pytest.mark.parametrize("target", [TARGET, TARGET + 1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_generation_a_decodes_into_each_layout(host: Host, layout: str, target: int) -> None:
    load = BODIES[f"wasmedge_image_load_png_to_{layout}"]
    assert load(host, *put(host, picture("png")), SIZE, SIZE, target) == image.SUCCESS
    np.testing.assert_array_equal(pixels(host, layout, target), expected(layout))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["load_png", "load_image"])
@pytest.mark.parametrize("rules", [PictureRules(), ALIGNED, SMOOTH], ids=["auto", "aligned", "smooth"])
def test_generation_b_decodes_into_each_layout(models: ModelStore, name: str, layout: str, rules: PictureRules) -> None:
    host = host_with(models, pictures=rules)
    assert load_b(host, name, picture("png"), layout=LAYOUTS[layout]) == image.SUCCESS
    np.testing.assert_array_equal(pixels(host, layout), expected(layout))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_jpeg_has_the_same_colours_in_each_layout(host: Host, layout: str) -> None:
    assert load_b(host, "load_jpg", picture("jpeg"), layout=LAYOUTS[layout]) == image.SUCCESS
    difference = np.abs(pixels(host, layout).astype(float) - expected(layout))
    assert difference.mean() < (0.03 if layout.endswith("32f") else 8)


# Rule, function, and which formats it takes.
STRICTNESS = [
    (ALIGNED, "load_jpg", {"jpeg"}),
    (ALIGNED, "load_png", {"png"}),
    (ALIGNED, "load_image", {"jpeg", "png", "webp"}),
    (SMOOTH, "load_jpg", {"jpeg", "png", "webp"}),
    (SMOOTH, "load_png", {"jpeg", "png", "webp"}),
    (PictureRules(), "load_jpg", {"jpeg", "png", "webp"}),
    (PictureRules(), "load_image", {"jpeg", "png", "webp"}),
    (ALIGNED, "jpg", {"jpeg"}),
    (ALIGNED, "png", {"png"}),
    (SMOOTH, "jpg", {"jpeg"}),
    (PictureRules(), "jpg", {"jpeg"}),
    (PictureRules(), "png", {"png"}),
]


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif", "bmp"])
@pytest.mark.parametrize(("rules", "name", "taken"), STRICTNESS)
def test_each_function_takes_its_formats(
    models: ModelStore, rules: PictureRules, name: str, taken: set[str], kind: str
) -> None:
    host = host_with(models, pictures=rules)
    answer = (load_a if name in A_NAMES else load_b)(host, name, picture(kind))
    assert answer == (image.SUCCESS if kind in taken else image.FAIL)
    assert len(host.call.logs()) == (0 if kind in taken else 1)


@pytest.mark.parametrize(
    ("rules", "a", "b"),
    [
        (PictureRules(), Resampling.ALIGN_CORNERS, Resampling.SMOOTH),
        (ALIGNED, Resampling.ALIGN_CORNERS, Resampling.ALIGN_CORNERS),
        (SMOOTH, Resampling.SMOOTH, Resampling.SMOOTH),
        (PictureRules(exact=True), Resampling.ALIGN_CORNERS, Resampling.SMOOTH),
        (PictureRules(Resampling.SMOOTH, exact=True), Resampling.SMOOTH, Resampling.SMOOTH),
    ],
)
@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_the_rules_choose_how_both_generations_scale(
    models: ModelStore, rules: PictureRules, a: Resampling, b: Resampling, kind: str
) -> None:
    host = host_with(models, pictures=rules)
    noise = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, {"jpg": "jpeg", "png": "png"}[kind])
    for load, name, rule in ((load_a, kind, a), (load_b, f"load_{kind}", b)):
        assert load(host, name, file.getvalue()) == image.SUCCESS
        wanted = decode_image(
            file.getvalue(), (SIZE, SIZE), formats=frozenset({"jpeg", "png"}), resampling=rule, exact=rules.exact
        )
        np.testing.assert_array_equal(pixels(host, "rgb8"), wanted)


@pytest.mark.parametrize("content", [b"", b"no picture", picture("jpeg")[:100], picture("png")[:60]])
@pytest.mark.parametrize(("load", "name"), [(load_a, "jpg"), (load_b, "load_jpg"), (load_b, "load_image")])
def test_what_is_no_picture_fails_with_a_line_and_writes_nothing(
    host: Host, load: Any, name: str, content: bytes
) -> None:
    before = host.memory.read(TARGET, 10_000)
    assert load(host, name, content) == image.FAIL
    assert host.call.logs()[0].text.startswith("wasmedge_image: ")
    assert host.memory.read(TARGET, 10_000) == before


@pytest.mark.parametrize("size_wh", [(0, 4), (4, 0), (0, 0), (0, U32)])
def test_a_picture_without_pixels_fails(host: Host, size_wh: tuple[int, int]) -> None:
    assert load_a(host, "png", picture("png"), size_wh) == image.FAIL
    source = put(host, picture("png"))
    assert BODIES["load_png"](host, *source, *size_wh, 0, TARGET, 1000) == image.FAIL


# Pixel layout, room, and whether a picture of 4x4 pixels fits.
ROOM = [
    (0, 47, False), (0, 48, True), (0, 1000, True), (1, 47, False), (1, 48, True),
    (2, 191, False), (2, 192, True), (3, 191, False), (3, 192, True),
    (4, 1000, False), (256, 1000, False), (U32, 1000, False), (0, 0, False),
]  # fmt: skip


@pytest.mark.parametrize(("layout", "room", "fits"), ROOM)
def test_generation_b_checks_layout_and_room(host: Host, layout: int, room: int, fits: bool) -> None:
    answer = BODIES["load_image"](host, *put(host, picture("png")), 4, 4, layout, TARGET, room)
    assert answer == (image.SUCCESS if fits else image.FAIL)


def test_nothing_is_written_behind_the_picture(host: Host) -> None:
    host.memory.write(TARGET, b"\x55" * 1000)
    assert BODIES["load_image"](host, *put(host, picture("png")), 4, 4, 0, TARGET, 1000) == image.SUCCESS
    assert host.memory.read(TARGET + 48, 952) == b"\x55" * 952


# Source, target and room that do not lie inside a memory of one page.
OUTSIDE = [
    (PAGE, 100, TARGET, 48),
    (PAGE - 50, 100, TARGET, 48),
    (U32, 100, TARGET, 48),
    (SOURCE, U32, TARGET, 48),
    (SOURCE, 100, PAGE - 47, 48),
    (SOURCE, 100, U32, 48),
    (SOURCE, 100, U32 - 10, 48),
]


@pytest.mark.parametrize(("source", "length", "target", "room"), OUTSIDE)
def test_what_is_not_in_memory_is_out_of_bounds_in_both_generations(
    host: Host, source: int, length: int, target: int, room: int
) -> None:
    put(host, picture("png"))
    with pytest.raises(OutOfBounds):
        BODIES["load_png"](host, source, length, 4, 4, 0, target, room)
    with pytest.raises(OutOfBounds):
        BODIES[A_NAMES["png"]](host, source, length, 4, 4, target)


def test_room_beyond_the_end_of_memory_is_refused_even_when_the_picture_would_fit(host: Host) -> None:
    source = put(host, picture("png"))
    with pytest.raises(OutOfBounds):
        BODIES["load_png"](host, *source, 4, 4, 0, PAGE - 100, 101)
    assert BODIES["load_png"](host, *source, 4, 4, 0, PAGE - 100, 100) == image.SUCCESS


@pytest.mark.parametrize("size_wh", [(200, 200), (U32, U32), (2**16, 2**16), (1, U32)])
def test_a_target_larger_than_memory_is_refused_before_decoding(host: Host, size_wh: tuple[int, int]) -> None:
    with pytest.raises(OutOfBounds):
        load_a(host, "png", b"not even a picture", size_wh)
    assert host.call.logs() == ()


@pytest.mark.parametrize("shift", [-100, -7, 0, 1, 50])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_pixels_may_be_written_over_the_file(host: Host, layout: str, shift: int) -> None:
    content, at = picture("png"), 1000
    host.memory.write(at, content)
    assert BODIES["load_png"](host, at, len(content), SIZE, SIZE, LAYOUTS[layout], at + shift, 1000) == image.SUCCESS
    np.testing.assert_array_equal(pixels(host, layout, at + shift), expected(layout))


def test_memory_that_has_grown_is_used_at_once(host: Host) -> None:
    with pytest.raises(OutOfBounds):
        BODIES["load_png"](host, *put(host, picture("png")), SIZE, SIZE, 0, PAGE, 192)
    content = host.memory.read(0, PAGE)
    host.memory = Buffer(2 * PAGE)
    host.memory.write(0, content)
    assert BODIES["load_png"](host, SOURCE, len(picture("png")), SIZE, SIZE, 0, PAGE, 192) == image.SUCCESS
    np.testing.assert_array_equal(pixels(host, "rgb8", PAGE), expected("rgb8"))


def test_floats_of_generation_b_are_not_rounded_to_8_bits(host: Host) -> None:
    assert load_b(host, "load_png", picture("png", (40, 40)), layout=LAYOUTS["rgb32f"]) == image.SUCCESS
    values = pixels(host, "rgb32f") * 255
    assert np.abs(values - np.rint(values)).max() > 0.1
    assert load_b(host, "load_png", picture("png", (40, 40))) == image.SUCCESS
    np.testing.assert_allclose(pixels(host, "rgb8"), values, atol=0.501)


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        (Limits(picture_bytes=100), "size: got {size} bytes, expected 1 to 100"),
        (Limits(picture_pixels=1599), "declared size: got 40x40, expected 1x1 or more, at most 1599 pixels"),
        (Limits(picture_pixels=63), "wanted size: got 8x8, expected 1x1 or more, at most 63 pixels"),
        (Limits(picture_scans=2), "jpeg scans: got 10, expected at most 2"),
    ],
)
def test_limits_of_the_function_hold(models: ModelStore, limits: Limits, line: str) -> None:
    host, file = host_with(models, limits=limits), io.BytesIO()
    Image.new("RGB", (40, 40), (1, 2, 3)).save(file, "jpeg", progressive=True)
    assert load_b(host, "load_jpg", file.getvalue()) == image.FAIL
    assert line.format(size=len(file.getvalue())) in host.call.logs()[0].text


def test_pictures_count_as_time_of_the_host(models: ModelStore) -> None:
    host = host_with(models, limits=Limits(host_time_s=1e-9))
    with pytest.raises(GuestTimeout, match="inside host functions \\(pictures"):
        load_b(host, "load_png", picture("png"))


def test_the_numbers_of_layouts_are_those_of_wasmedge() -> None:
    assert [layout.value for layout in image.LAYOUTS] == list(LAYOUTS)
    assert [layout.size_bytes((4, 4)) for layout in image.LAYOUTS] == [48, 48, 192, 192]
    assert Layout.BGR32F.empty((3, 2)).shape == (2, 3, 3)


def test_a_png_bomb_costs_nothing(host: Host) -> None:
    content = bytearray(picture("png"))
    struct.pack_into(">II", content, 16, 16_000, 16_000)
    assert load_b(host, "load_png", bytes(content)) == image.FAIL
    assert "declared size: got 16000x16000" in host.call.logs()[0].text
