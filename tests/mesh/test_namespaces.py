"""Three zippers, each in a network namespace of its own, with cables that are cut, half cut, slow or long."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.namespaces import Cable, Network, NotPermitted, left_behind, sweep
from tests.processes import ROOT, Command, Commands, assert_adds_up, poll

TEXT, RESULT, PLAIN = 0x10, 0x11, 0x20
PORT = 9900
NAMES = ("north", "south", "west")
# A lease of 2 s, then up to 2 s between attempts to connect, on a machine that is busy.
REPAIR_S = 40.0
PYTHONPATH = {"PYTHONPATH": str(ROOT)}

FUNCTION = """
    import sys, time
    from nearfield import StreamFunction

    upper = StreamFunction("upper", observe=[0x10], emit=[0x11])

    @upper
    def handle(context):
        time.sleep(0.01)
        context.emit(0x11, context.payload[:64].upper())
"""

# Sends so many frames at a pace, and ends when all are confirmed or given up. Each line it prints says what it counts.
SOURCE = """
    import json, sys, time
    from nearfield import Source
    from nearfield.source.pacing import Pacer

    name, zippers, mode, tag, count, fps, size = sys.argv[1:]
    pacer = Pacer(1 / float(fps))

    def say(event):
        counts = source.statistics()
        print(json.dumps({"event": event, "zipper": source.connection.zipper} | {
            key: getattr(counts, key)
            for key in ("offered", "sent", "released", "replaced", "unacknowledged", "resent")
        }), flush=True)

    with Source(name, zippers, tag=int(tag), mode=mode) as source:
        say("ready")
        for number in range(int(count)):
            time.sleep(pacer.wait_s(time.monotonic()))
            source.send((b"text %d" % number).ljust(int(size)))
            if number % 10 == 9:
                say("sent")
        assert source.flush(60)
        say("done")
"""

# A long line: everything sent to a port of this namespace goes to a zipper in another, and takes its time.
LONG_LINE = """
    import json, sys, time
    from tests.fault.relay import Line, Relay

    with Relay((sys.argv[1], int(sys.argv[2])), Line(delay_s=float(sys.argv[3]), loss=float(sys.argv[4]))) as relay:
        print(json.dumps({"event": "ready", "port": relay.port}), flush=True)
        while True:
            time.sleep(60)
"""


class Site:
    """A zipper in a namespace of its own, and the commands that run beside it, as its clients."""

    def __init__(self, name: str, inside: str, commands: Commands, programs: Path) -> None:
        self.name = name
        self.inside = inside
        self.commands = commands
        self.programs = programs

    def serve(self, peers: Sequence[str], *, mode: str = "complete") -> None:
        """Start the zipper, and something that reads its ledger ten times a second."""
        upper = {"name": "upper", "observe": [TEXT], "emit": [RESULT], "delivery": {"mode": mode}}
        content = {"name": self.name, "host": "0.0.0.0", "port": PORT, "peers": list(peers), "functions": [upper]}
        workflow = self.programs / f"{self.name}.yaml"
        workflow.write_text(yaml.safe_dump(content))
        self.zipper = self.start("serve", "-c", workflow).ready()
        self.top = self.start("top", "--interval", "0.1", "--zipper", f"localhost:{PORT}")

    def start(self, *arguments: str | Path) -> Command:
        return self.commands.start(*arguments, inside=self.inside, environment=PYTHONPATH)

    def run(self) -> Command:
        """Start an instance of the function."""
        return self.start("run", self.programs / "function.py", "--zipper", f"localhost:{PORT}").ready()

    def watch(self, tag: int = RESULT) -> Command:
        return self.start("watch", "--tag", hex(tag), "--dedupe", "--zipper", f"localhost:{PORT}").ready()

    def send(
        self,
        name: str,
        count: int,
        *,
        zippers: str = f"localhost:{PORT}",
        mode: str = "complete",
        tag: int = TEXT,
        fps: float = 50,
        size: int = 16,
    ) -> Command:
        """Start a source."""
        return self.start(
            self.programs / "source.py", name, zippers, mode, str(tag), str(count), str(fps), str(size)
        ).ready()

    def ledger(self) -> dict[str, Any]:
        """As it was asked for after this call."""
        seen = len(self.top.lines)
        # One may have been on its way when we were called.
        self.top.until(lambda: len(self.top.lines) > seen + 1, f"a ledger of `{self.name}`")
        ledger: dict[str, Any] = self.top.lines[-1]
        for group in ledger["groups"].values():
            assert_adds_up(group)
        return ledger

    def until(self, condition: Callable[[dict[str, Any]], object], expected: str) -> dict[str, Any]:
        """Wait until the ledger satisfies `condition`, and return it."""
        ledger: dict[str, Any] = {}

        def holds() -> object:
            ledger.clear()
            ledger.update(self.ledger())
            return condition(ledger)

        poll(holds, lambda: f"{expected} at `{self.name}`; ledger: {ledger}", timeout_s=REPAIR_S)
        return ledger

    def until_linked(self, *others: str) -> None:
        """Wait until it hears these other zippers, and only them."""
        self.until(lambda ledger: set(ledger["peers"]) == set(others), f"peers {others}")

    def until_offered(self, by: str) -> None:
        """Wait until it knows that another has instances."""
        self.until(lambda ledger: ledger["peers"].get(by, {}).get("free", {}).get("upper"), f"offer of `{by}`")

    def settled(self, before: Mapping[str, Any], received: int) -> dict[str, Any]:
        """Wait until so many frames more than in the ledger `before` have come, and every one's story is over.

        Returns:
            what was counted since: received, completed, forwarded, failed, dropped.
        """

        def is_settled(ledger: dict[str, Any]) -> bool:
            group = ledger["groups"]["upper"]
            enough = group["received"] - before["groups"]["upper"]["received"] >= received
            return enough and group["queued"] == group["in_flight"] == 0

        now = self.until(is_settled, f"{received} frames settled")["groups"]["upper"]
        then = before["groups"]["upper"]
        counts = {key: now[key] - then[key] for key in ("received", "completed", "forwarded", "from_peers")}
        for key in ("failed", "dropped"):
            counts[key] = sum(now[key].values()) - sum(then[key].values())
        return counts


class World:
    """Three sites with a cable between each two of them, and the place of a device with cables to two of them."""

    def __init__(self, network: Network, commands: Commands, programs: Path) -> None:
        self.network = network
        pairs = [("north", "south"), ("north", "west"), ("south", "west"), ("device", "north"), ("device", "south")]
        self.cables = {frozenset(pair): network.cable(*pair) for pair in pairs}
        self.north, self.south, self.west, self.device = (
            Site(name, network.namespace(name), commands, programs) for name in (*NAMES, "device")
        )
        self.sites = (self.north, self.south, self.west)

    def cable(self, first: str, second: str) -> Cable:
        return self.cables[frozenset((first, second))]

    def address(self, of: str, seen_from: str) -> str:
        return f"{self.cable(of, seen_from).address(of)}:{PORT}"

    def until_whole(self) -> None:
        """Wait until every zipper hears the two others."""
        for site in self.sites:
            site.until_linked(*(name for name in NAMES if name != site.name))


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    try:
        with Network() as network:
            network.namespace("trial")
            yield network
    except NotPermitted as missing:
        pytest.skip(f"network namespaces are not permitted here: {missing}")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    for name, text in (("function", FUNCTION), ("source", SOURCE), ("long_line", LONG_LINE)):
        lines = text.strip("\n").splitlines()
        (folder / f"{name}.py").write_text("\n".join(line[4:] for line in lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def standing(network: Network, module_commands: Commands, programs: Path) -> World:
    """A mesh of three; `north` and `south` have an instance each."""
    world = World(network, module_commands, programs)
    for site in world.sites:
        site.serve([world.address(name, site.name) for name in NAMES if name != site.name])
    world.north.run()
    world.south.run()
    return world


@pytest.fixture
def world(standing: World) -> Iterator[World]:
    """The mesh, whole before and after."""
    standing.until_whole()
    yield standing
    standing.network.mend()


def payloads(watch: Command) -> set[str]:
    return {line["text"] for line in watch.frames}


def texts(count: int) -> set[str]:
    return {f"TEXT {number}".ljust(16) for number in range(count)}


def end_of(source: Command) -> dict[str, Any]:
    """What a source counted in the end."""
    assert source.finish(REPAIR_S) == 0, source.describe()
    return source.event("done")


def nothing_lost(counts: Mapping[str, int], frames: int) -> bool:
    return counts["completed"] == counts["received"] >= frames and counts["failed"] == counts["dropped"] == 0


# ---- the mesh, with its cables cut


def test_a_zipper_that_is_cut_off_serves_its_own_clients_and_its_peers_go_on_without_it(world: World) -> None:
    before = {site.name: site.ledger() for site in world.sites}
    at_north, at_west = world.north.watch(), world.west.watch()
    own, others = world.north.send("own", 150), world.west.send("others", 150)
    own.until(lambda: own.lines[-1].get("sent", 0) >= 20, "20 frames")
    for other in ("south", "west"):
        world.cable("north", other).cut()
    world.north.until_linked()
    world.south.until_linked("west")
    for source in (own, others):
        end = end_of(source)
        assert end["released"] == end["sent"] == end["offered"] == 150
    # What `west` had handed to `north` is handled at `south`, and the other way round.
    assert nothing_lost(world.north.settled(before["north"], 150), 150)
    assert nothing_lost(world.west.settled(before["west"], 150), 150)
    at_north.until(lambda: texts(150) <= payloads(at_north), "every result of its own clients")
    world.network.mend()
    world.until_whole()
    world.north.send("again", 10)
    at_west.until(lambda: {line["origin"] for line in at_west.frames} >= {"again"}, "results cross the cable again")


def test_two_zippers_without_a_cable_between_them_reach_each_other_through_the_third(world: World) -> None:
    before = world.west.ledger()
    watch = world.west.watch()
    source = world.west.send("cam", 150)
    source.until(lambda: source.lines[-1].get("sent", 0) >= 20, "20 frames")
    world.cable("south", "west").cut()
    assert end_of(source)["released"] == 150
    assert nothing_lost(world.west.settled(before, 150), 150)
    watch.until(lambda: texts(150) <= payloads(watch), "every result")
    # `south` is still a peer of `west`, by way of `north`: nothing that is sent there runs in a circle or comes twice.
    world.until_whole()
    before, there = world.west.ledger(), world.south.ledger()
    assert end_of(world.west.send("more", 30))["released"] == 30
    assert nothing_lost(world.west.settled(before, 30), 30)
    assert world.west.ledger()["ingress"]["duplicates"] == before["ingress"]["duplicates"]
    assert set(there["peers"]) == {"north", "west"}


@pytest.mark.parametrize("silent", ["west", "north"], ids=["what-is-handed-over-is-lost", "what-is-reported-is-lost"])
def test_a_cable_that_carries_one_way_only_loses_nothing_of_a_complete_source(world: World, silent: str) -> None:
    before = world.west.ledger()
    watch = world.west.watch()
    source = world.west.send("cam", 150)
    source.until(lambda: source.lines[-1].get("sent", 0) >= 20, "20 frames")
    world.cable("north", "west").cut_from(silent)
    assert end_of(source)["released"] == 150
    assert nothing_lost(world.west.settled(before, 150), 150)
    watch.until(lambda: texts(150) <= payloads(watch), "every result")


def test_a_slow_cable_between_zippers_does_not_slow_the_clients_of_either(world: World) -> None:
    # 100 KB frames go from `west`, which has no instance, over cables that carry 5 of them a second each.
    for other in ("north", "south"):
        world.cable("west", other).limit("west", "4mbit")
    try:
        before = world.west.ledger(), world.north.ledger()
        large = world.west.send("large", 40, fps=40, size=100_000)
        local = end_of(world.north.send("local", 100, fps=100))
        assert local["released"] == 100
        assert large.status is None, "the frames on the slow cable should take longer"
        assert end_of(large)["released"] == 40
        here = world.west.settled(before[0], 40)
        assert nothing_lost(here, 40)
        assert here["forwarded"] >= 40
        assert nothing_lost(world.north.settled(before[1], 100), 100)
    finally:
        for other in ("north", "south"):
            world.cable("west", other).unlimit("west")


# ---- a device that reaches two of them


def test_a_complete_source_whose_cable_is_cut_goes_on_at_another_zipper_and_loses_nothing(world: World) -> None:
    watch = world.west.watch()
    both = ",".join(world.address(name, "device") for name in ("north", "south"))
    source = world.device.send("files", 200, zippers=both)
    source.until(lambda: source.lines[-1].get("sent", 0) >= 20, "20 frames")
    assert source.lines[-1]["zipper"] == "north"
    world.cable("device", "north").cut()
    end = end_of(source)
    assert (end["zipper"], end["offered"], end["sent"], end["released"]) == ("south", 200, 200, 200)
    watch.until(lambda: texts(200) <= payloads(watch), "a result of every frame")
    for site in (world.north, world.south):
        group = site.until(lambda ledger: ledger["groups"]["upper"]["queued"] == 0, "idle")["groups"]["upper"]
        assert group["dropped"] == group["failed"] == {}


def test_a_live_source_whose_cable_is_cut_loses_what_it_says_and_no_more(world: World) -> None:
    before = world.north.ledger()
    source = world.device.send("camera", 200, zippers=world.address("north", "device"), mode="live")
    source.until(lambda: source.lines[-1].get("sent", 0) >= 20, "20 frames")
    world.cable("device", "north").cut()
    source.until(lambda: source.lines[-1].get("replaced", 0) >= 30, "frames that give way to newer ones")
    world.cable("device", "north").mend()
    end = end_of(source)
    assert end["offered"] == end["sent"] + end["replaced"] == 200
    assert end["sent"] == end["released"] + end["unacknowledged"]
    counts = world.north.settled(before, end["released"])
    # What was given up may have arrived nevertheless.
    assert end["released"] <= counts["received"] <= end["sent"]
    assert nothing_lost(counts, end["released"])


# ---- far and near


def test_the_nearer_of_two_peers_with_free_instances_gets_the_frames(
    network: Network, commands: Commands, programs: Path
) -> None:
    """And a lossy line loses nothing: the far one is behind 2 % of loss too."""
    home, near, far = (Site(name, network.namespace(name), commands, programs) for name in ("home", "near", "far"))
    to_near, to_far = network.cable("home", "near"), network.cable("home", "far")
    line = home.start(programs / "long_line.py", to_far.address("far"), str(PORT), "0.04", "0.02").ready()
    for site in (near, far):
        site.serve([])
        site.run()
    home.serve([f"{to_near.address('near')}:{PORT}", f"localhost:{line.event('ready')['port']}"])
    for site in (near, far):
        home.until_offered(site.name)
    peers = home.ledger()["peers"]
    assert peers["far"]["round_trip_ms"] > 70 > peers["near"]["round_trip_ms"]
    before = home.ledger()
    assert end_of(home.send("one-by-one", 40, fps=20))["released"] == 40
    assert nothing_lost(home.settled(before, 40), 40)
    assert near.ledger()["groups"]["upper"]["from_peers"] == 40
    assert far.ledger()["groups"]["upper"]["from_peers"] == 0
    # More than the near one takes goes to the far one as well.
    assert end_of(home.send("too-many", 200, fps=400))["released"] == 200
    assert nothing_lost(home.settled(before, 240), 240)
    assert far.ledger()["groups"]["upper"]["from_peers"] > 0


def test_namespaces_of_a_run_that_was_killed_are_swept_away(network: Network, programs: Path) -> None:
    program = programs / "killed.py"
    program.write_text(
        "import json, time\nfrom tests.namespaces import Network\n"
        "with Network() as network:\n    print(json.dumps({'event': 'ready', 'name': network.namespace('left')}))\n"
        "    __import__('sys').stdout.flush()\n    time.sleep(60)\n"
    )
    killed = Command(program, environment=PYTHONPATH)
    try:
        name = killed.event("ready")["name"]
        os.kill(killed.pid, signal.SIGKILL)
        killed.finish()
        assert name in set(left_behind())
        assert network.namespace("trial") not in set(left_behind())
        sweep()
        assert name not in set(left_behind())
    finally:
        killed.close()
