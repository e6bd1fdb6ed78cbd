"""Video files and network streams, picture by picture."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import av
from av.error import ExitError, FFmpegError, InvalidDataError

from nearfield.errors import MediaError, UsageError
from nearfield.media.location import mask_credentials, scheme_of
from nearfield.media.video_frame import PictureConverter, VideoFrame

# What a URL may begin with. FFmpeg knows many more, among them ones that read any local file.
SCHEMES = ("http", "https", "rtmp", "rtmps", "rtsp", "rtsps", "rtp", "srt", "tcp", "udp")

# What a stream opened by URL may use underneath: a playlist from the network must not name a local file.
_NETWORK_PROTOCOLS = ",".join((*SCHEMES, "tls", "srtp", "httpproxy", "rtmpt", "crypto", "data"))

# 8K (7680x4320) passes.
MOST_PIXELS = 8192 * 4320

# Demuxers that make "video" of things that are none.
_NOT_VIDEO = frozenset({"tty"})

DEFAULT_TIMEOUT_S = 10.0

# Rounding, and the duration of the last picture, which may be long in a video of few pictures.
_TRUNCATED_BY_S = 0.5


def open_video(path_or_url: str | Path, *, every: int = 1, timeout_s: float = DEFAULT_TIMEOUT_S) -> VideoReader:
    """Open a video file or a network stream. Blocks until its header is read, at most `timeout_s`.

    Args:
        path_or_url: a file, or a URL with one of SCHEMES.
        every: give every n-th picture only, >= 1. The others are decoded too, as most codecs need, but not converted.
        timeout_s: for opening, and again for each read.

    Raises:
        MediaError: missing, unreachable, no video, or pictures beyond MOST_PIXELS. URLs appear without credentials.
        UsageError: `every` below 1.
    """
    if every < 1:
        raise UsageError(f"every: got {every}, expected 1 or more")
    location = os.fspath(path_or_url)
    where = f"video `{mask_credentials(location)}`"
    address, options = _address(location, where)
    try:
        container = av.open(address, options=options, timeout=(timeout_s, timeout_s))
    except (FFmpegError, ValueError, OSError) as error:
        raise MediaError(f"cannot open: {_reason(error)}", where=where, hint=_hint(error)) from error
    try:
        return VideoReader(container, where=where, every=every)
    except BaseException:
        container.close()
        raise


class VideoReader:
    """Pictures of one video, in order, once. Iterate on one thread at a time; close it, or use it in a `with`."""

    def __init__(self, container: Any, *, where: str, every: int = 1) -> None:
        """Take over an open container. Use `open_video`."""
        self._where = where
        if not container.streams.video or container.format.name in _NOT_VIDEO:
            found = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise MediaError(f"no video stream: found {found} ({container.format.long_name})", where=where)
        self._container = container
        self._stream = container.streams.video[0]
        if self._stream.codec_context is None:
            raise MediaError("no decoder for its codec", where=where)
        self._stream.thread_type = "AUTO"
        # The header is checked below; this is for a stream that changes its size later.
        self._stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        self._every = every
        self._converter = PictureConverter()
        self._is_closed = False
        self._packets = 0
        self._pictures_decoded = 0
        self._corrupt_packets = 0
        self._is_truncated = False
        self._last_pts_s = 0.0
        width, height = self.size_wh
        if width < 1 or height < 1 or width * height > MOST_PIXELS:
            raise MediaError(f"picture size: got {width}x{height}, expected at most {MOST_PIXELS} pixels", where=where)
        self._pictures = self._decode()

    def __repr__(self) -> str:
        width, height = self.size_wh
        return f"<VideoReader {self._where} {width}x{height} corrupt_packets={self._corrupt_packets}>"

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[VideoFrame]:
        return self

    def __next__(self) -> VideoFrame:
        """The next picture. Blocks while it is read and decoded.

        Raises:
            MediaError: a network stream broke off or fell silent. A file that ends too early ends the iteration and
                sets `truncated`.
        """
        return next(self._pictures)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels, as the header says."""
        return int(self._stream.codec_context.width), int(self._stream.codec_context.height)

    @property
    def fps(self) -> float | None:
        """Pictures per second on average, or None when the container does not say."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        return float(rate) if rate else None

    @property
    def frame_count(self) -> int | None:
        """Pictures in the whole video as the container says, or None. `every` does not change it."""
        return int(self._stream.frames) or None

    @property
    def duration_s(self) -> float | None:
        """Length in seconds as the container says; None for streams without end."""
        if self._stream.duration is not None:
            return float(self._stream.duration * self._stream.time_base)
        if self._container.duration is not None:
            return float(self._container.duration) / av.time_base
        return None

    @property
    def corrupt_packets(self) -> int:
        """Packets so far that were damaged: the decoder refused them, or could only guess part of their picture."""
        return self._corrupt_packets

    @property
    def truncated(self) -> bool:
        """Whether the file ended before what its header promises. Known once the iteration has ended."""
        return self._is_truncated

    def close(self) -> None:
        """Release the file or connection. Idempotent. Pictures already given stay valid."""
        if not self._is_closed:
            self._is_closed = True
            self._pictures.close()
            self._container.close()

    def _decode(self) -> Generator[VideoFrame, None, None]:
        start_s = float((self._stream.start_time or 0) * self._stream.time_base)
        for index, picture in enumerate(self._raw_pictures()):
            pts_s = index / (self.fps or 1.0) if picture.time is None else picture.time - start_s
            self._last_pts_s = pts_s
            if index % self._every == 0:
                yield VideoFrame(index, pts_s, picture, self._converter)

    def _raw_pictures(self) -> Iterator[av.VideoFrame]:
        for packet in self._raw_packets():
            try:
                pictures = packet.decode()
            except FFmpegError:
                self._corrupt_packets += 1
                continue
            for picture in pictures:
                self._corrupt_packets += int(picture.is_corrupt)
                self._pictures_decoded += 1
                yield picture
        # Some decoders pass over garbage in silence. Containers that count pictures hold one in each packet.
        if self.frame_count is not None:
            self._corrupt_packets = max(self._corrupt_packets, self._packets - self._pictures_decoded)

    def _raw_packets(self) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except InvalidDataError:
                self._is_truncated = True
                break
            except (FFmpegError, OSError) as error:
                raise MediaError(f"reading stopped: {_reason(error)}", where=self._where) from error
            # Packets marked `discard` are there for the decoder only: an edit list cuts their pictures.
            self._packets += int(packet.size > 0 and not packet.is_discard)
            yield packet
        self._is_truncated = self._is_truncated or self._ended_early()

    def _ended_early(self) -> bool:
        if self.frame_count is not None:
            return self._packets < self.frame_count
        # Matroska's header promises a duration, which sound may fill; elsewhere FFmpeg computes one from what is there.
        is_promised = self._container.format.name.startswith("matroska") and len(self._container.streams) == 1
        return is_promised and (self.duration_s or 0.0) - self._last_pts_s > _TRUNCATED_BY_S


def _address(location: str, where: str) -> tuple[str, dict[str, str]]:
    """What FFmpeg is to open, and the options that keep it to that."""
    scheme = scheme_of(location)
    if not scheme:
        # With the prefix, a path is never taken for a protocol; and a playlist on disk cannot reach the network.
        return f"file:{location}", {"protocol_whitelist": "file"}
    if scheme not in SCHEMES:
        raise MediaError(f"scheme: got `{scheme}`, expected one of {', '.join(SCHEMES)}", where=where)
    options = {"protocol_whitelist": _NETWORK_PROTOCOLS}
    if scheme.startswith("rtsp"):
        # Over UDP a picture of some packets is rarely whole.
        options["rtsp_transport"] = "tcp"
    return location, options


def _reason(error: BaseException) -> str:
    # The full text of FFmpeg's errors holds the URL with its password.
    if isinstance(error, ExitError):
        return "no data in time"
    text = getattr(error, "strerror", None) or type(error).__name__
    return text[:1].lower() + text[1:]


def _hint(error: BaseException) -> str | None:
    if isinstance(error, InvalidDataError):
        return "the file is no video, or it is cut off"
    return None
