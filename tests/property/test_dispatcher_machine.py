"""The dispatcher against a naive model, over any order of frames, instances that come and go, losses and time.

The model knows nothing of how the dispatcher chooses; it is told each delivery, and checks that it was allowed. After
every step both must agree on where every frame is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nearfield.clock import ManualClock
from nearfield.frame import FLAG_EMITTED, Header
from nearfield.frame.control import Done, JoinRequest, Report
from nearfield.zipper import Dispatcher, GroupPolicy
from nearfield.zipper.dispatcher import MAX_HOPS, SILENCE_TIMEOUT_NS, TRANSIT_TIMEOUT_NS

EPOCH = 7
TAGS = (1, 2, 3, 4)
# 1 is observed by a live and a complete group, 2 by two complete ones, 3 by a live one, 4 by none until `asker` joins.
FIXED = {"live-1": frozenset({1}), "both-12": frozenset({1, 2}), "complete-2": frozenset({2}), "live-3": frozenset({3})}
ORIGINS = ("cam-a", "cam-b")
INSTANCES = ("w1", "w2", "w3", "w4")

policies = st.builds(
    lambda queue, retries, max_age_ns: [
        GroupPolicy("live-1", FIXED["live-1"], "live", queue, max_age_ns, retries),
        GroupPolicy("both-12", FIXED["both-12"], "complete", queue, None, retries),
        GroupPolicy("complete-2", FIXED["complete-2"], "complete", 1, None, 1),
        GroupPolicy("live-3", FIXED["live-3"], "live", 2, None, 0),
        GroupPolicy("asker", frozenset(), "complete", 4, None, 2),
    ],
    st.integers(1, 4),
    st.integers(0, 2),
    st.sampled_from([None, 400_000_000]),
)


@dataclass(eq=False)
class FrameModel:
    """One frame in one group."""

    name: str
    header: Header
    origin: str
    received_ns: int
    attempts: int = 0


@dataclass(eq=False)
class GroupModel:
    policy: GroupPolicy
    observe: frozenset[int]
    waiting: list[FrameModel] = field(default_factory=list)
    # instance -> number -> frame and the time it was handed out, in order
    holding: dict[str, dict[int, tuple[FrameModel, int]]] = field(default_factory=dict)
    credits: dict[str, int] = field(default_factory=dict)
    heard_ns: dict[str, int] = field(default_factory=dict)
    received: int = 0
    completed: int = 0
    failed: int = 0
    dropped: int = 0
    redelivered: int = 0

    def free(self, name: str) -> int:
        return self.credits[name] - len(self.holding[name])

    def most_free(self) -> int:
        return max((self.free(name) for name in self.holding), default=0)


class DispatcherMachine(RuleBasedStateMachine):
    @initialize(chosen=policies)
    def start(self, chosen: list[GroupPolicy]) -> None:
        self.clock = ManualClock()
        self.dispatcher: Dispatcher[str] = Dispatcher(chosen, EPOCH)
        self.groups = {policy.name: GroupModel(policy, policy.observe) for policy in chosen}
        self.seen: dict[str, tuple[Header, str]] = {}
        self.unfinished: dict[str, int] = {}
        self.released: set[str] = set()
        self.due: set[str] = set()
        self.numbers: dict[str, set[int]] = {name: set() for name in INSTANCES}
        self.accepted = self.duplicates = 0
        self.rejected: dict[str, int] = {}
        self.sequence = 0

    @property
    def now_ns(self) -> int:
        return self.clock.monotonic_ns()

    # ---- frames

    @rule(tag=st.sampled_from(TAGS), origin=st.sampled_from(ORIGINS), lag_ms=st.sampled_from([0, 0, 300]))
    def offer_new(self, tag: int, origin: str, lag_ms: int) -> None:
        self.sequence += 1
        sent_ns = self.clock.wall_ns()
        header = Header(tag, stream=1, sequence=self.sequence, captured_ns=sent_ns - lag_ms * 10**6, sent_ns=sent_ns)
        self.offer(header, origin)

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def offer_again(self, data: st.DataObject) -> None:
        header, origin = self.seen[data.draw(st.sampled_from(sorted(self.seen)))]
        self.offer(header, origin)

    @rule(tag=st.sampled_from(TAGS), hops=st.sampled_from([1, 3, MAX_HOPS]))
    def offer_emitted(self, tag: int, hops: int) -> None:
        """Frames of functions: never duplicates, never acknowledged, and refused when they run in a circle."""
        sent_ns = self.clock.wall_ns()
        header = Header(tag, 1, 1, sent_ns, sent_ns, hops=hops, part=self.sequence, flags=FLAG_EMITTED)
        self.sequence += 1
        self.offer(header, "cam-a")

    def offer(self, header: Header, origin: str) -> None:
        name = f"{origin}/{header.sequence}" if header.hops == 0 else f"emitted-{header.part}"
        groups = [group for group in self.groups.values() if header.tag in group.observe]
        self.dispatcher.offer(origin, header, name, self.now_ns)
        if not groups:
            self.rejected["unobserved"] = self.rejected.get("unobserved", 0) + 1
        elif header.hops >= MAX_HOPS:
            self.rejected["hops"] = self.rejected.get("hops", 0) + 1
        elif name in self.seen:
            self.duplicates += 1
            if name in self.released:
                self.due.add(name)
        else:
            self.accepted += 1
            if header.hops == 0:
                self.seen[name] = (header, origin)
                self.unfinished[name] = sum(group.policy.mode == "complete" for group in groups)
                self.release_if_finished(name)
            for group in groups:
                group.received += 1
                group.waiting.append(FrameModel(name, header, origin, self.now_ns))
        self.follow()

    # ---- instances

    @rule(function=st.sampled_from([*FIXED, "asker"]), name=st.sampled_from(INSTANCES), credits=st.integers(1, 3))
    def join(self, function: str, name: str, credits: int) -> None:
        group = self.groups[function]
        asked = [4] if function == "asker" else []
        assert self.dispatcher.join(self.request(function, name, credits, asked), self.now_ns) is None
        self.model_leave(name)
        if function == "asker":
            group.observe = frozenset({4})
        group.holding[name], group.credits[name], group.heard_ns[name] = {}, credits, self.now_ns
        self.dispatcher.pump_all(self.now_ns)
        self.follow()

    @rule(name=st.sampled_from(INSTANCES), case=st.sampled_from(["unknown", "mismatch", "credits", "name"]))
    def join_in_vain(self, name: str, case: str) -> None:
        request = {
            "unknown": self.request("nobody", name, 1, []),
            "mismatch": self.request("live-1", name, 1, [1, 2]),
            "credits": self.request("live-1", name, 0, []),
            "name": self.request("live-1", f"{name}/*", 1, []),
        }[case]
        assert self.dispatcher.join(request, self.now_ns) is not None
        self.follow()

    @rule(name=st.sampled_from(INSTANCES))
    def leave(self, name: str) -> None:
        known = any(name in group.holding for group in self.groups.values())
        assert self.dispatcher.leave(name, "instance-lost") == known
        self.model_leave(name)
        self.dispatcher.pump_all(self.now_ns)
        self.follow()

    @rule(name=st.sampled_from(INSTANCES), data=st.data())
    def report(self, name: str, data: st.DataObject) -> None:
        """Any part of what it holds is done, any part was lost on the way; old news is repeated, lies are told."""
        group = next((group for group in self.groups.values() if name in group.holding), None)
        holding = {} if group is None else group.holding[name]
        given = sorted(self.numbers[name])
        finished = {
            number: data.draw(st.sampled_from(["completed", "failed", "dropped"]))
            for number in data.draw(st.lists(st.sampled_from(given), unique=True) if given else st.just([]))
        }
        lost = data.draw(st.sets(st.sampled_from(sorted(holding))) if holding else st.just(set()))
        report = Report(
            instance=name,
            epoch=EPOCH,
            received=max(given, default=0),
            holding=[number for number in holding if number not in finished and number not in lost],
            done=[Done(number, status, "why", 5) for number, status in finished.items()]
            + [Done(10**9, "failed", "", 0)],
        )
        assert self.dispatcher.report(report, self.now_ns) == (group is not None)
        if group is not None:
            group.heard_ns[name] = self.now_ns
            for number, status in finished.items():
                if number in holding:
                    self.model_settle(group, holding.pop(number)[0], status)
            overdue = [n for n in holding if n in lost and self.now_ns - holding[n][1] > TRANSIT_TIMEOUT_NS]
            self.model_give_back(group, [holding.pop(number)[0] for number in overdue])
        self.follow()

    @rule(name=st.sampled_from(INSTANCES))
    def report_to_another_incarnation(self, name: str) -> None:
        report = Report(instance=name, epoch=EPOCH + 1, received=0, holding=[], done=[Done(1, "completed", "", 0)])
        assert not self.dispatcher.report(report, self.now_ns)
        self.follow()

    # ---- time

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.1, 5.1]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        silent = self.dispatcher.tick(self.now_ns)
        expected = [
            name
            for group in self.groups.values()
            for name in group.holding
            if self.now_ns - group.heard_ns[name] > SILENCE_TIMEOUT_NS
        ]
        assert silent == expected
        for name in silent:
            self.model_leave(name)
        self.follow()

    # ---- the model's own steps

    @staticmethod
    def request(function: str, name: str, credits: int, observe: list[int]) -> JoinRequest:
        return JoinRequest(protocol=1, function=function, instance=name, observe=observe, credits=credits)

    def model_leave(self, name: str) -> None:
        for group in self.groups.values():
            held = group.holding.pop(name, None)
            if held is not None:
                self.model_give_back(group, [frame for frame, _ in held.values()])

    def model_give_back(self, group: GroupModel, frames: list[FrameModel]) -> None:
        """What an instance will not finish goes to the front of the queue, unless it was tried often enough."""
        again = [frame for frame in frames if frame.attempts <= group.policy.retries]
        for frame in frames:
            if frame not in again:
                assert frame.attempts == group.policy.retries + 1
                self.model_settle(group, frame, "dropped")
        group.waiting[:0] = again

    def model_settle(self, group: GroupModel, frame: FrameModel, status: str) -> None:
        setattr(group, status, getattr(group, status) + 1)
        if group.policy.mode == "complete" and frame.header.hops == 0:
            self.unfinished[frame.name] -= 1
            self.release_if_finished(frame.name)

    def release_if_finished(self, name: str) -> None:
        assert self.unfinished[name] >= 0
        if self.unfinished[name] == 0:
            assert name not in self.released, "released twice"
            self.released.add(name)
            self.due.add(name)

    def drop_stale(self, group: GroupModel) -> None:
        limit_ns = group.policy.max_age_ns
        while limit_ns is not None and group.waiting:
            frame = group.waiting[0]
            age_ns = self.now_ns - frame.received_ns + frame.header.sent_ns - frame.header.captured_ns
            if age_ns <= limit_ns:
                return
            self.model_settle(group, group.waiting.pop(0), "dropped")

    def follow(self) -> None:
        """Take what the dispatcher wants to send, and check that each delivery was allowed."""
        for delivery in self.dispatcher.take_deliveries():
            group = next(group for group in self.groups.values() if delivery.instance in group.holding)
            self.drop_stale(group)
            assert group.waiting, f"nothing waits for `{delivery.instance}`"
            frame = group.waiting.pop(0)
            assert (delivery.item.payload, delivery.item.origin) == (frame.name, frame.origin), "not the oldest"
            assert 0 < group.free(delivery.instance) == group.most_free()
            assert delivery.number not in self.numbers[delivery.instance], "number given twice"
            self.numbers[delivery.instance].add(delivery.number)
            group.redelivered += frame.attempts > 0
            frame.attempts += 1
            group.holding[delivery.instance][delivery.number] = (frame, self.now_ns)
        for group in self.groups.values():
            self.drop_stale(group)
            while group.policy.mode == "live" and len(group.waiting) > group.policy.queue:
                self.model_settle(group, group.waiting.pop(0), "dropped")
                self.drop_stale(group)
            assert not group.waiting or group.most_free() == 0, "a frame waits although an instance has credit"
        told = set()
        for origin, ack in self.dispatcher.take_acks():
            assert (ack.epoch, ack.stream) == (EPOCH, 1)
            told |= {f"{origin}/{sequence}" for sequence in ack.released}
        assert told <= self.released, "released too early"
        assert self.due <= told, "released in silence"
        self.due.clear()

    # ---- what always holds

    @invariant()
    def both_agree(self) -> None:
        snapshot = self.dispatcher.snapshot()
        assert snapshot["ingress"] == {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "rejected": self.rejected,
        }
        for name, group in self.groups.items():
            ledger = snapshot["groups"][name]
            in_flight = sum(map(len, group.holding.values()))
            failed, dropped = sum(ledger["failed"].values()), sum(ledger["dropped"].values())
            assert ledger["received"] == group.received
            assert ledger["received"] == ledger["completed"] + failed + dropped + ledger["queued"] + ledger["in_flight"]
            assert (ledger["completed"], failed, dropped) == (group.completed, group.failed, group.dropped)
            assert (ledger["queued"], ledger["in_flight"]) == (len(group.waiting), in_flight)
            assert (ledger["redelivered"], ledger["instances"]) == (group.redelivered, len(group.holding))
            assert group.policy.mode == "complete" or ledger["queued"] <= group.policy.queue
            assert all(len(group.holding[instance]) <= group.credits[instance] for instance in group.holding)


DispatcherMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=50)
TestDispatcher = DispatcherMachine.TestCase
