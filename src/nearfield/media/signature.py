"""Which still-image format some bytes have, and its size, from the first bytes alone. Pure."""

from __future__ import annotations

import struct

# Formats that `decode_image` knows, by the name that goes into `formats`.
KNOWN_FORMATS = frozenset({"jpeg", "png", "webp"})

# Formats it does not decode, told apart only for better messages.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"%PDF", "pdf"),
    (b"<svg", "svg"),
    (b"\0\0\1\0", "ico"),
)

# Markers of a JPEG (ITU-T T.81, table B.1).
START_OF_SCAN = b"\xff\xda"
_SEQUENTIAL = (0xC0, 0xC1)
_OTHER_FRAMES = frozenset(range(0xC2, 0xD0)) - {0xC4, 0xC8, 0xCC}

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def image_format(content: bytes) -> str | None:
    """Name of the format that the bytes begin like: one of KNOWN_FORMATS, another one's, or None."""
    if content.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if content.startswith(PNG_SIGNATURE):
        return "png"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    if content[4:8] == b"ftyp" and content[8:12] in (b"avif", b"heic", b"heix", b"mif1"):
        return "heif"
    return next((name for beginning, name in _OTHERS if content.startswith(beginning)), None)


def is_one_scan(content: bytes) -> bool:
    """Whether a JPEG holds all of its picture in the first scan; libjpeg then refuses any further one.

    False where its segments before that are in any way unusual.
    """
    position, components = 2, 0
    while position + 9 < len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker in _OTHER_FRAMES:
            return False
        if marker in _SEQUENTIAL:
            components = content[position + 9]
        if marker == START_OF_SCAN[1]:
            return 0 < components == content[position + 4]
        position += 2 + int.from_bytes(content[position + 2 : position + 4])
    return False


def png_size_wh(content: bytes) -> tuple[int, int]:
    """Width and height that the first chunk declares.

    Raises:
        ValueError: the first chunk is no whole IHDR.
    """
    if len(content) < 33 or content[12:16] != b"IHDR":
        raise ValueError("no IHDR chunk at byte 8")
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def webp_size_wh(content: bytes) -> tuple[int, int]:
    """Width and height of the canvas. Source: the WebP container specification and RFC 6386 section 9.1.

    Raises:
        ValueError: none of the three kinds of first chunk.
    """
    kind = content[12:16]
    if kind == b"VP8X" and len(content) >= 30:
        return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
    if kind == b"VP8L" and len(content) >= 25 and content[20] == 0x2F:
        bits = int.from_bytes(content[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(content) >= 30 and content[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("no VP8 chunk at byte 12")


def png_pixels_only(content: bytes) -> bytes:
    """The PNG with nothing but its header, palette, transparency and pixels.

    Comments, profiles and animation chunks are where decompression bombs hide and what makes decoders warn.

    Raises:
        ValueError: a chunk reaches beyond the end, there is a second header, or the end chunk is missing.
    """
    kept, position = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while position + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, position)
        kind = content[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(content):
            raise ValueError(f"truncated in chunk {kind!r} at byte {position}")
        if kind == b"IHDR" and position > len(PNG_SIGNATURE):
            raise ValueError(f"second header at byte {position}")
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            kept.append(content[position:end])
        if kind == b"IEND":
            return b"".join(kept)
        position = end
    raise ValueError("truncated before the end chunk")
