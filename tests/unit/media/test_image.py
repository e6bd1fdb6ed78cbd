"""Decoding still images: colours by rule, damage refused, limits checked before anything is decoded."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from nearfield.errors import MediaError
from nearfield.media import ImageLimits, Layout, Resampling, decode_image, encode_jpeg
from nearfield.media.image import MAX_SIDE
from nearfield.media.jpeg import jpeg_scans
from nearfield.media.resize import Pixels, resize

Encoded = Callable[..., bytes]
Gradient = Callable[[int, int], Pixels]

ALL = frozenset({"jpeg", "png", "webp"})


def refusal(data: Any, size_wh: tuple[int, int] = (8, 8), **options: Any) -> str:
    with pytest.raises(MediaError) as caught:
        decode_image(data, size_wh, **options)
    return str(caught.value)


def difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def with_jpeg_size(data: bytes, width: int, height: int) -> bytes:
    """The same JPEG, declaring another size in its frame header."""
    changed = bytearray(data)
    struct.pack_into(">HH", changed, data.index(b"\xff\xc0") + 5, height, width)
    return bytes(changed)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("PNG", {}), ("WEBP", {"lossless": True})])
def test_each_format_gives_the_picture_that_was_stored(
    gradient: Gradient, encoded: Encoded, kind: str, options: dict[str, Any]
) -> None:
    picture = gradient(64, 48)
    result = decode_image(encoded(picture, kind, **options), (64, 48), formats=ALL)
    assert (result.shape, result.dtype, result.flags.c_contiguous) == ((48, 64, 3), np.uint8, True)
    assert difference(result, picture) < 2.0


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_any_buffer_is_decoded(gradient: Gradient, encoded: Encoded, wrap: Callable[[bytes], Any]) -> None:
    assert decode_image(wrap(encoded(gradient(16, 16))), (8, 8)).shape == (8, 8, 3)


@pytest.mark.parametrize("size_wh", [(96, 96), (1, 1), (640, 360), (1000, 20), (1300, 800)])
@pytest.mark.parametrize("resampling", list(Resampling))
def test_the_result_has_the_wanted_size_and_the_same_picture(
    gradient: Gradient, encoded: Encoded, size_wh: tuple[int, int], resampling: Resampling
) -> None:
    result = decode_image(encoded(gradient(640, 360), quality=95), size_wh, resampling=resampling)
    assert result.shape == (size_wh[1], size_wh[0], 3)
    if min(size_wh) > 1:
        assert difference(result, gradient(*size_wh)) < 6.0


@pytest.mark.parametrize("resampling", list(Resampling))
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("layout", list(Layout))
def test_a_picture_that_is_stored_as_it_is_is_resized_by_the_rule(
    gradient: Gradient, encoded: Encoded, resampling: Resampling, exact: bool, layout: Layout
) -> None:
    data, expected = encoded(gradient(60, 40), "PNG"), Layout.RGB32F.empty((25, 35))
    if not layout.is_float:
        expected = Layout.RGB8.empty((25, 35))
    resize(gradient(60, 40), expected, resampling, exact=exact)
    result = decode_image(data, (25, 35), formats=ALL, resampling=resampling, exact=exact, layout=layout)
    assert result.dtype == layout.dtype
    # BLAS may add up a channel's values in another order where it stands elsewhere.
    np.testing.assert_allclose(result, expected if layout.order == "RGB" else expected[:, :, ::-1], atol=1e-6)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_each_format_is_decoded_in_either_order(gradient: Gradient, encoded: Encoded, kind: str) -> None:
    data = encoded(gradient(64, 48), kind)
    rgb, bgr = (decode_image(data, (20, 20), formats=ALL, layout=layout) for layout in (Layout.RGB8, Layout.BGR8))
    assert (rgb == bgr[:, :, ::-1]).all()


def test_exact_pixels_come_from_the_whole_picture(encoded: Encoded) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    data = encoded(noise, quality=95)
    whole, expected = decode_image(data, (256, 256)), Layout.RGB8.empty((32, 32))
    resize(whole, expected, Resampling.ALIGN_CORNERS, exact=True)
    assert (decode_image(data, (32, 32), exact=True) == expected).all()
    # Otherwise an eighth of its size is decoded, which has averaged the noise away.
    assert decode_image(data, (32, 32)).std() < expected.std() / 2


def test_the_result_goes_where_it_is_wanted_even_over_the_file(gradient: Gradient, encoded: Encoded) -> None:
    data = bytearray(encoded(gradient(64, 64)))
    expected = decode_image(data, (10, 10))
    out = Layout.RGB8.over(memoryview(data)[:300], (10, 10))
    assert decode_image(data, (10, 10), out=out) is out
    assert bytes(data[:300]) == expected.tobytes()


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_nothing_is_written_when_decoding_fails(gradient: Gradient, encoded: Encoded, keep: float) -> None:
    data, out = encoded(gradient(64, 64)), np.full((8, 8, 3), 77, np.uint8)
    refusal(data[: int(len(data) * keep)], out=out)
    assert (out == 77).all()


def test_smooth_averages_what_align_corners_aliases(encoded: Encoded) -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    data = encoded(stripes, "PNG")
    smooth = decode_image(data, (8, 8), formats=ALL, resampling=Resampling.SMOOTH)
    picked = decode_image(data, (8, 8), formats=ALL, resampling=Resampling.ALIGN_CORNERS)
    assert smooth[:, 1:-1].std() < 5 < 50 < picked.std()


def test_grey_becomes_three_equal_channels(encoded: Encoded) -> None:
    grey = np.linspace(0, 255, 64 * 64).astype(np.uint8).reshape(64, 64)
    for kind in ("JPEG", "PNG"):
        result = decode_image(encoded(grey, kind), (64, 64), formats=ALL)
        assert (result[..., 0] == result[..., 1]).all()
        assert (result[..., 0] == result[..., 2]).all()
        assert difference(result[..., 0], grey) < 2.0


@pytest.mark.parametrize("colour", [(10, 200, 30, 0), (0, 0, 0, 128), (255, 0, 0, 0), (60, 70, 80, 90)])
def test_cmyk_becomes_the_rgb_that_pil_shows(encoded: Encoded, colour: tuple[int, ...]) -> None:
    data = encoded(Image.new("CMYK", (16, 16), colour), quality=100)
    shown = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    assert difference(decode_image(data, (16, 16)), shown) <= 2.0


def test_progressive_jpeg_is_decoded(gradient: Gradient, encoded: Encoded) -> None:
    data = encoded(gradient(64, 64), progressive=True, quality=95)
    assert difference(decode_image(data, (64, 64)), gradient(64, 64)) < 2.0


def test_png_transparency_is_dropped(encoded: Encoded) -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[...] = (10, 20, 30, 0)
    assert (decode_image(encoded(pixels, "PNG"), (4, 4), formats=ALL) == (10, 20, 30)).all()


def test_a_palette_with_transparency_gives_its_colours_without_a_warning(encoded: Encoded) -> None:
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, 200, 100, 50])
    data = encoded(picture, "PNG", transparency=b"\x00\x80")
    assert (decode_image(data, (4, 4), formats=ALL) == (200, 100, 50)).all()


def test_16_bit_png_keeps_the_upper_byte(encoded: Encoded) -> None:
    data = encoded(Image.fromarray(np.full((4, 4), 0xAB12, np.uint16)), "PNG")
    assert (decode_image(data, (4, 4), formats=ALL) == 0xAB).all()


def test_png_comments_and_profiles_are_never_read(gradient: Gradient, encoded: Encoded) -> None:
    extra = PngImagePlugin.PngInfo()
    extra.add_text("Comment", "a" * 5_000_000, zip=True)
    data = encoded(gradient(4, 4), "PNG", pnginfo=extra)
    bad_animation = png_chunk(b"acTL", bytes(8))
    data = data[:33] + bad_animation + data[33:]
    assert (decode_image(data, (4, 4), formats=ALL) == gradient(4, 4)).all()


def test_only_the_first_picture_of_an_animation_counts(encoded: Encoded) -> None:
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    data = encoded(first, "WEBP", save_all=True, append_images=[second], lossless=True)
    assert decode_image(data, (8, 8), formats=ALL)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_other_formats_than_the_allowed_are_named_and_refused(gradient: Gradient, encoded: Encoded, kind: str) -> None:
    assert refusal(encoded(gradient(8, 8), kind)) == f"image: format: got {kind.lower()}, expected jpeg"


def test_a_format_without_decoder_is_refused_even_when_allowed(gradient: Gradient, encoded: Encoded) -> None:
    assert "got gif" in refusal(encoded(gradient(8, 8), "GIF"), formats=frozenset({"gif"}))


@pytest.mark.parametrize("data", [b"hello world", b"\xff\xd8", b"\x00" * 64])
def test_garbage_is_refused_by_its_first_bytes(data: bytes) -> None:
    assert refusal(data) == f"image: format: got bytes beginning {data[:4].hex(' ')}, expected jpeg"


def test_nothing_and_too_much_are_refused_with_sizes() -> None:
    assert refusal(b"") == "image: size: got 0 bytes, expected 1 to 16777216"
    assert refusal(bytes(11), limits=ImageLimits(max_bytes=10)) == "image: size: got 11 bytes, expected 1 to 10"


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_picture_is_refused(gradient: Gradient, encoded: Encoded, kind: str, keep: float) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(noise, kind)
    assert refusal(data[: int(len(data) * keep)], formats=ALL).startswith("image: ")


def test_a_jpeg_without_its_last_byte_is_refused(gradient: Gradient, encoded: Encoded) -> None:
    assert refusal(encoded(gradient(64, 64))[:-1]) == "image: jpeg cannot be decoded: Premature end of JPEG file"


def test_a_webcams_padding_before_the_end_marker_is_no_damage(gradient: Gradient, encoded: Encoded) -> None:
    data = encoded(gradient(64, 64))
    padded = data[:-2] + bytes(7) + data[-2:]
    assert (decode_image(padded, (64, 64)) == decode_image(data, (64, 64))).all()


@pytest.mark.parametrize(("width", "height"), [(65500, 65500), (9000, 9000), (4097, 4096)])
def test_a_jpeg_that_declares_too_many_pixels_is_refused_unread(
    gradient: Gradient, encoded: Encoded, monkeypatch: pytest.MonkeyPatch, width: int, height: int
) -> None:
    monkeypatch.setattr("nearfield.media.image.decode_jpeg", lambda *_: pytest.fail("was decoded"))
    data = with_jpeg_size(encoded(gradient(16, 16)), width, height)
    assert refusal(data) == (
        f"image: declared size: got {width}x{height}, expected 1x1 or more, at most 16777216 pixels and 16384 a side"
    )


def test_a_png_that_declares_too_many_pixels_is_refused_unread() -> None:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 65500, 65500, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(100))) + png_chunk(b"IEND", b"")
    assert "got 65500x65500" in refusal(data, formats=ALL)


def test_a_second_png_header_is_refused(gradient: Gradient, encoded: Encoded) -> None:
    data = encoded(gradient(4, 4), "PNG")
    second = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 65500, 65500, 8, 2, 0, 0, 0))
    assert "second header at byte 33" in refusal(data[:33] + second + data[33:], formats=ALL)


def test_a_webp_that_declares_too_many_pixels_is_refused_unread() -> None:
    canvas = bytes(4) + (16_000).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas
    assert "got 16001x16001" in refusal(b"RIFF" + struct.pack("<I", len(body)) + body, formats=ALL)


def test_a_jpeg_with_thousands_of_scans_is_refused(gradient: Gradient, encoded: Encoded) -> None:
    data = encoded(gradient(64, 64), progressive=True)
    start = data.rindex(b"\xff\xda")
    bomb = data[:start] + data[start:-2] * 1000 + data[-2:]
    assert "jpeg scans: got 1" in refusal(bomb)
    assert "expected at most 64 at 4096 pixels" in refusal(bomb)


def test_larger_pictures_may_have_fewer_scans(gradient: Gradient, encoded: Encoded) -> None:
    data = encoded(gradient(64, 64), progressive=True)
    assert decode_image(data, (8, 8), limits=ImageLimits(max_pixels=4096)).shape == (8, 8, 3)
    scans = data.count(b"\xff\xda")
    limits = ImageLimits(max_pixels=4096, max_scans=scans - 1)
    assert (
        refusal(data, limits=limits) == f"image: jpeg scans: got {scans}, expected at most {scans - 1} at 4096 pixels"
    )
    start = data.rindex(b"\xff\xda")
    more = data[:start] + data[start:-2] * 2 + data[-2:]
    assert f"got {scans + 1}, expected at most 10" in refusal(more, limits=ImageLimits(max_pixels=4096))


def test_scans_are_only_counted_where_there_can_be_several(gradient: Gradient, encoded: Encoded) -> None:
    marker_inside = png_chunk(b"EXIF", b"\xff\xda" * 100)
    plain = encoded(gradient(64, 64))
    commented = plain[:2] + b"\xff\xfe" + struct.pack(">H", len(marker_inside) + 2) + marker_inside + plain[2:]
    assert jpeg_scans(commented) == 1
    assert (decode_image(commented, (8, 8)) == decode_image(plain, (8, 8))).all()
    assert jpeg_scans(encoded(gradient(64, 64), progressive=True)) >= 10


def test_a_second_scan_of_a_whole_picture_is_refused(gradient: Gradient, encoded: Encoded) -> None:
    data = encoded(gradient(64, 64))
    start = data.index(b"\xff\xda")
    assert "cannot be decoded" in refusal(data[:-2] + data[start:-2] * 1000 + data[-2:])


@pytest.mark.parametrize("size_wh", [(MAX_SIDE + 1, 1), (1, MAX_SIDE + 1)])
def test_a_picture_that_is_too_long_is_refused_unread(size_wh: tuple[int, int]) -> None:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size_wh, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(100))) + png_chunk(b"IEND", b"")
    assert f"declared size: got {size_wh[0]}x{size_wh[1]}" in refusal(data, formats=ALL)


def test_exif_orientation_is_left_alone(gradient: Gradient, encoded: Encoded) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned, plain = encoded(gradient(64, 48), exif=exif), encoded(gradient(64, 48))
    assert (decode_image(turned, (32, 24)) == decode_image(plain, (32, 24))).all()


def test_a_png_with_a_huge_profile_and_animation_is_its_pixels(gradient: Gradient, encoded: Encoded) -> None:
    first, second = gradient(16, 16), gradient(16, 16)[::-1]
    data = encoded(
        Image.fromarray(first), "PNG", save_all=True, append_images=[Image.fromarray(second)], default_image=False
    )
    profile = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(50_000_000)))
    assert (decode_image(data[:33] + profile + data[33:], (16, 16), formats=ALL) == first).all()


@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {})]
)
def test_cut_off_at_every_hundredth_byte_it_is_refused(encoded: Encoded, kind: str, options: dict[str, Any]) -> None:
    noise = np.random.default_rng(4).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    data = encoded(noise, kind, **options)
    for length in range(0, len(data), 100):
        assert refusal(data[:length], formats=ALL).startswith("image: ")


@pytest.mark.parametrize("size_wh", [(0, 8), (8, 0), (-1, 8), (4097, 4096), (2**31, 2**31)])
def test_an_impossible_wanted_size_is_refused(gradient: Gradient, encoded: Encoded, size_wh: tuple[int, int]) -> None:
    assert f"wanted size: got {size_wh[0]}x{size_wh[1]}" in refusal(encoded(gradient(8, 8)), size_wh)


def test_encoding_and_decoding_gives_nearly_the_same_picture(gradient: Gradient) -> None:
    picture = gradient(65, 47)
    data = encode_jpeg(picture, 90)
    assert data[:3] == b"\xff\xd8\xff"
    assert difference(decode_image(data, (65, 47)), picture) < 3.0


def test_a_picture_that_is_a_slice_is_encoded(gradient: Gradient) -> None:
    picture = gradient(64, 64)[::2, ::-1]
    assert difference(decode_image(encode_jpeg(picture, 95), (64, 32)), picture) < 4.0


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_rgb_picture_is_not_encoded(picture: Any) -> None:
    with pytest.raises(ValueError, match=r"rgb: got shape .* expected \(height, width, 3\) uint8"):
        encode_jpeg(picture)


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_a_quality_outside_1_to_100_is_refused(gradient: Gradient, quality: int) -> None:
    with pytest.raises(ValueError, match=f"quality: got {quality}, expected 1 to 100"):
        encode_jpeg(gradient(8, 8), quality)


@pytest.mark.parametrize("name", ["cat_720p.jpg", "hot_dog.jpg"])
def test_real_photographs_match_pils_own_reading(testdata: Callable[[str], Path], name: str) -> None:
    data = testdata(name).read_bytes()
    shown = np.array(Image.open(io.BytesIO(data)).convert("RGB").resize((192, 192), Image.Resampling.BOX))
    assert difference(decode_image(data, (192, 192), resampling=Resampling.SMOOTH), shown) < 4.0
