"""A guest that decodes whatever comes: hostile pictures fail, one frame each, and leave nothing behind."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nearfield.inference import ModelStore
from nearfield.media import Resampling
from nearfield.sandbox import Guest, Invocation, Limits, PictureRules
from tests.unit.sandbox.kit import load, own_guest
from tests.unit.sandbox.test_hostile_guests import resident_bytes

SIDE = 32
LAYOUTS = 4

# Grows its memory first, and puts the pixels into the new pages. Emits the errno and the first pixels of each layout.
DECODER = own_guest(
    f"""(local $layout i32)
    (drop (memory.grow (i32.const 1)))
    (drop (call $frame_read (i32.const 0) (i32.const 131072)))
    (loop
      (drop (call $emit (i32.const 1) (i32.const 131072)
        (i32.add (call $load (i32.const 0) (call $frame_size) (i32.const {SIDE}) (i32.const {SIDE})
          (local.get $layout) (i32.const 131072) (i32.const {SIDE * SIDE * 12})) (i32.const 4))))
      (local.set $layout (i32.add (local.get $layout) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $layout) (i32.const {LAYOUTS}))))
    (i32.const 0)""",
    imports="""(import "wasmedge_image" "load_image" (func $load
        (param i32 i32 i32 i32 i32 i32 i32) (result i32)))""",
)

# A length of 4 bytes says that it worked, 5 that it did not.
WORKED, FAILED = [4] * LAYOUTS, [5] * LAYOUTS


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def honest() -> list[bytes]:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    return [
        encoded(noise, "JPEG"),
        encoded(noise, "JPEG", progressive=True),
        encoded(noise.convert("L"), "JPEG"),
        encoded(noise.convert("CMYK"), "JPEG"),
        encoded(noise, "PNG"),
        encoded(noise.convert("P"), "PNG", transparency=3),
        encoded(Image.fromarray(np.full((48, 64), 0xAB12, np.uint16)), "PNG"),
        encoded(noise, "WEBP", quality=80),
        encoded(noise, "WEBP", save_all=True, append_images=[noise.rotate(90)], lossless=True),
    ]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bombs(pictures: list[bytes]) -> Iterator[bytes]:
    """Files that promise, or would unpack to, far more than they are."""
    jpeg, progressive, png = bytearray(pictures[0]), pictures[1], bytearray(pictures[4])
    struct.pack_into(">HH", jpeg, jpeg.index(b"\xff\xc0") + 5, 65500, 65500)
    struct.pack_into(">II", png, 16, 2**31 - 1, 2**31 - 1)
    yield from (bytes(jpeg), bytes(png))
    scan = progressive.rindex(b"\xff\xda")
    yield progressive[:scan] + progressive[scan:-2] * 300 + progressive[-2:]
    canvas = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + (16_000_000).to_bytes(3, "little") * 2
    yield b"RIFF" + struct.pack("<I", len(canvas)) + canvas
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0))
    yield b"\x89PNG\r\n\x1a\n" + header + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(20_000_000)))


def hostile(count: int) -> list[bytes]:
    """So many files, each of which is refused: bombs, and pieces of pictures."""
    pictures, found = honest(), []
    random = np.random.default_rng(1)
    while len(found) < count:
        found += list(bombs(pictures)) if len(found) % 50 == 0 else []
        picture = pictures[len(found) % len(pictures)]
        found.append(picture[: int(random.integers(0, len(picture) - 12))])
    return found[:count]


@pytest.fixture
def decoder(tmp_path: Path) -> Iterator[Guest]:
    guest = load(tmp_path, DECODER, limits=Limits(deadline_s=20), models=ModelStore({}))
    yield guest
    guest.close()


def answers(guest: Guest, picture: bytes) -> list[int]:
    return [len(emission.payload) for emission in guest.handle(Invocation(0x10, picture, "cam-1", 1, 0)).emissions]


def test_honest_pictures_are_decoded_into_memory_that_has_just_grown(decoder: Guest) -> None:
    for picture in honest():
        assert answers(decoder, picture) == WORKED


def test_after_each_hostile_picture_the_next_is_decoded(decoder: Guest) -> None:
    good = honest()[0]
    for picture in hostile(60):
        assert answers(decoder, picture) == FAILED
        assert answers(decoder, good) == WORKED


def test_flipped_bits_give_pixels_or_an_errno(decoder: Guest) -> None:
    random = np.random.default_rng(2)
    for picture in honest() * 4:
        damaged = bytearray(picture)
        for bit in random.integers(0, len(picture) * 8, 5):
            damaged[bit // 8] ^= 1 << bit % 8
        assert answers(decoder, bytes(damaged)) in (WORKED, FAILED)


@pytest.mark.parametrize("rules", [PictureRules(), PictureRules(Resampling.ALIGN_CORNERS, exact=True)])
def test_memory_is_where_it_was_after_five_hundred_hostile_pictures(tmp_path: Path, rules: PictureRules) -> None:
    guest = load(tmp_path, DECODER, limits=Limits(deadline_s=20), pictures=rules)
    pictures = hostile(500)
    for picture in pictures[:100]:
        answers(guest, picture)
    after_hundred = resident_bytes()
    for picture in pictures[100:]:
        assert answers(guest, picture) == FAILED
    # 400 pictures that each left their pixels behind would be 3.7 MB; one bomb of 16 megapixels 50 MB.
    assert resident_bytes() - after_hundred < 3 * 1024 * 1024
    guest.close()
