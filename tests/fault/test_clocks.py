"""Wall clocks that are set while frames flow, and machines whose monotonic clocks have nothing in common."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.fault.traffic import COMPLETE, LIVE, ROUTES, Results, Traffic, until_settled
from tests.processes import BELT, Commands, Node, command_line, environment_with, free_port, poll

HOUR_NS = 3_600 * 10**9


class WallClock:
    """The wall clock of the processes that are started with `environment`, in nanoseconds from the real one."""

    def __init__(self, library: Path, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.shift"
        self.set(0)
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK_SHIFT": str(self._path)}

    def set(self, shift_ns: int) -> None:
        with self._path.open("r+b" if self._path.exists() else "wb") as file:
            file.write(struct.pack("=q", shift_ns))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build the shifted clock with")
    target = tmp_path_factory.mktemp("clock") / "wall_clock.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", target, Path(__file__).with_name("wall_clock.c")], check=True
    )
    return target


def test_wall_clocks_that_jump_change_nothing(commands: Commands, library: Path, tmp_path: Path) -> None:
    clocks = {name: WallClock(library, tmp_path, name) for name in ("zipper", "instance", "source")}
    workflow = tmp_path / "workflow.yaml"
    port = free_port()
    # Whoever compared clocks would find every frame too old, or none.
    more = {COMPLETE: {}, LIVE: {"delivery": {"max_age": "2s"}}}
    functions = [route.entry(**more[route]) for route in ROUTES]
    workflow.write_text(yaml.safe_dump({"name": "node", "host": "127.0.0.1", "port": port, "functions": functions}))
    serve = commands.start("serve", "-c", workflow, environment=clocks["zipper"].environment).ready()
    node = Node(commands, serve, f"127.0.0.1:{port}")
    apps = [
        commands.start("run", route.app(tmp_path), "--zipper", node.address, environment=clocks["instance"].environment)
        for route in ROUTES
    ]
    for app in apps:
        app.ready()
    with Traffic(COMPLETE, node.address) as complete, Traffic(LIVE, node.address) as live:
        sends = {
            route: commands.start(
                *("send", BELT, "--tag", hex(route.tag), "--every", "3", "--fps", "50", "--name", "belt"),
                *(["--live"] if route is LIVE else []),
                *("--zipper", node.address),
                environment=clocks["source"].environment,
            )
            for route in ROUTES
        }
        with Results(node.address, COMPLETE.result) as results:
            for number, (name, hours) in enumerate(
                [("zipper", 5), ("instance", -7), ("source", 3), ("source", -30)], 1
            ):
                poll(lambda number=number: len(results.seen("belt")) > 20 * number, "results")  # type: ignore[misc]
                clocks[name].set(hours * HOUR_NS)
            for route, send in sends.items():
                assert send.finish() == 0
                ended = send.event("ended")
                entry = until_settled(node, route, "belt")
                assert ended["sent"] + ended["replaced"] == 150
                assert ended["confirmed"] == ended["sent"] == entry["received"]
                # A picture that is captured before the clock is set and sent after it looks hours old, once.
                assert route is LIVE or entry["dropped"] == {}
                assert entry["dropped"].get("stale", 0) <= 2
                assert entry["completed"] == entry["received"] - sum(entry["dropped"].values())
            poll(lambda: len(results.seen("belt")) == 150, "a result of every frame")
            captured = [frame.header.captured_ns for frame in results.frames if frame.origin == "belt"]
            assert max(captured) - min(captured) > 30 * HOUR_NS, "the clock did jump"
        complete.account(node).lost_nothing()
        account = live.account(node)
        account.losses_are_counted()
        assert account.dropped.keys() <= {"overflow"}, "nothing is stale"
    node.close()


def unshare(seconds: int) -> list[str]:
    """What starts a process whose monotonic clock is so many seconds ahead."""
    prefix = ["unshare", "--time", "--monotonic", str(seconds), "--boottime", str(seconds), "--"]
    program = shutil.which("unshare")
    if program is None:
        pytest.skip("no `unshare`")
    done = subprocess.run(
        [*prefix, sys.executable, "-c", "import time; print(time.monotonic())"], capture_output=True, text=True
    )
    if done.returncode or abs(float(done.stdout) - time.monotonic() - seconds) > 60:
        pytest.skip(f"time namespaces are not permitted here: {done.stderr.strip()}")
    return prefix


def test_monotonic_clocks_of_other_machines_change_nothing(commands: Commands, tmp_path: Path) -> None:
    """An instance in a time namespace, where the monotonic clock is a month ahead."""
    prefix = unshare(30 * 86_400)
    more = {COMPLETE: {}, LIVE: {"delivery": {"max_age": "2s"}}}
    node = commands.node([route.entry(**more[route]) for route in ROUTES])
    apps = [
        subprocess.Popen(
            [*prefix, *command_line(["run", str(route.app(tmp_path)), "--zipper", node.address])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment_with({}),
        )
        for route in ROUTES
    ]
    try:
        for route in ROUTES:
            node.until_instances(route.function, 1)
        with Traffic(COMPLETE, node.address) as complete, Traffic(LIVE, node.address) as live:
            for traffic in (complete, live):
                traffic.until_more(50)
            complete.account(node).lost_nothing()
            account = live.account(node)
            account.losses_are_counted()
            assert account.dropped.keys() <= {"overflow"}, "nothing is stale"
    finally:
        for app in apps:
            app.terminate()
        for app in apps:
            app.wait(30)
