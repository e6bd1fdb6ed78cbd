"""Damage while frames flow: the one frame fails and is counted, and the stream goes on."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from nearfield import Source
from nearfield.media import open_video
from tests.processes import BELT, PARTS, PARTS_LABELS, RECOGNISE, Commands, Node, copy_of, nearfield

MODEL = ("--model", PARTS, "--labels", PARTS_LABELS)


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    """A zipper with one instance that recognises parts."""
    node = module_commands.node([{"name": "recognise", "observe": ["0x10"], "delivery": {"mode": "complete"}}])
    node.run(RECOGNISE, "--name", "recognise", *MODEL)
    return node


def faststart(folder: Path) -> bytes:
    """The demonstration's video with its index at the front, so that a cut file can be played to the cut."""
    path = folder / "whole.mp4"
    with av.open(str(BELT)) as original, av.open(str(path), "w", options={"movflags": "faststart"}) as copied:
        stream = copied.add_stream_from_template(original.streams.video[0])
        for packet in original.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copied.mux(packet)
    return path.read_bytes()


def test_frames_that_are_no_jpeg_fail_alone_and_the_next_ones_are_right(node: Node) -> None:
    with open_video(BELT) as video:
        pictures = [picture.jpeg() for picture, _ in zip(video, range(10), strict=False)]
    cut = pictures[6][: len(pictures[6]) // 2]
    png = b"\x89PNG\r\n\x1a\n" + bytes(100)
    damaged = {2: b"", 3: b"this is no picture", 4: bytes(1000), 5: b"\xff\xd8\xff\xd9", 6: cut, 7: png}
    watch = node.watch("--tag", "0x11")
    before = node.group("recognise")
    with Source("camera", node.address, tag=0x10, mode="complete") as source:
        for number, picture in enumerate(pictures):
            source.send(damaged.get(number, picture))
    after = node.until_settled("recognise", before["received"] + len(pictures))
    assert after["completed"] - before["completed"] == len(pictures) - len(damaged)
    assert after["failed"] == {"reported": len(damaged)}
    assert after["dropped"] == before["dropped"] == {}
    watch.until(lambda: len(watch.frames) == len(pictures) - len(damaged), "results of the whole pictures")
    assert watch.sequences() == [number for number in range(10) if number not in damaged]
    assert {line["json"]["label"] for line in watch.frames} == {"empty"}
    (run,) = [command for command in node.commands.started if command.arguments[0] == "run"]
    assert "frame camera/2, tag 0x10" in run.stderr
    assert "Traceback" not in run.stderr
    assert [line["sequence"] for line in run.frames if line["error"]] == sorted(damaged)


def test_a_truncated_video_is_played_to_its_end_and_says_so(node: Node, tmp_path: Path) -> None:
    whole = faststart(tmp_path)
    video = tmp_path / "cut.mp4"
    video.write_bytes(whole[: len(whole) // 3])
    send = node.send(video, "--tag", "0x10", "--fps", "max", "--every", "5")
    assert send.finish() == 0
    ended = send.event("ended")
    assert ended["truncated"] is True
    assert 10 < ended["sent"] < 60
    assert ended["confirmed"] == ended["sent"]
    assert send.stderr == ""


def test_a_truncated_video_says_so_to_people_too(node: Node, tmp_path: Path) -> None:
    whole = faststart(tmp_path)
    video = tmp_path / "cut.mp4"
    video.write_bytes(whole[: len(whole) // 3])
    done = nearfield("send", video, "--tag", "0x10", "--every", "20", "--fps", "max", "--zipper", node.address)
    assert done.status == 0
    assert done.stdout.splitlines()[-1] == "`cut.mp4`: the file is truncated; what could be read was sent"
    assert done.stderr == ""


def test_a_video_damaged_in_the_middle_is_played_around_the_damage(node: Node, tmp_path: Path) -> None:
    def damage(content: bytes) -> bytes:
        middle = len(content) // 2
        return content[:middle] + b"\xa5" * 2_000 + content[middle + 2_000 :]

    (tmp_path / "whole").mkdir()
    (tmp_path / "belt.mp4").write_bytes(faststart(tmp_path / "whole"))
    (tmp_path / "damaged").mkdir()
    video = copy_of(tmp_path / "belt.mp4", tmp_path / "damaged", damage)
    send = node.send(video, "--tag", "0x10", "--fps", "max", "--every", "5")
    assert send.finish() == 0
    ended = send.event("ended")
    assert ended["truncated"] is False
    assert ended["corrupt_packets"] > 0
    assert ended["sent"] > 80
    assert send.stderr == ""
