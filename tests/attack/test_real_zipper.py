"""A hostile client at a served zipper, with the certificate of one tenant: what the other one notices of it.

A plain session of the engine, without anything of ours in between. Each attempt is made while the other tenant works,
and is over only when frames of the attacker's own, sent behind it, have arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import zenoh

from nearfield import Sink, Source
from nearfield.cli.top import ask_ledger
from nearfield.frame import Header
from nearfield.frame.control import PROTOCOL_VERSION, Ack, Capacity, Hello, JoinRequest, Report, encode
from nearfield.transport import Connection
from nearfield.transport.settings import client_settings, router_settings
from tests.attack.kit import Certificates, Heard, answers, config_of, fence, until
from tests.processes import Commands, poll
from tests.tenants import LABEL, Hall

TAG = 0x10
SMALL = Header(tag=TAG, stream=7, sequence=0, captured_ns=1, sent_ns=1)
FRAME = "nearfield/{}/frames/16/hall-1/{}/{}"


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    folder = tmp_path_factory.mktemp("hall")
    with Commands(folder) as commands:
        hall = Hall(commands, folder)
        program = folder / "label.py"
        program.write_text(LABEL)
        commands.start("run", program, *hall.options("dairy-developer")).ready()
        with hall.dial(None, "bakery") as connection:
            poll(lambda: ask_ledger(connection)["groups"]["label"]["instances"] == 1, "an instance")
        yield hall


@dataclass
class Dairy:
    """The tenant that is attacked, at work.

    Attributes:
        sink: of `dairy-office`, which sees everything of the dairy.
    """

    tank: Connection
    office: Connection
    sink: Sink
    worked: int = 0

    def works(self) -> None:
        """A frame is sent, handled, and its result received; nothing else is there."""
        before = ask_ledger(self.office)
        with Source("tank-cam", self.tank.retain(), tag=TAG, mode="complete") as source:
            results = source.results(10)
            self.worked += 1
            payload = b"milk %d" % self.worked
            source.send(payload)
            assert next(results).payload == b"dairy:" + payload
            assert source.flush(10)
        seen = sorted(frame.payload for _ in range(2) if (frame := self.sink.receive(10)) is not None)
        assert seen == [b"dairy:" + payload, payload]
        assert self.sink.receive(0.05) is None
        after = ask_ledger(self.office)
        assert after["epoch"] == before["epoch"]
        assert after["groups"]["label"]["completed"] == before["groups"]["label"]["completed"] + 1
        assert (after["groups"]["label"]["failed"], after["groups"]["label"]["dropped"]) == ({}, {})
        assert after["groups"]["label"]["instances"] == 1

    def rejected(self) -> dict[str, int]:
        rejected: dict[str, int] = ask_ledger(self.office)["ingress"]["rejected"]
        return rejected


@pytest.fixture
def dairy(hall: Hall) -> Iterator[Dairy]:
    with ExitStack() as stack:
        tank, office = (stack.enter_context(hall.dial(name)) for name in ("tank-cam", "dairy-office"))
        dairy = Dairy(tank, office, stack.enter_context(Sink(office.retain())))
        dairy.works()
        before = dairy.rejected()
        yield dairy
        dairy.works()
        assert dairy.rejected() == before, "something of the attacker's got to the dairy's dispatcher"


@pytest.fixture
def hostile(hall: Hall) -> Iterator[zenoh.Session]:
    """A plain session with the certificate of `oven-cam`, which may send tag 0x10 in the bakery as itself."""
    settings = client_settings([f"quic/{hall.address}"], hall.identities["oven-cam"])
    with zenoh.open(config_of(settings)) as session:
        yield session


def bakery(hall: Hall) -> dict[str, Any]:
    """The ledger of the attacker's own tenant, as the zipper's user sees it."""
    with hall.dial(None, "bakery") as connection:
        return ask_ledger(connection)


def hellos(session: zenoh.Session) -> str:
    """Where the zipper is asked who it is."""
    (router,) = session.info.routers_zid()
    return f"nearfield/{{}}/hello/{router}"


def test_nothing_of_the_other_tenant_is_seen(hall: Hall, hostile: zenoh.Session, dairy: Dairy) -> None:
    heard = Heard()
    for key in (
        "**",
        "nearfield/**",
        "nearfield/dairy/**",
        "nearfield/*/frames/**",
        "nearfield/dairy/frames/*/*/*/*",
        "nearfield/dairy/state/hall-1",
        "nearfield/dairy/acks/*/*",
        "nearfield/dairy/dispatch/**",
        "nearfield/dairy/reports/**",
        "nearfield/dairy/capacity/*",
    ):
        hostile.declare_subscriber(key, heard)
    for key in ("**", "nearfield/dairy/alive/**", "nearfield/*/zippers/*"):
        hostile.liveliness().declare_subscriber(key, heard, history=True)
    fence(hostile)
    dairy.works()
    fence(hostile)
    # Its own namespace's state alone: the zipper says it each second.
    assert [key for key in heard.keys if "/dairy/" in key] == []
    assert {key for key in heard.keys if key.startswith("nearfield/bakery/")} <= {"nearfield/bakery/state/hall-1"}


def test_nothing_of_the_other_tenant_is_answered(hall: Hall, hostile: zenoh.Session, dairy: Dairy) -> None:
    hello = hellos(hostile)
    assert len(answers(hostile, hello.format("bakery"))) == 1  # it may ask, in its own
    join = encode(JoinRequest(protocol=PROTOCOL_VERSION, function="label", instance="forged", observe=[TAG]))
    for key in (
        hello.format("dairy"),
        "nearfield/dairy/hello/*",
        "nearfield/*/hello/*",
        "nearfield/dairy/rights/hall-1/oven-cam",
        "nearfield/dairy/rights/hall-1/tank-cam",
        "nearfield/dairy/ledger/hall-1",
        "nearfield/bakery/ledger/hall-1",  # of its own, for which it has no right
        "nearfield/bakery/rights/hall-1/gateway",
        "nearfield/bakery/rights/hall-1/*",
        "nearfield/*/rights/hall-1/oven-cam",
        "nearfield/**",
        "**",
    ):
        assert answers(hostile, key) == [], key
        for function in ("dairy", "bakery"):
            replies = hostile.get(f"nearfield/{function}/join/hall-1/label", payload=join, timeout=5)
            assert [reply for reply in replies if reply.ok is not None] == []
    assert list(hostile.liveliness().get("nearfield/**", timeout=5)) == []
    pages = [str(reply.ok.key_expr) for reply in hostile.get("@/**", timeout=5) if reply.ok is not None]
    assert [page for page in pages if not page.startswith(f"@/{hostile.info.zid()}/")] == []  # its own session's
    assert bakery(hall)["groups"]["label"]["instances"] == 1


def own_frame(hostile: zenoh.Session, sequence: int, by: Callable[[], int], payload: bytes = b"bread") -> None:
    """What is sent behind everything else, and counted when it arrives."""
    before = by()
    header = Header(tag=TAG, stream=7, sequence=sequence, captured_ns=1, sent_ns=1)
    hostile.put(FRAME.format("bakery", "oven-cam", "-"), payload, attachment=header.encode())
    until(lambda: by() == before + 1, "its own frame")


def test_nothing_gets_to_the_other_tenant_or_in_another_s_name(
    hall: Hall, hostile: zenoh.Session, dairy: Dairy
) -> None:
    with hall.dial(None, "bakery") as mine, Sink(mine.retain()) as everything:

        def received() -> int:
            group = ask_ledger(mine)["groups"]["label"]
            return int(group["received"])

        before, accounts = received(), set(ask_ledger(mine)["groups"]["label"]["sources"])
        good = SMALL.encode()
        forged: dict[str, bytes] = {
            # posing as another origin, zipper, function; another tag; many keys at once
            FRAME.format("bakery", "shelf-1", "-"): good,
            FRAME.format("bakery", "gateway", "-"): good,
            FRAME.format("bakery", "*", "-"): good,
            FRAME.format("bakery", "oven-cam", "label"): good,
            FRAME.format("bakery", "oven-cam", "*"): good,
            "nearfield/bakery/frames/17/hall-1/oven-cam/-": good,
            "nearfield/bakery/frames/*/hall-1/oven-cam/-": good,
            "nearfield/bakery/frames/16/hall-2/oven-cam/-": good,
            "nearfield/bakery/**": good,
            # the other tenant
            FRAME.format("dairy", "tank-cam", "-"): good,
            FRAME.format("dairy", "oven-cam", "-"): good,
            FRAME.format("dairy", "tank-cam", "label"): good,
            FRAME.format("*", "oven-cam", "-"): good,
            "nearfield/*/frames/16/hall-1/*/-": good,
            "**": good,
        }
        for namespace in ("bakery", "dairy"):
            state = Hello(protocol=PROTOCOL_VERSION, zipper="hall-1", epoch=1, observed=[])
            ack = Ack(stream=1, epoch=1, released=[(0, 1000)])
            report = Report(instance="label/x", epoch=1, received=10**6, holding=[])
            capacity = Capacity(protocol=PROTOCOL_VERSION, zipper="hall-9", epoch=1, stamp_ns=1)
            messages = {
                "state/hall-1": encode(state),
                "acks/hall-1/tank-cam": encode(ack),
                "reports/hall-1/label/x": encode(report),
                "reports/hall-1/label/*": encode(report),
                "capacity/hall-9": encode(capacity),
                "dispatch/hall-1/label/*": b"",
                "forward/hall-1/hall-9/label": b"x",
                "forwarded/hall-1/hall-9": encode(report),
            }
            for key, message in messages.items():
                hostile.put(f"nearfield/{namespace}/{key}", message, attachment=good)
        for key, attachment in forged.items():
            hostile.put(key, b"forged", attachment=attachment)
            hostile.delete(key)
        tokens = [
            hostile.liveliness().declare_token(key)
            for key in (
                "nearfield/dairy/alive/hall-1/label/x",
                "nearfield/bakery/zippers/hall-9",
                "nearfield/dairy/zippers/hall-9",
            )
        ]
        own_frame(hostile, 1, received)
        assert received() == before + 1
        assert set(ask_ledger(mine)["groups"]["label"]["sources"]) <= accounts | {"oven-cam"}
        assert "hall-9" not in ask_ledger(mine)["peers"]
        payloads = [frame.payload for _ in range(2) if (frame := everything.receive(10)) is not None]
        assert sorted(payloads) == [b"BREAD", b"bread"]
        assert everything.receive(0.1) is None
        del tokens


def test_broken_messages_under_its_own_key_are_counted_at_its_own_door(
    hall: Hall, hostile: zenoh.Session, dairy: Dairy
) -> None:
    with hall.dial(None, "bakery") as mine:
        before = ask_ledger(mine)["ingress"]["rejected"].get("malformed", 0)
        header = SMALL.encode()
        broken = [
            b"",
            b"\0",
            header[:-1],
            b"\xff" * len(header),
            b"x" * 60_000,
            Header(tag=TAG + 1, stream=1, sequence=0, captured_ns=1, sent_ns=1).encode(),
        ]
        for attachment in broken:
            hostile.put(FRAME.format("bakery", "oven-cam", "-"), b"x", attachment=attachment)
        until(
            lambda: ask_ledger(mine)["ingress"]["rejected"].get("malformed", 0) == before + len(broken), "all refused"
        )
        # Far beyond what it may send: gone at the router; a frame behind it arrives.
        hostile.put(FRAME.format("bakery", "oven-cam", "-"), bytes(4 * 2**20), attachment=header)
        own_frame(hostile, 2, lambda: int(ask_ledger(mine)["groups"]["label"]["received"]))


def test_flood_does_not_keep_the_other_tenant_from_working(hall: Hall, hostile: zenoh.Session, dairy: Dairy) -> None:
    sent = 0
    for _ in range(10):
        for _ in range(200):
            sent += 1
            header = Header(tag=TAG, stream=8, sequence=sent, captured_ns=1, sent_ns=1)
            hostile.put(FRAME.format("bakery", "oven-cam", "-"), bytes(1_000), attachment=header.encode())
        dairy.works()


def test_client_that_poses_as_a_zipper_gets_nothing_of_anybody(hall: Hall, dairy: Dairy) -> None:
    settings = router_settings([], hall.identities["oven-cam"], [f"quic/{hall.address}"])
    with zenoh.open(config_of(settings | {"listen/endpoints": []})) as session:
        until(lambda: list(session.info.routers_zid()), "connected")
        heard = Heard()
        session.declare_subscriber("nearfield/**", heard)
        session.declare_queryable(
            "nearfield/**", lambda query: heard.samples.append((str(query.key_expr), b"", "query"))
        )
        fence(session)
        dairy.works()
        capacity = Capacity(protocol=PROTOCOL_VERSION, zipper="hall-2", epoch=1, stamp_ns=1)
        session.put("nearfield/dairy/capacity/hall-2", encode(capacity))
        session.put(FRAME.format("dairy", "tank-cam", "-"), b"forged", attachment=SMALL.encode())
        fence(session)
        dairy.works()
    assert {key for key in heard.keys if "/dairy/" in key} <= {
        "nearfield/dairy/capacity/hall-2",  # its own
        FRAME.format("dairy", "tank-cam", "-"),
    }
    assert "hall-2" not in ask_ledger(dairy.office)["peers"]


def test_nobody_without_a_certificate_of_this_zipper_gets_in(hall: Hall, dairy: Dairy, tmp_path: Path) -> None:
    foreign = Certificates(tmp_path).issue("tank-cam")
    with pytest.raises(zenoh.ZError):
        zenoh.open(config_of(client_settings([f"quic/{hall.address}"], foreign)))
