"""The kernel's own rate limit (`tc tbf`) between two network namespaces, without our relay: live frames stay fresh."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.namespaces import Cable, Network, NotPermitted
from tests.processes import environment_with

# A zipper with one function, and a sink, in one process.
NODE = """
    import json, statistics, sys, threading
    from nearfield import Sink, StreamFunction
    from nearfield.transport import Address, StateDirectory, ensure_server_certificate
    from nearfield.zipper import GroupPolicy, Zipper, ZipperSettings

    host, port = sys.argv[1], int(sys.argv[2])
    zipper = Zipper(
        ZipperSettings(
            name="node",
            namespace="default",
            listen=[Address(host, port)],
            identity=ensure_server_certificate(StateDirectory.from_environment(), [host]),
            policies=[GroupPolicy("work", frozenset({0x10}), queue=64)],
        )
    )
    zipper.start()
    ages = []
    with Sink(f"{host}:{port}", [0x10]) as sink, StreamFunction("work", f"{host}:{port}", handler=lambda context: None):
        def gather():
            for frame in sink:
                ages.append(sink.latency_ns(frame) / 1e9)

        threading.Thread(target=gather, daemon=True).start()
        print("ready", flush=True)
        for _ in sys.stdin:
            group = zipper.ledger()["groups"]["work"]
            print(json.dumps([statistics.median(ages) if ages else 0, len(ages), group]), flush=True)
            ages.clear()
    zipper.close()
"""

CAMERA = """
    import sys, time
    from nearfield import Source
    from nearfield.source.pacing import Pacer

    address, window = sys.argv[1], int(sys.argv[2]) or None
    pacer = Pacer(1 / 45)
    with Source("camera", address, tag=0x10, window=window) as source:
        for _ in range(180):
            time.sleep(pacer.wait_s(time.monotonic()))
            source.send(bytes(200_000))
        source.flush(10)
        counts = source.statistics()
        assert counts.offered == counts.sent + counts.replaced == 180, counts
        assert counts.sent == counts.released + counts.unacknowledged, counts
"""


@pytest.fixture
def cable() -> Iterator[Cable]:
    """From a camera to a node; the camera's end sends 50 Mbit/s at most, with 200 ms of buffer."""
    try:
        with Network() as network:
            cable = network.cable("camera", "node")
            cable.limit("camera", "50mbit")
            yield cable
    except NotPermitted as missing:
        pytest.skip(f"network namespaces with `tc tbf` are not permitted here: {missing}")


def test_live_frames_on_a_line_that_the_kernel_limits_are_less_than_half_as_old_as_with_a_large_window(
    cable: Cable, tmp_path: Path
) -> None:
    node_program, camera_program = tmp_path / "node.py", tmp_path / "camera.py"
    node_program.write_text(textwrap.dedent(NODE))
    camera_program.write_text(textwrap.dedent(CAMERA))
    host, port = cable.address("node"), "9900"
    inside = {name: ["ip", "netns", "exec", end.namespace] for name, end in cable.ends.items()}
    node = subprocess.Popen(
        [*inside["node"], sys.executable, node_program, host, port],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment_with({}),
    )
    try:
        assert node.stdin is not None
        assert node.stdout is not None
        assert node.stdout.readline() == "ready\n"
        medians = []
        for window in (0, 64):
            film = [*inside["camera"], sys.executable, camera_program, f"{host}:{port}", str(window)]
            done = subprocess.run(film, capture_output=True, text=True, timeout=60, env=environment_with({}))
            assert done.returncode == 0, done.stderr
            node.stdin.write("ages\n")
            node.stdin.flush()
            median, count, group = msgspec.json.decode(node.stdout.readline())
            assert count > 30
            settled = group["completed"] + sum(group["failed"].values()) + sum(group["dropped"].values())
            assert group["received"] == settled + group["queued"] + group["in_flight"]
            medians.append(median)
        own, large = medians
        assert own < large / 2, f"{own * 1e3:.0f} ms with one or two frames on their way, {large * 1e3:.0f} ms with 64"
    finally:
        node.stdin.close()  # type: ignore[union-attr]
        try:
            node.wait(20)
        finally:
            node.kill()
            node.stdout.close()  # type: ignore[union-attr]
