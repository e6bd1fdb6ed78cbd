"""Reading video: whole, damaged, cut off, and things that are none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from nearfield.errors import MediaError, UsageError
from nearfield.media import decode_image, open_video
from nearfield.media.resize import Pixels
from nearfield.media.video_frame import PictureConverter, VideoFrame

Record = Callable[..., Path]
Ranges = Callable[[Path], list[tuple[int, int]]]

CODECS = [("libx264", "mp4"), ("libx264", "mkv"), ("mpeg4", "mp4"), ("mpeg4", "avi"), ("mjpeg", "avi")]


def difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def refusal(location: Any) -> str:
    with pytest.raises(MediaError) as caught:
        open_video(location, timeout_s=2.0)
    return str(caught.value)


@pytest.mark.parametrize(("codec", "extension"), CODECS)
def test_every_picture_is_read_in_order(record_video: Record, tmp_path: Path, codec: str, extension: str) -> None:
    with open_video(record_video(tmp_path / f"v.{extension}", codec)) as reader:
        frames = list(reader)
    assert [frame.index for frame in frames] == list(range(40))
    assert [frame.pts_s for frame in frames] == pytest.approx([index / 30 for index in range(40)], abs=0.002)
    # Each recorded picture is 3 levels brighter than the one before; lossy encoders blur that, but not its order.
    brightness = [float(frame.rgb().mean()) for frame in frames]
    assert all(before < after for before, after in pairwise(brightness))
    assert (reader.corrupt_packets, reader.truncated) == (0, False)


def test_the_reader_describes_the_video(record_video: Record, tmp_path: Path) -> None:
    with open_video(record_video(tmp_path / "v.mp4")) as reader:
        assert (reader.fps, reader.frame_count, reader.size_wh) == (30.0, 40, (160, 120))
        assert reader.duration_s == pytest.approx(40 / 30, abs=0.01)


def test_a_container_that_counts_no_pictures_says_none(record_video: Record, tmp_path: Path) -> None:
    with open_video(record_video(tmp_path / "v.mkv")) as reader:
        assert reader.frame_count is None
        assert reader.duration_s == pytest.approx(40 / 30, abs=0.01)


def test_every_nth_picture_keeps_its_own_index_and_time(record_video: Record, tmp_path: Path) -> None:
    with open_video(record_video(tmp_path / "v.mp4"), every=15) as reader:
        assert [(frame.index, round(frame.pts_s, 2)) for frame in reader] == [(0, 0.0), (15, 0.5), (30, 1.0)]


def test_pictures_outlive_their_reader(record_video: Record, tmp_path: Path) -> None:
    reader = open_video(record_video(tmp_path / "v.mp4"))
    frame = next(reader)
    reader.close()
    reader.close()
    assert frame.rgb().shape == (120, 160, 3)
    assert next(reader, None) is None


def test_pictures_may_be_converted_on_several_threads(record_video: Record, tmp_path: Path) -> None:
    with open_video(record_video(tmp_path / "v.mp4")) as reader:
        frames = list(reader)
    alone = [frame.jpeg() for frame in frames]
    together: dict[int, bytes] = {}

    def work(part: list[VideoFrame]) -> None:
        for frame in part:
            together[frame.index] = frame.jpeg()

    threads = [threading.Thread(target=work, args=(frames[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[index] for index in range(40)] == alone


@pytest.mark.parametrize("colour_range", [ColorRange.MPEG, ColorRange.JPEG])
@pytest.mark.parametrize("matrix", [Colorspace.ITU601, Colorspace.ITU709])
@pytest.mark.parametrize("size_wh", [(64, 48), (65, 47)])
def test_a_jpeg_shows_the_colours_that_the_video_stores(
    size_wh: tuple[int, int], matrix: Colorspace, colour_range: ColorRange
) -> None:
    colours = [(255, 0, 0), (0, 200, 0), (30, 30, 255), (250, 250, 250), (8, 8, 8), (200, 160, 40)]
    for colour in colours:
        pixels = np.full((size_wh[1], size_wh[0], 3), colour, np.uint8)
        stored = VideoReformatter().reformat(
            av.VideoFrame.from_ndarray(pixels, format="rgb24"),
            format="yuv420p",
            dst_colorspace=matrix,
            dst_color_range=colour_range,
        )
        stored.colorspace, stored.color_range = matrix, colour_range
        frame = VideoFrame(0, 0.0, stored, PictureConverter())
        assert difference(frame.rgb(), pixels) <= 3.0
        assert difference(decode_image(frame.jpeg(95), size_wh), pixels) <= 4.0


@pytest.mark.parametrize("pixel_format", ["rgb24", "gray", "yuv444p", "yuv422p", "nv12", "yuv420p10le", "yuvj420p"])
def test_any_pixel_format_becomes_a_jpeg(pixel_format: str, gradient: Callable[[int, int], Pixels]) -> None:
    stored = av.VideoFrame.from_ndarray(gradient(64, 48), format="rgb24").reformat(format=pixel_format)
    frame = VideoFrame(0, 0.0, stored, PictureConverter())
    decoded = decode_image(frame.jpeg(95), frame.size_wh)
    assert difference(decoded, frame.rgb()) < 4.0


def test_jpeg_quality_is_checked(gradient: Callable[[int, int], Pixels]) -> None:
    frame = VideoFrame(0, 0.0, av.VideoFrame.from_ndarray(gradient(16, 16), format="rgb24"), PictureConverter())
    with pytest.raises(ValueError, match="quality: got 0"):
        frame.jpeg(0)
    assert len(frame.jpeg(20)) < len(frame.jpeg(95))


@pytest.mark.parametrize(("codec", "extension"), CODECS)
def test_a_corrupt_packet_is_counted_and_reading_goes_on(
    record_video: Record, packet_ranges: Ranges, tmp_path: Path, codec: str, extension: str
) -> None:
    path = record_video(tmp_path / f"v.{extension}", codec)
    position, size = packet_ranges(path)[20]
    content = bytearray(path.read_bytes())
    content[position + 4 : position + size] = np.random.default_rng(1).bytes(size - 4)
    path.write_bytes(content)
    with open_video(path) as reader:
        frames = list(reader)
    assert len(frames) >= 38
    assert frames[-1].pts_s > 1.2
    assert reader.corrupt_packets >= 1
    assert not reader.truncated


@pytest.mark.parametrize(
    ("codec", "extension", "options"),
    [("mjpeg", "avi", {}), ("libx264", "mkv", {}), ("libx264", "mp4", {"movflags": "faststart"})],
)
def test_a_truncated_file_gives_what_is_there_and_says_so(
    record_video: Record, tmp_path: Path, codec: str, extension: str, options: dict[str, str]
) -> None:
    path = record_video(tmp_path / f"v.{extension}", codec, 60, **options)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with open_video(path) as reader:
        frames = list(reader)
    assert 10 < len(frames) < 50
    assert all(before.pts_s < after.pts_s for before, after in pairwise(frames))
    assert reader.truncated


def test_an_mp4_cut_before_its_index_cannot_be_opened(record_video: Record, tmp_path: Path) -> None:
    path = record_video(tmp_path / "v.mp4")
    path.write_bytes(path.read_bytes()[:-2000])
    assert refusal(path) == (
        f"video `{path}`: cannot open: invalid data found when processing input; the file is no video, or it is cut off"
    )


@pytest.mark.parametrize("content", [b"", b"hello", bytes(range(256)) * 64, b"\xff\xd8\xff" + bytes(500)])
def test_what_is_no_video_is_refused_in_one_line_and_in_silence(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    assert refusal(path).startswith(f"video `{path}`: ")
    assert "\n" not in refusal(path)
    assert tuple(capfd.readouterr()) == ("", "")


def test_text_is_not_taken_for_ansi_art(tmp_path: Path) -> None:
    path = tmp_path / "readme.txt"
    path.write_text("line\n" * 2000)
    assert "no video stream" in refusal(path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
    assert "no video stream: found audio" in refusal(path)


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    assert (
        refusal(tmp_path / "absent.mp4") == f"video `{tmp_path / 'absent.mp4'}`: cannot open: no such file or directory"
    )
    assert refusal(str(tmp_path)) == f"video `{tmp_path}`: cannot open: is a directory"


def test_a_playlist_on_disk_cannot_reach_the_network(tmp_path: Path) -> None:
    path = tmp_path / "v.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/secret.ts\n#EXT-X-ENDLIST\n")
    assert refusal(path).startswith(f"video `{path}`: ")


def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/live"
        with pytest.raises(MediaError) as caught:
            open_video(address, timeout_s=0.2)
    assert str(caught.value) == f"video `{address}`: cannot open: no data in time"


def test_credentials_never_reach_the_message() -> None:
    message = refusal("http://admin:s3cret@127.0.0.1:9/live?password=s3cret")
    assert message == "video `http://***@127.0.0.1:9/live?password=***`: cannot open: connection refused"


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://h/x", "pipe://0", "crypto://x"])
def test_other_schemes_are_refused(location: str) -> None:
    assert "scheme: got" in refusal(location)


def test_every_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="every: got 0, expected 1 or more"):
        open_video(tmp_path / "v.mp4", every=0)


def test_the_real_video_is_read_whole(testdata: Callable[[str], Path]) -> None:
    with open_video(testdata("hot-dog.mp4"), every=30) as reader:
        assert (reader.fps, reader.frame_count, reader.size_wh, reader.duration_s) == (30.0, 300, (640, 480), 10.0)
        frames = list(reader)
    assert [frame.index for frame in frames] == list(range(0, 300, 30))
    assert difference(decode_image(frames[3].jpeg(95), (640, 480)), frames[3].rgb()) < 3.0
    assert (reader.corrupt_packets, reader.truncated) == (0, False)
