"""Acknowledgements by hand, over a real session: repeated, reordered, stale, of the future, for another stream."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from nearfield import Context, Sink, Source, StreamFunction
from nearfield.frame import keys
from nearfield.frame.control import Ack, encode
from nearfield.transport import Lane
from tests.fault.traffic import COMPLETE, LIVE, ROUTES, until_settled
from tests.processes import Commands, Node, poll


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    return module_commands.node([route.entry() for route in ROUTES])


@dataclass
class Gate:
    """A handler that is held up until the gate is opened."""

    opened: threading.Event = field(default_factory=threading.Event)

    def __call__(self, context: Context) -> None:
        self.opened.wait(60)
        context.emit(COMPLETE.result, context.payload)


@pytest.fixture
def gate(node: Node) -> Iterator[Gate]:
    gate = Gate()
    with StreamFunction(COMPLETE.function, node.address, handler=gate):
        yield gate
        gate.opened.set()


def acknowledge(node: Node, source: Source, *released: int, stream: int | None = None, epoch: int = 1) -> None:
    """Say that frames are released, as their zipper would, and wait until the source has heard it."""
    heard = threading.Event()
    key = keys.acks(node.connection.namespace, node.connection.zipper, source.name)
    watch = source.connection.session.subscribe(key, lambda *_: heard.set())
    ack = Ack(
        stream=source.stream if stream is None else stream,
        epoch=epoch,
        released=[(number, number) for number in released],
    )
    node.connection.session.publish(key, encode(ack), lane=Lane.CONTROL)
    assert heard.wait(10)
    watch.close()


def test_acknowledgements_that_come_twice_late_early_or_for_others_make_a_complete_source_forget_nothing(
    node: Node, gate: Gate
) -> None:
    with (
        Sink(node.address, [COMPLETE.result]) as sink,
        Source("hand", node.address, tag=0x10, mode="complete") as source,
    ):
        for number in range(6):
            source.send(b"%d" % number)
        poll(lambda: node.group("audit")["received"] == 6, "all arrived")
        assert source.in_flight == 6
        acknowledge(node, source, 0, 1, 2, 3, 4, 5, stream=source.stream + 1)
        acknowledge(node, source, 6, 7, 8, 2**64 - 1)
        acknowledge(node, source)
        assert (source.in_flight, source.statistics().released) == (6, 0)
        # Those of the future did not release what was sent only then.
        for number in range(6, 9):
            source.send(b"%d" % number)
        assert (source.in_flight, source.statistics().released) == (9, 0)
        # Late, then twice, then an older one after a newer one.
        acknowledge(node, source, 3)
        acknowledge(node, source, 3, 3)
        acknowledge(node, source, 1, 3, 5)
        acknowledge(node, source, 1, 3)
        poll(lambda: source.in_flight == 6, "three frames released, each once")
        assert source.statistics().released == 3
        gate.opened.set()
        assert source.flush(30)
        counts = source.statistics()
        assert (counts.offered, counts.sent, counts.released, counts.unacknowledged) == (9, 9, 9, 0)
        entry = until_settled(node, COMPLETE, "hand")
        assert (entry["received"], entry["completed"], entry["failed"], entry["dropped"]) == (9, 9, {}, {})
        assert {frame.sequence for frame in (sink.receive(10) for _ in range(9)) if frame} == set(range(9))


def test_acknowledgement_of_a_frame_that_a_live_source_gave_up_before_counts_for_nothing(node: Node) -> None:
    with Source("camera", node.address, tag=LIVE.tag) as source:
        node.serve.send_signal(signal.SIGSTOP)
        try:
            source.send(b"given up")
            poll(lambda: source.statistics().unacknowledged == 1, "given up")
        finally:
            node.serve.send_signal(signal.SIGCONT)
        poll(lambda: node.group(LIVE.function)["received"] == 1, "it arrived nevertheless")
        acknowledge(node, source, 0)
        source.send(b"next")
        assert source.flush(30)
        counts = source.statistics()
        assert (counts.offered, counts.sent, counts.released, counts.unacknowledged) == (2, 2, 1, 1)
        group = node.group(LIVE.function)
        assert (group["received"], group["queued"]) == (2, 2)
