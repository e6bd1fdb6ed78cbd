"""One decoded picture of a video, converted when somebody wants it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from nearfield.media.jpeg import encode_jpeg_planes
from nearfield.media.resize import Pixels

# A reader's pictures mostly have one format and size. One converter for all of them keeps its tables (0.2 ms each
# time for 640x480), but must not be used by two threads at once.


class PictureConverter:
    """Converts pictures to RGB, or to the planes that JPEG stores. Any thread, one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._to_rgb = VideoReformatter()
        self._to_jpeg = VideoReformatter()

    def rgb(self, picture: av.VideoFrame) -> Pixels:
        """Pixels of `picture`: uint8, shape (height, width, 3), RGB, full range."""
        with self._lock:
            converted = self._to_rgb.reformat(picture, format="rgb24", src_color_range=_range_of(picture), threads=1)
            rows = np.array(_plane(converted, 0, picture.width * 3, picture.height))
        return rows.reshape(picture.height, picture.width, 3)

    def jpeg(self, picture: av.VideoFrame, quality: int) -> bytes:
        """A JFIF file of `picture`.

        Video mostly has the planes that a JPEG stores, in another range (16-235) and perhaps another matrix (BT.709).
        Changing these is cheaper than the way over RGB, and more exact.
        """
        width, height = (picture.width + 1) // 2, (picture.height + 1) // 2
        with self._lock:
            converted = self._to_jpeg.reformat(
                picture,
                format="yuvj420p",
                src_color_range=_range_of(picture),
                dst_color_range=ColorRange.JPEG,
                dst_colorspace=Colorspace.ITU601,
                threads=1,
            )
        return encode_jpeg_planes(
            _plane(converted, 0, picture.width, picture.height),
            _plane(converted, 1, width, height),
            _plane(converted, 2, width, height),
            quality,
        )


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """A picture of a video, as it is stored: a request to rotate it for display is not applied.

    Attributes:
        index: position among the decoded pictures of the video, from 0.
        pts_s: presentation time in seconds from the start of the video.
    """

    index: int
    pts_s: float
    _picture: av.VideoFrame = field(repr=False)
    _converter: PictureConverter = field(repr=False)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._picture.width, self._picture.height

    def rgb(self) -> Pixels:
        """The pixels, converted anew at each call: uint8, shape (height, width, 3), RGB."""
        return self._converter.rgb(self._picture)

    def jpeg(self, quality: int = 80) -> bytes:
        """The picture as a JFIF file with 4:2:0 colour.

        Args:
            quality: 1 to 100.

        Raises:
            ValueError: another quality.
        """
        return self._converter.jpeg(self._picture, quality)


def _range_of(picture: av.VideoFrame) -> ColorRange:
    """Video that does not say is limited range, except in the formats whose name says otherwise."""
    if picture.format.name.startswith("yuvj"):
        return ColorRange.JPEG
    return ColorRange(picture.color_range)


def _plane(picture: av.VideoFrame, index: int, width: int, height: int) -> Pixels:
    """View of one plane without the padding at the end of its rows. Lives as long as the picture."""
    plane = picture.planes[index]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:height, :width]
