"""What access control costs, and how long changing it takes: `python -m benchmarks.bench_access`.

Rights are settings of the router's session, so changing them means opening it anew: clients are cut off, and connect
again by themselves. Router and clients are processes of their own; rules with and without run in turn.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import zenoh
from cryptography import x509
from cryptography.x509.oid import NameOID

from benchmarks.measure import describe_machine
from nearfield.frame.control import PROTOCOL_VERSION, Hello, encode
from nearfield.frame.rights import ALL, FunctionRight, Right
from nearfield.transport import (
    Address,
    Connection,
    Identity,
    StateDirectory,
    connect,
    ensure_local_identity,
    ensure_server_certificate,
)
from nearfield.transport.access_control import access_settings
from nearfield.transport.settings import client_settings, router_settings
from tests.processes import free_port

ROUNDS = 5
MESSAGES = 20_000
PAYLOAD = b"x" * 64
# With the congestion control that we use, messages are lost when they come too fast: 20,000 a second at most.
BURST, PAUSE_S = 100, 0.005
KEY = "nearfield/default/frames/16/line-1/me/-"
OTHERS = 100
TICK = "nearfield/default/frames/17/line-1/me/f"
TICK_S = 0.005
CLIENTS = (1, 20)
REOPENINGS = 5
MAX_PAYLOAD_BYTES = 16 * 2**20


def rights_for(me: str, others: int) -> list[Right]:
    """Those of one identity that does everything here, and of many that are only in the rules."""
    mine = Right(
        "default", me, send=frozenset({16}), origins=("me",), functions=(FunctionRight("end"),), observe=frozenset({17})
    )
    rest = [Right("default", f"other-{n}", send=ALL, origins=(f"other-{n}",), observe=ALL) for n in range(others)]
    return [mine, *rest]


def variants(me: str) -> dict[str, dict[str, Any]]:
    """Settings of the router, by what they show."""
    few = access_settings(rights_for(me, 0), "line-1", max_payload_bytes=MAX_PAYLOAD_BYTES)
    many = access_settings(rights_for(me, OTHERS), "line-1", max_payload_bytes=MAX_PAYLOAD_BYTES)
    return {
        "none": {},
        "access control alone": {"access_control": few["access_control"]},
        "sizes and congestion control as well": few,
        f"{OTHERS} other identities as well": many,
    }


@dataclass
class Certificates:
    """Of this run alone."""

    server: Identity
    client: Identity
    name: str

    @classmethod
    def make(cls, folder: Path) -> Certificates:
        state = StateDirectory(folder)
        client = ensure_local_identity(state)
        subject = x509.load_pem_x509_certificate(client.certificate_path.read_bytes()).subject
        name = str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        return cls(ensure_server_certificate(state), client, name)


def config_of(settings: dict[str, Any]) -> zenoh.Config:
    config = zenoh.Config()
    for path, value in settings.items():
        config.insert_json5(path, json.dumps(value))
    return config


def open_router(certificates: Certificates, port: int, access: dict[str, Any]) -> zenoh.Session:
    """Tries for as long as the port is still taken."""
    config = config_of(router_settings([f"quic/127.0.0.1:{port}"], certificates.server) | access)
    while True:
        try:
            return zenoh.open(config)
        except zenoh.ZError:
            time.sleep(0.01)


def used_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


# ---- what a message costs


def route(pipe: Pipe, certificates: Certificates, port: int, access: dict[str, Any]) -> None:
    """A router in a process of its own: says what processor time it used, whenever it is asked."""
    with open_router(certificates, port, access):
        pipe.send("ready")
        while pipe.recv():
            pipe.send(used_cpu_s())


def cost_us(certificates: Certificates, access: dict[str, Any]) -> float:
    """Processor time of the router for one message from a client to another."""
    port = free_port()
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=route, args=(its, certificates, port, access), daemon=True)
    process.start()
    ours.recv()
    config = config_of(client_settings([f"quic/localhost:{port}"], certificates.client))
    arrived = 0

    def count(sample: zenoh.Sample) -> None:
        nonlocal arrived
        arrived += 1

    with zenoh.open(config) as sender, zenoh.open(config) as receiver:
        receiver.declare_subscriber("nearfield/default/frames/*/*/me/*", count)
        list(receiver.liveliness().get("nearfield/settled", timeout=2.0))
        ours.send(True)
        before = ours.recv()
        for number in range(MESSAGES):
            sender.put(KEY, PAYLOAD, congestion_control=zenoh.CongestionControl.BLOCK_FIRST)
            if number % BURST == 0:
                time.sleep(PAUSE_S)
        before_pause = -1
        while arrived > before_pause:  # a few are lost
            before_pause = arrived
            time.sleep(0.2)
        ours.send(True)
        used_s: float = ours.recv() - before
    ours.send(False)
    process.join()
    return used_s / arrived * 1e6


def measure_costs(certificates: Certificates) -> None:
    candidates = variants(certificates.name)
    rounds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, access in candidates.items():
            rounds[name].append(cost_us(certificates, access))
    print(f"\nprocessor time of the router for a message of {len(PAYLOAD)} bytes, client to client, {ROUNDS} rounds")
    for name, costs in rounds.items():
        ratio = statistics.median(cost / none for cost, none in zip(costs, rounds["none"], strict=True))
        print(f"  {name:38} {statistics.median(costs):6.2f} us   {ratio:.2f} x")


# ---- how long opening anew takes


@dataclass
class Watched:
    """One client's view: when ticks came, and when it knew that it was connected anew."""

    connection: Connection
    ticks: list[float] = field(default_factory=list)
    news: list[float] = field(default_factory=list)


def watch(pipe: Pipe, certificates: Certificates, port: int, count: int) -> None:
    """Clients in a process of their own."""
    clients = [Watched(connect([Address("localhost", port)], certificates.client)) for _ in range(count)]
    for client in clients:
        note = client.ticks.append
        client.connection.session.subscribe(TICK, lambda *_, note=note: note(time.monotonic()))
        client.connection.watch(
            lambda _, is_new, client=client: client.news.append(time.monotonic()) if is_new else None
        )
    pipe.send("ready")
    while pipe.recv():
        pipe.send([(list(client.ticks), list(client.news)) for client in clients])
    for client in clients:
        client.connection.close()


@contextmanager
def ticking(current: Callable[[], zenoh.Session]) -> Iterator[None]:
    """Publishes all the time, on whatever session there is."""
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(TICK_S):
            try:
                current().put(TICK, b"")
            except zenoh.ZError:
                continue

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    yield
    ended.set()
    thread.join()


def open_zipper(certificates: Certificates, port: int) -> zenoh.Session:
    session = open_router(
        certificates,
        port,
        access_settings(rights_for(certificates.name, 0), "line-1", max_payload_bytes=MAX_PAYLOAD_BYTES),
    )
    hello = encode(Hello(protocol=PROTOCOL_VERSION, zipper="line-1", epoch=1, observed=[]))

    def answer(query: zenoh.Query) -> None:
        with query:
            query.reply(query.key_expr, hello)

    session.declare_queryable(f"nearfield/default/hello/{session.info.zid()}", answer)
    return session


def measure_gaps(certificates: Certificates, count: int) -> None:
    port = free_port()
    session = open_zipper(certificates, port)
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=watch, args=(its, certificates, port, count), daemon=True)
    process.start()
    ours.recv()
    gaps: list[float] = []
    known: list[float] = []
    away: list[float] = []
    with ticking(lambda: session):
        for _ in range(REOPENINGS):
            time.sleep(1.0)
            began_at = time.monotonic()
            session.close()
            session = open_zipper(certificates, port)
            away.append(time.monotonic() - began_at)
            time.sleep(4.0)
            ours.send(True)
            for ticks, news in ours.recv():
                around = [at for at in ticks if at > began_at - 0.5]
                gaps.append(max(late - early for early, late in itertools.pairwise(around)))
                known.append(min((at for at in news if at > began_at), default=float("nan")) - began_at)
    ours.send(False)
    process.join()
    session.close()
    print(f"\n{count} clients, session opened anew {REOPENINGS} times, ms: median, longest")
    for name, values in (("router away", away), ("no frame for", gaps), ("client knows after", known)):
        print(f"  {name:20} {statistics.median(values) * 1e3:6.0f} {max(values) * 1e3:6.0f}")


def main() -> None:
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        certificates = Certificates.make(Path(folder))
        for count in CLIENTS:
            measure_gaps(certificates, count)
        measure_costs(certificates)


if __name__ == "__main__":
    main()
