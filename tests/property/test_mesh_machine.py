"""Three dispatchers that hand frames to each other, over lines that delay and lose, with zippers that start anew.

Lines keep messages in order, as the engine's do, but any of them may be lost. Sources send again what was not released
to a zipper that lost its memory. Whatever happens: every ledger adds up, no frame is handed on twice, nothing is
released before it was handled, order is kept where it matters, and once all is quiet, all has been handled.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nearfield.clock import ManualClock
from nearfield.frame import Header
from nearfield.frame.control import Done, JoinRequest, Report
from nearfield.zipper import Dispatcher, GroupPolicy
from nearfield.zipper.item import Ticket

ZIPPERS = ("north", "south", "west")
ORIGINS = ("cam-a", "cam-b")
SETTLE_ROUNDS = 60

# No frame may be given up here, so that all must be handled.
POLICIES = [
    GroupPolicy("work", frozenset({1}), "complete", retries=1_000),
    GroupPolicy("ordered", frozenset({2}), "complete", retries=1_000, order="source"),
    GroupPolicy("live", frozenset({3}), "live", 2),
]
# Observed at all zippers since one has it.
ONLY_SOUTH = GroupPolicy("only-south", frozenset({4}), "complete", retries=1_000)


@dataclass
class Worker:
    """An instance: the deliveries that it holds, oldest first."""

    function: str
    held: deque[tuple[int, str]] = field(default_factory=deque)
    finished: list[Done] = field(default_factory=list)


@dataclass
class Zipper:
    """A dispatcher, its workers, and what its sources still keep."""

    name: str
    epoch: int
    dispatcher: Dispatcher[str] = field(init=False)
    workers: dict[str, Worker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        policies = [*POLICIES, *([ONLY_SOUTH] if self.name == "south" else [])]
        self.dispatcher = Dispatcher(policies, self.epoch, name=self.name)


class MeshMachine(RuleBasedStateMachine):
    @initialize(where=st.lists(st.sampled_from(ZIPPERS), max_size=3))
    def start(self, where: list[str]) -> None:
        self.clock = ManualClock()
        self.epochs = 0
        self.zippers = {name: self.new(name) for name in ZIPPERS}
        self.lines: dict[tuple[str, str], deque[Any]] = {(a, b): deque() for a in ZIPPERS for b in ZIPPERS if a != b}
        # By zipper: name of the frame -> header and origin
        self.kept: dict[str, dict[str, tuple[Header, str]]] = {name: {} for name in ZIPPERS}
        self.released: set[str] = set()
        self.handled: dict[str, None] = {}
        self.sequence = 0
        self.workers = 0
        for at in where:
            for function in ("work", "ordered", "live"):
                self.join(at, function, 2)
        self.speak_all()
        self.speak_all()

    def new(self, name: str) -> Zipper:
        self.epochs += 1
        return Zipper(name, self.epochs)

    @property
    def now_ns(self) -> int:
        return self.clock.monotonic_ns()

    # ---- what happens at one zipper

    @rule(
        at=st.sampled_from(ZIPPERS),
        origin=st.sampled_from(ORIGINS),
        tag=st.sampled_from([1, 2, 2, 3, 4]),
        count=st.integers(1, 6),
    )
    def offer(self, at: str, origin: str, tag: int, count: int) -> None:
        for _ in range(count):
            self.sequence += 1
            sent_ns = self.clock.wall_ns()
            header = Header(tag, 1, self.sequence, sent_ns, sent_ns)
            name = f"{at}/{origin}/{tag}/{self.sequence}"
            if tag in self.zippers[at].dispatcher.observed:
                if tag != 3:
                    self.kept[at][name] = (header, origin)
                self.zippers[at].dispatcher.offer(f"{origin}-{at}", header, name, self.now_ns)
        self.flush(at)

    @rule(
        at=st.sampled_from(ZIPPERS),
        function=st.sampled_from(["work", "ordered", "live"]),
        credits=st.integers(1, 3),
        most_credits=st.sampled_from([0, 9]),
    )
    def join(self, at: str, function: str, credits: int, most_credits: int = 0) -> None:
        self.workers += 1
        instance = f"w{self.workers}"
        request = JoinRequest(
            protocol=1, function=function, instance=instance, observe=[], credits=credits, most_credits=most_credits
        )
        assert self.zippers[at].dispatcher.join(request, self.now_ns) is None
        self.zippers[at].workers[instance] = Worker(function)
        self.flush(at)

    @rule(credits=st.integers(1, 3))
    def join_only_south(self, credits: int) -> None:
        self.join("south", "only-south", credits)

    @precondition(lambda self: any(zipper.workers for zipper in self.zippers.values()))
    @rule(data=st.data(), count=st.integers(1, 4))
    def work(self, data: st.DataObject, count: int) -> None:
        """An instance handles some of what it holds, and reports."""
        at, instance = data.draw(st.sampled_from([(z.name, w) for z in self.zippers.values() for w in z.workers]))
        self.handle(at, instance, count)
        self.flush(at)

    @precondition(lambda self: any(zipper.workers for zipper in self.zippers.values()))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        at, instance = data.draw(st.sampled_from([(z.name, w) for z in self.zippers.values() for w in z.workers]))
        del self.zippers[at].workers[instance]
        self.zippers[at].dispatcher.leave(instance, "instance-lost")
        self.zippers[at].dispatcher.pump_all(self.now_ns)
        self.flush(at)

    @rule(at=st.sampled_from(ZIPPERS))
    def restart(self, at: str) -> None:
        """It forgets everything; its sources send again what was not released, in order."""
        self.zippers[at] = self.new(at)
        for line in ((a, b) for a, b in self.lines if at in (a, b)):
            self.lines[line].clear()
        self.send_again(at)

    def send_again(self, at: str) -> None:
        dispatcher = self.zippers[at].dispatcher
        for name, (header, origin) in self.kept[at].items():
            if header.tag in dispatcher.observed:
                dispatcher.offer(f"{origin}-{at}", header, name, self.now_ns)
        self.flush(at)

    # ---- what happens between them

    @rule(at=st.sampled_from(ZIPPERS))
    def speak(self, at: str) -> None:
        neighbours = self.zippers[at].dispatcher.neighbours
        capacity = neighbours.capacity(self.now_ns)
        for other in ZIPPERS:
            if other != at:
                self.lines[at, other].append(("hear", capacity))
        for peer, report in neighbours.peers.take_reports(full=True):
            self.lines[at, peer].append(("report", report))

    @rule()
    def speak_all(self) -> None:
        """Everybody hears of everybody, whatever was on its way before."""
        for at in ZIPPERS:
            self.speak(at)
        for a, b in self.lines:
            self.carry(a, b, 10_000)

    @rule(seconds=st.sampled_from([0.1, 1.1]))
    def go_on(self, seconds: float) -> None:
        """As it goes when nothing is wrong."""
        self.speak_all()
        self.wait(seconds)

    @precondition(lambda self: any(self.lines.values()))
    @rule(data=st.data(), count=st.integers(1, 8))
    def carry_some(self, data: st.DataObject, count: int) -> None:
        self.carry(*data.draw(st.sampled_from(self.busy())), count)

    @precondition(lambda self: any(self.lines.values()))
    @rule(data=st.data(), is_frame=st.booleans())
    def lose(self, data: st.DataObject, is_frame: bool) -> None:
        line = self.lines[data.draw(st.sampled_from(self.busy()))]
        losable = [message for message in line if not is_frame or message[0] == "frame"]
        if losable:
            line.remove(data.draw(st.sampled_from(losable[:3])))

    @rule(at=st.sampled_from(ZIPPERS), origin=st.sampled_from(ORIGINS), position=st.integers(0, 2))
    def offer_in_order_and_lose_one(self, at: str, origin: str, position: int) -> None:
        """One of several that are handed on together gets lost, and those behind it arrive."""
        self.offer(at, origin, 2, 4)
        for (sender, _), line in self.lines.items():
            frames = [message for message in line if message[0] == "frame"]
            if sender == at and len(frames) > position:
                line.remove(frames[position])

    def busy(self) -> list[tuple[str, str]]:
        """Lines with something on its way."""
        return [ends for ends, line in self.lines.items() if line]

    def carry(self, a: str, b: str, count: int) -> None:
        line = self.lines[a, b]
        for _ in range(min(count, len(line))):
            self.arrive(b, line.popleft())

    def arrive(self, at: str, message: Any) -> None:
        neighbours = self.zippers[at].dispatcher.neighbours
        kind, content = message
        if kind == "hear":
            neighbours.hear(content, self.now_ns)
        elif kind == "report":
            neighbours.report(content, self.now_ns)
        else:
            function, ticket, origin, header, payload, remaining_us, after = content
            neighbours.take_over(
                function, ticket, origin, header, payload, remaining_us=remaining_us, after=after, now_ns=self.now_ns
            )
        self.flush(at)

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.1, 2.1]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for at, zipper in self.zippers.items():
            for instance in zipper.workers:  # they report twice a second
                self.handle(at, instance, 0)
            assert zipper.dispatcher.tick(self.now_ns) == []
            zipper.dispatcher.neighbours.tick(self.now_ns)
            self.flush(at)

    # ---- the shell

    def handle(self, at: str, instance: str, count: int) -> None:
        zipper = self.zippers[at]
        worker = zipper.workers[instance]
        for _ in range(min(count, len(worker.held))):
            number, name = worker.held.popleft()
            self.check_order(worker.function, name)
            self.handled[name] = None
            # As it comes quick and slow by turns, it is given more and fewer frames at a time.
            worker.finished.append(Done(number, "completed", "", 1 if number % 16 < 12 else 10**9))
        holding = [number for number, _ in worker.held]
        report = Report(instance=instance, epoch=zipper.epoch, received=0, holding=holding, done=worker.finished[-64:])
        assert zipper.dispatcher.report(report, self.now_ns)

    def check_order(self, function: str, name: str) -> None:
        """Frames of one source are handled for the first time in its order."""
        if function == "ordered" and name not in self.handled:
            source, _, number = name.rpartition("/")
            later = [other for other in self.handled if other.rpartition("/")[0] == source]
            assert all(int(other.rpartition("/")[2]) < int(number) for other in later), f"`{name}` comes too late"

    def flush(self, at: str) -> None:
        zipper = self.zippers[at]
        dispatcher = zipper.dispatcher
        for delivery in dispatcher.take_deliveries():
            item = delivery.item
            if not delivery.is_to_peer:
                if delivery.instance in zipper.workers:
                    zipper.workers[delivery.instance].held.append((delivery.number, item.payload))
                continue
            assert item.via is None, "handed on twice"
            assert item.payload.startswith(f"{at}/"), "handed on by a zipper where it did not enter"
            ticket = Ticket(at, zipper.epoch, delivery.number)
            content = (delivery.function, ticket, item.origin, item.header, item.payload, delivery.remaining_us)
            self.lines[at, delivery.instance].append(("frame", (*content, delivery.after)))
        for peer, report in dispatcher.neighbours.peers.take_reports(full=False):
            self.lines[at, peer].append(("report", report))
        for origin, ack in dispatcher.take_acks(self.now_ns):
            released = {number for first, last in ack.released for number in range(first, last + 1)}
            for name in [name for name in self.kept[at] if int(name.rpartition("/")[2]) in released]:
                assert origin == f"{name.split('/')[1]}-{at}"
                assert name in self.handled, "released, and never handled"
                del self.kept[at][name]

    # ---- what always holds

    @invariant()
    def ledgers_add_up(self) -> None:
        for zipper in self.zippers.values():
            for name, group in zipper.dispatcher.snapshot()["groups"].items():
                settled = group["completed"] + sum(group["failed"].values()) + sum(group["dropped"].values())
                assert group["received"] == settled + group["queued"] + group["in_flight"], name
                if group["mode"] == "complete":
                    assert set(group["dropped"]) <= {"returned", "overflow"}, group["dropped"]
                entries = [entry for tags in group["sources"].values() for entry in tags.values()]
                assert sum(entry["received"] for entry in entries) == group["received"]
                assert sum(entry["open"] for entry in entries) == group["queued"] + group["in_flight"]

    def teardown(self) -> None:
        """Quiet lines, an instance of everything everywhere: in the end all is handled, and nobody holds anything."""
        if not hasattr(self, "zippers"):
            return
        for at in ZIPPERS:
            for function in ("work", "ordered", "live"):
                self.join(at, function, 2)
        self.join_only_south(2)
        for _ in range(SETTLE_ROUNDS):
            for at in ZIPPERS:
                self.speak(at)
                self.send_again(at)
            for a, b in self.lines:
                self.carry(a, b, 10_000)
            for at, zipper in self.zippers.items():
                for instance in zipper.workers:
                    self.handle(at, instance, 100)
                self.flush(at)
            self.wait(0.5)
            if not any(self.kept.values()) and not any(map(self.open_frames, ZIPPERS)):
                break
        assert not any(self.kept.values()), "some frames were never released"
        assert not any(map(self.open_frames, ZIPPERS)), "some frames are still held"
        self.ledgers_add_up()

    def open_frames(self, at: str) -> int:
        groups = self.zippers[at].dispatcher.snapshot()["groups"].values()
        return sum(group["queued"] + group["in_flight"] for group in groups)


MeshMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=60)
TestMesh = MeshMachine.TestCase
