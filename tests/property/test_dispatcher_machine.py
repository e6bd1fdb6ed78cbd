"""The dispatcher against a naive model, over any order of frames, instances that come and go, losses and time.

The model knows nothing of how the dispatcher chooses: it is told each delivery, reads in the ledger what was dropped,
and checks that both were allowed. After every step both must agree on where every frame is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nearfield.clock import ManualClock
from nearfield.frame import FLAG_EMITTED, Header
from nearfield.frame.control import Done, JoinRequest, Report
from nearfield.zipper import Dispatcher, GroupPolicy
from nearfield.zipper.dispatcher import MAX_HOPS, SILENCE_TIMEOUT_NS
from nearfield.zipper.group import MAX_LOSSES, TRANSIT_TIMEOUT_NS
from nearfield.zipper.instances import AHEAD_NS
from nearfield.zipper.streams import LINGER_NS

EPOCH = 7
# 1 is observed by a live and a complete group, 2 by two complete ones, 3 by a live one, 4 by none until `asker` joins,
# 5 and 6 by two for which order matters.
TAGS = (1, 2, 3, 4, 5, 5, 6)
FIXED = {
    "live-1": frozenset({1}),
    "both-12": frozenset({1, 2}),
    "complete-2": frozenset({2}),
    "live-3": frozenset({3}),
    "ordered-5": frozenset({5}),
    "ordered-live-6": frozenset({6}),
}
ORIGINS = ("cam-a", "cam-b", "cam-c")
INSTANCES = ("w1", "w2", "w3", "w4")
MS = 10**6
NEVER_NS = 2**63

TIMEOUT_NS = 2_000 * MS
DEAD_LETTER = 99

policies = st.builds(
    lambda queue, retries, max_age_ns: [
        replace(policy, timeout_ns=TIMEOUT_NS)
        for policy in (
            GroupPolicy("live-1", FIXED["live-1"], "live", queue, max_age_ns, retries, dead_letter=DEAD_LETTER),
            GroupPolicy("both-12", FIXED["both-12"], "complete", queue, None, retries, dead_letter=DEAD_LETTER),
            GroupPolicy("complete-2", FIXED["complete-2"], "complete", 1, None, 1),
            GroupPolicy("live-3", FIXED["live-3"], "live", 2, None, 0),
            GroupPolicy("asker", frozenset(), "complete", 4, None, 2),
            GroupPolicy("ordered-5", FIXED["ordered-5"], "complete", 1, None, retries, "source"),
            GroupPolicy("ordered-live-6", FIXED["ordered-live-6"], "live", queue, max_age_ns, retries, "source"),
        )
    ],
    st.integers(1, 6),
    st.integers(0, 2),
    st.sampled_from([None, 400 * MS]),
)


@dataclass(eq=False)
class FrameModel:
    """One frame in one group."""

    name: str
    header: Header
    origin: str
    expires_ns: int
    deliveries: int = 0
    tries: int = 0
    losses: int = 0


@dataclass(eq=False)
class GroupModel:
    policy: GroupPolicy
    observe: frozenset[int]
    # origin -> its frames, oldest first; no empty lines
    waiting: dict[str, list[FrameModel]] = field(default_factory=dict)
    # instance -> number -> frame and the time it was handed out, in order
    holding: dict[str, dict[int, tuple[FrameModel, int]]] = field(default_factory=dict)
    # where order matters: instance -> numbers that arrived and were not ignored; origin -> instance and latest number
    arrived: dict[str, list[int]] = field(default_factory=dict)
    bound: dict[str, tuple[str, int]] = field(default_factory=dict)
    handled: dict[str, int] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    credits: dict[str, int] = field(default_factory=dict)
    # instance -> the bounds of its credits, and what a frame takes it, the latest one weighing an eighth
    bounds: dict[str, tuple[int, int]] = field(default_factory=dict)
    mean_ns: dict[str, float] = field(default_factory=dict)
    heard_ns: dict[str, int] = field(default_factory=dict)
    # waiting origin -> how often each other one was served since its last turn
    passed: dict[str, Counter[str]] = field(default_factory=dict)
    received: Counter[str] = field(default_factory=Counter)
    completed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    # origin -> reason -> count
    dropped: dict[str, Counter[str]] = field(default_factory=dict)
    redelivered: int = 0

    @property
    def is_ordered(self) -> bool:
        return self.policy.order == "source"

    def free(self, name: str) -> int:
        return 0 if name in self.stuck | self.leaving else self.credits[name] - len(self.holding[name])

    def most_free(self) -> int:
        return max((self.free(name) for name in self.holding), default=0)

    def queued(self) -> int:
        return sum(map(len, self.waiting.values()))

    def blocked(self, origin: str) -> bool:
        """Whether no instance may take a frame of `origin` now."""
        if origin in self.bound:
            return self.free(self.bound[origin][0]) <= 0
        return self.most_free() <= 0

    def take_back(self, name: str, number: int) -> FrameModel:
        frame, _ = self.holding[name].pop(number)
        if not any(frame.origin == other.origin for other, _ in self.holding[name].values()):
            self.bound.pop(frame.origin, None)
        return frame

    def adapt(self, name: str, handler_ns: int) -> None:
        """Those that are quick are given more at a time, if they want it."""
        least, most = self.bounds[name]
        if most:
            before = self.mean_ns.get(name)
            self.mean_ns[name] = handler_ns if before is None else before + 0.125 * (handler_ns - before)
            self.credits[name] = min(least + int(AHEAD_NS / self.mean_ns[name]), max(least, most))

    def push(self, frame: FrameModel, *, front: bool = False) -> None:
        line = self.waiting.setdefault(frame.origin, [])
        line.insert(0 if front else len(line), frame)
        self.passed.setdefault(frame.origin, Counter())

    def take(self, frame: FrameModel) -> None:
        line = self.waiting[frame.origin]
        line.remove(frame)
        if not line:
            del self.waiting[frame.origin], self.passed[frame.origin]


class DispatcherMachine(RuleBasedStateMachine):
    @initialize(chosen=policies, queue_bytes=st.sampled_from([2**20, 2**20, 60]))
    def start(self, chosen: list[GroupPolicy], queue_bytes: int) -> None:
        self.clock = ManualClock()
        self.queue_bytes = queue_bytes
        self.dispatcher: Dispatcher[str] = Dispatcher(chosen, EPOCH, queue_bytes=queue_bytes)
        self.groups = {policy.name: GroupModel(policy, policy.observe) for policy in chosen}
        self.seen: dict[str, tuple[Header, str]] = {}
        self.unfinished: dict[str, int] = {}
        self.released: set[str] = set()
        self.due: set[str] = set()
        # origin -> how often one of its frames was released since it was told, and since when that waits
        self.news: Counter[str] = Counter()
        self.news_since_ns: dict[str, int] = {}
        self.removed: dict[str, GroupModel] = {}
        self.letters: Counter[tuple[str, str, str]] = Counter()
        self.numbers: dict[str, set[int]] = {name: set() for name in INSTANCES}
        self.accepted = self.duplicates = 0
        self.rejected: dict[str, int] = {}
        self.sequence = 0

    @property
    def now_ns(self) -> int:
        return self.clock.monotonic_ns()

    # ---- frames

    @rule(
        tag=st.sampled_from(TAGS),
        origin=st.sampled_from(ORIGINS),
        lag_ms=st.sampled_from([0, 0, 300, -50]),
        worth_ms=st.sampled_from([None, None, 200, 700]),
    )
    def offer_new(self, tag: int, origin: str, lag_ms: int, worth_ms: int | None) -> None:
        self.sequence += 1
        sent_ns = self.clock.wall_ns()
        captured_ns = sent_ns - lag_ms * MS
        deadline_ns = 0 if worth_ms is None else captured_ns + worth_ms * MS
        self.offer(Header(tag, 1, self.sequence, captured_ns, sent_ns, deadline_ns), origin)

    @rule(tag=st.sampled_from(TAGS), origin=st.sampled_from(ORIGINS), count=st.integers(2, 6))
    def offer_many(self, tag: int, origin: str, count: int) -> None:
        for _ in range(count):
            self.offer_new(tag, origin, 0, None)

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def offer_again(self, data: st.DataObject) -> None:
        header, origin = self.seen[data.draw(st.sampled_from(sorted(self.seen)))]
        self.offer(header, origin)

    @rule(tag=st.sampled_from(TAGS[:4]), hops=st.sampled_from([1, 3, MAX_HOPS]))
    def offer_emitted(self, tag: int, hops: int) -> None:
        """Frames of functions: never duplicates, never acknowledged, and refused when they run in a circle."""
        sent_ns = self.clock.wall_ns()
        header = Header(tag, 1, 1, sent_ns, sent_ns, hops=hops, part=self.sequence, flags=FLAG_EMITTED)
        self.sequence += 1
        self.offer(header, "cam-a")

    def offer(self, header: Header, origin: str) -> None:
        name = f"{origin}/{header.sequence}" if header.hops == 0 else f"emitted-{header.part}"
        groups = [group for group in self.groups.values() if header.tag in group.observe]
        accepted = self.accepted
        kept_drops = self.kept_drops()
        self.dispatcher.offer(origin, header, name, self.now_ns)
        is_kept = any(group.policy.mode == "complete" for group in groups)
        if not groups:
            self.rejected["unobserved"] = self.rejected.get("unobserved", 0) + 1
        elif header.hops >= MAX_HOPS:
            self.rejected["hops"] = self.rejected.get("hops", 0) + 1
        elif name in self.seen:
            self.duplicates += 1
            if name in self.released:
                self.due.add(name)
                self.news[origin] += 1
        elif header.hops == 0 and is_kept and not self.fits(origin, len(name)):
            self.rejected["overflow"] = self.rejected.get("overflow", 0) + 1
        else:
            self.accepted += 1
            if header.hops == 0:
                self.seen[name] = (header, origin)
                self.unfinished[name] = sum(group.policy.mode == "complete" for group in groups)
                self.release_if_finished(name)
            for group in groups:
                group.received[origin] += 1
                frame = FrameModel(name, header, origin, self.expiry_ns(header, group.policy))
                if frame.expires_ns <= self.now_ns:
                    self.model_settle(group, frame, "dropped", "stale")
                else:
                    group.push(frame)
        self.follow()
        # Frames that instances gave back may exceed it, until the next one comes.
        is_bounded = self.used_bytes() <= self.queue_bytes or self.waiting() == 1
        assert header.hops or self.kept_drops() == kept_drops, "a frame of a source pushed out one that must be kept"
        # What was given back to functions that keep all may exceed the bound; frames that cannot be refused may not.
        assert self.accepted == accepted or is_bounded or not (self.is_live_waiting() or (header.hops and is_kept))

    def kept_drops(self) -> int:
        """Frames that functions which keep all were made to drop."""
        groups = self.dispatcher.snapshot()["groups"].values()
        return sum(group["dropped"].get("overflow", 0) for group in groups if group["mode"] == "complete")

    def waiting(self) -> int:
        return sum(group.queued() for group in self.groups.values())

    def used_bytes(self) -> int:
        lines = (line for group in self.groups.values() for line in group.waiting.values())
        return sum(len(frame.name) for line in lines for frame in line)

    def is_live_waiting(self) -> bool:
        return any(group.policy.mode == "live" and group.waiting for group in self.groups.values())

    def fits(self, origin: str, size: int) -> bool:
        """Whether a frame that must be kept is taken in."""
        if not self.waiting() or self.is_live_waiting():
            return True
        used = self.used_bytes() + size
        waiting = [frame for group in self.groups.values() for line in group.waiting.values() for frame in line]
        own = sum(frame.origin == origin for frame in waiting)
        origins = max(len(group.waiting) for group in self.groups.values())
        has_little = own <= len(waiting) / (origins + 1)
        return used <= self.queue_bytes * 0.75 or (used <= self.queue_bytes and has_little)

    def expiry_ns(self, header: Header, policy: GroupPolicy) -> int:
        limits = [header.deadline_ns - header.captured_ns] if header.deadline_ns else []
        limits += [policy.max_age_ns] if policy.max_age_ns is not None and policy.mode == "live" else []
        before_ns = max(0, header.sent_ns - header.captured_ns)
        return self.now_ns + min(limits) - before_ns if limits else NEVER_NS

    # ---- instances

    @rule(
        function=st.sampled_from([*FIXED, "asker"]),
        name=st.sampled_from(INSTANCES),
        credits=st.integers(1, 3),
        most_credits=st.sampled_from([0, 1, 9]),
    )
    def join(self, function: str, name: str, credits: int, most_credits: int) -> None:
        group = self.groups.get(function)
        asked = [4] if function == "asker" else []
        if group is None:
            assert self.dispatcher.join(self.request(function, name, credits, asked), self.now_ns) is not None
            return
        request = self.request(function, name, credits, asked, most_credits)
        assert self.dispatcher.join(request, self.now_ns) is None
        self.model_leave(name, "replaced")
        if function == "asker":
            group.observe = frozenset({4})
        group.holding[name], group.credits[name], group.heard_ns[name] = {}, credits, self.now_ns
        group.bounds[name] = (credits, most_credits)
        group.mean_ns.pop(name, None)
        group.arrived[name] = []
        self.dispatcher.pump_all(self.now_ns)
        self.follow()

    @rule(function=st.sampled_from(["live-1", "both-12", "complete-2", "ordered-5"]))
    def remove(self, function: str) -> None:
        """All that a function has is dropped, counted and released; its instances are not known any more."""
        group = self.groups.pop(function, None)
        assert self.dispatcher.remove_group(function) == (group is not None)
        if group is not None:
            held = [frame for holding in group.holding.values() for frame, _ in holding.values()]
            for frame in held + [frame for line in group.waiting.values() for frame in line]:
                self.model_settle(group, frame, "dropped", "removed")
            self.removed[function] = group
            group.waiting, group.holding, group.bound, group.arrived = {}, {}, {}, {}
            group.passed, group.stuck, group.leaving = {}, set(), set()
        self.follow()

    @rule(function=st.sampled_from(["live-1", "both-12", "complete-2", "ordered-5"]), retries=st.integers(0, 2))
    def add(self, function: str, retries: int) -> None:
        """A function comes back and goes on counting, or gets other settings."""
        group = self.groups.get(function) or self.removed.pop(function)
        group.policy = replace(group.policy, retries=retries)
        self.groups[function] = group
        self.dispatcher.add_group(group.policy, self.now_ns)
        self.follow()

    @rule(name=st.sampled_from(INSTANCES), case=st.sampled_from(["unknown", "mismatch", "credits", "most"]))
    def join_in_vain(self, name: str, case: str) -> None:
        request = {
            "unknown": self.request("nobody", name, 1, []),
            "mismatch": self.request("live-3", name, 1, [1, 2]),
            "credits": self.request("live-3", name, 0, []),
            "most": self.request("live-3", name, 1, [], 1025),
        }[case]
        assert self.dispatcher.join(request, self.now_ns) is not None
        self.follow()

    @rule(name=st.sampled_from(INSTANCES))
    def leave(self, name: str) -> None:
        known = any(name in group.holding for group in self.groups.values())
        assert self.dispatcher.leave(name, "instance-lost") == known
        self.model_leave(name, "instance-lost")
        self.dispatcher.pump_all(self.now_ns)
        self.follow()

    @rule(
        name=st.sampled_from(INSTANCES),
        busy_ms=st.sampled_from([0, 0, 0, 500, 2_500]),
        handler_ns=st.sampled_from([5, 700_000, 10**9]),
        data=st.data(),
    )
    def report(self, name: str, busy_ms: int, handler_ns: int, data: st.DataObject) -> None:
        """Any part of what it holds is done, any part was lost on the way; old news is repeated, lies are told.

        Where order matters the instance handles frames in the order in which they arrived, and none that follows one
        that got lost: only such reports are made.
        """
        group = next((group for group in self.groups.values() if name in group.holding), None)
        holding = {} if group is None else group.holding[name]
        given = sorted(self.numbers[name])
        if group is not None and group.is_ordered:
            arrived = [number for number in group.arrived[name] if number in holding]
            done = arrived[: data.draw(st.integers(0, len(arrived)))]
            lost = {number for number in holding if number not in arrived}
        else:
            done = data.draw(st.lists(st.sampled_from(given), unique=True) if given else st.just([]))
            lost = data.draw(st.sets(st.sampled_from(sorted(holding))) if holding else st.just(set()))
        finished = {number: data.draw(st.sampled_from(["completed", "failed", "dropped"])) for number in done}
        report = Report(
            instance=name,
            epoch=EPOCH,
            received=max(given, default=0),
            holding=[number for number in holding if number not in finished and number not in lost],
            done=[Done(number, status, "why", handler_ns) for number, status in finished.items()]
            + [Done(10**9, "failed", "", 0)],
            busy_ms=busy_ms,
        )
        is_stuck = busy_ms * MS > TIMEOUT_NS
        was_stuck = group is not None and name in group.stuck
        known = group is not None and (is_stuck or not was_stuck)
        assert self.dispatcher.report(report, self.now_ns) == known
        told = [stuck.instance for stuck in self.dispatcher.take_stuck()]
        assert told == ([name] if known and is_stuck and not was_stuck else [])
        if group is not None and was_stuck and not known:
            self.model_leave(name, "replaced")
        elif group is not None:
            group.heard_ns[name] = self.now_ns
            if not was_stuck:
                self.model_report(group, report, finished, lost)
        self.follow()

    def model_report(self, group: GroupModel, report: Report, finished: dict[int, str], lost: set[int]) -> None:
        name = report.instance
        holding = group.holding[name]
        for number, status in finished.items():
            if number in holding:
                frame = group.take_back(name, number)
                self.model_settle(group, frame, status, "why")
                if status != "dropped":
                    group.adapt(name, report.done[0].handler_ns)
                if group.is_ordered:
                    assert frame.header.sequence > group.handled.get(frame.origin, -1), "handled out of order"
                    group.handled[frame.origin] = frame.header.sequence
        overdue = {n for n in holding if n in lost and self.now_ns - holding[n][1] > TRANSIT_TIMEOUT_NS}
        origins = {holding[number][0].origin for number in overdue} if group.is_ordered else set()
        taken = [n for n in holding if n in overdue or (n in lost and holding[n][0].origin in origins)]
        for n in overdue:
            holding[n][0].losses += 1
        self.model_give_back(group, [(group.take_back(name, n), False) for n in taken], "lost-in-transit")
        if report.busy_ms * MS > TIMEOUT_NS:
            group.stuck.add(name)
            self.model_take_all(group, name, self.now_ns - report.busy_ms * MS, "instance-stuck")

    @rule(name=st.sampled_from(INSTANCES), data=st.data())
    def retire(self, name: str, data: st.DataObject) -> None:
        """An instance leaves: some of what it holds is done, some it still finishes, the rest it never began.

        It handles frames in the order in which they came. What it never began is handed out again without a trace.
        """
        group = next((group for group in self.groups.values() if name in group.holding), None)
        holding = {} if group is None else group.holding[name]
        come = (
            [n for n in holding if n in group.arrived[name]] if group is not None and group.is_ordered else [*holding]
        )
        done = come[: data.draw(st.integers(0, len(come)))]
        kept = come[len(done) : len(done) + data.draw(st.integers(0, len(come) - len(done)))]
        report = Report(
            instance=name,
            epoch=EPOCH,
            received=max(come, default=0),
            holding=kept,
            done=[Done(number, "completed", "", 5) for number in done],
        )
        assert self.dispatcher.retire(report, self.now_ns) == (group is not None)
        if group is not None:
            group.heard_ns[name] = self.now_ns
            self.model_report(group, report, dict.fromkeys(done, "completed"), set())
            group.leaving.add(name)
            recalled = [group.take_back(name, number) for number in [*holding] if number not in kept]
            for frame in recalled:
                frame.deliveries -= 1
            self.model_give_back(group, [(frame, False) for frame in recalled], "")
            if not kept:
                self.model_leave(name, "")
        self.follow()

    @rule(name=st.sampled_from(INSTANCES))
    def report_to_another_incarnation(self, name: str) -> None:
        report = Report(instance=name, epoch=EPOCH + 1, received=0, holding=[], done=[Done(1, "completed", "", 0)])
        assert not self.dispatcher.report(report, self.now_ns)
        self.follow()

    # ---- time

    @rule(seconds=st.sampled_from([0.001, 0.1, 0.5, 1.1, 5.1]))
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
            self.model_leave(name, "instance-silent")
        self.follow()
        for group in self.groups.values():
            waiting = [frame for line in group.waiting.values() for frame in line]
            assert all(frame.expires_ns > self.now_ns for frame in waiting), "worthless, and kept"

    # ---- the model's own steps

    @staticmethod
    def request(function: str, name: str, credits: int, observe: list[int], most_credits: int = 0) -> JoinRequest:
        return JoinRequest(
            protocol=1,
            function=function,
            instance=name,
            observe=observe,
            credits=credits,
            most_credits=most_credits,
        )

    def model_leave(self, name: str, reason: str) -> None:
        for group in self.groups.values():
            if name in group.holding:
                self.model_take_all(group, name, NEVER_NS, reason)
                del group.holding[name]
                group.stuck.discard(name)
                group.leaving.discard(name)

    def model_take_all(self, group: GroupModel, name: str, before_ns: int, reason: str) -> None:
        """Only the first frame can be what the instance died of or hangs on, if it came before that began."""
        numbers = list(group.holding[name].items())
        frames = [(group.take_back(name, n), n == numbers[0][0] and sent <= before_ns) for n, (_, sent) in numbers]
        self.model_give_back(group, frames, reason)

    def model_give_back(self, group: GroupModel, frames: list[tuple[FrameModel, bool]], reason: str) -> None:
        """What an instance will not finish goes to the front of its line, unless it was tried often enough."""
        for frame, was_tried in reversed(frames):
            frame.tries += was_tried
            if frame.tries <= group.policy.retries and frame.losses <= MAX_LOSSES:
                group.push(frame, front=True)
            else:
                self.model_settle(group, frame, "dropped", reason)

    def model_settle(self, group: GroupModel, frame: FrameModel, status: str, reason: str) -> None:
        if status == "dropped":
            group.dropped.setdefault(frame.origin, Counter())[reason] += 1
        else:
            getattr(group, status)[frame.origin] += 1
        by_design = group.policy.mode == "live" and reason in ("stale", "overflow")
        if group.policy.dead_letter is not None and status != "completed" and not by_design:
            self.letters[group.policy.name, frame.name, reason] += 1
        if group.policy.mode == "complete" and frame.header.hops == 0:
            self.unfinished[frame.name] -= 1
            self.release_if_finished(frame.name)

    def release_if_finished(self, name: str) -> None:
        assert self.unfinished[name] >= 0
        if self.unfinished[name] == 0:
            assert name not in self.released, "released twice"
            self.released.add(name)
            self.due.add(name)
            self.news[self.seen[name][1]] += 1

    def follow(self) -> None:
        """Take what the dispatcher wants to send, and what it has dropped, and check that each was allowed."""
        snapshot = self.dispatcher.snapshot()["groups"]
        for name, group in self.groups.items():
            self.follow_stale(group, self.new_drops(group, snapshot[name], "stale"))
        for delivery in self.dispatcher.take_deliveries():
            self.follow_delivery(delivery)
        is_tight = self.used_bytes() > self.queue_bytes
        for name, group in self.groups.items():
            self.follow_overflow(group, self.new_drops(group, snapshot[name], "overflow"), is_tight)
            assert all(map(group.blocked, group.waiting)), "a frame waits although an instance has credit"
        self.follow_letters()
        self.follow_acks()

    def follow_letters(self) -> None:
        """Each frame that is given up is buried once."""
        burials = self.dispatcher.take_burials()
        assert Counter((b.function, b.item.payload, b.reason) for b in burials) == self.letters
        assert all(burial.tag == DEAD_LETTER for burial in burials)
        self.letters.clear()

    def follow_delivery(self, delivery: Any) -> None:
        group = next(group for group in self.groups.values() if delivery.instance in group.holding)
        origin = delivery.item.origin
        assert origin in group.waiting, f"nothing of `{origin}` waits for `{delivery.instance}`"
        frame = group.waiting[origin][0]
        assert delivery.item.payload == frame.name, "not the oldest of its source"
        assert frame.expires_ns > self.now_ns, "worthless, and handed out"
        remaining_us = 0 if frame.expires_ns == NEVER_NS else max(1, (frame.expires_ns - self.now_ns) // 1000)
        assert delivery.remaining_us == remaining_us
        assert group.free(delivery.instance) > 0
        assert delivery.is_ordered == group.is_ordered
        if group.is_ordered:
            self.follow_order(group, delivery)
        if delivery.after == 0:
            assert group.free(delivery.instance) == group.most_free(), "not the instance with most credit"
        assert delivery.number not in self.numbers[delivery.instance], "number given twice"
        self.numbers[delivery.instance].add(delivery.number)
        if frame.deliveries == 0:
            for other, passed in group.passed.items():
                if other != origin and not group.blocked(other):
                    passed[origin] += 1
                    assert passed[origin] <= 1, f"`{origin}` was served twice while `{other}` waited"
        group.redelivered += frame.deliveries > 0
        frame.deliveries += 1
        group.take(frame)
        if origin in group.passed:
            group.passed[origin].clear()
        group.holding[delivery.instance][delivery.number] = (frame, self.now_ns)

    def follow_order(self, group: GroupModel, delivery: Any) -> None:
        origin, number = delivery.item.origin, delivery.number
        instance, before = group.bound.get(origin, (delivery.instance, 0))
        assert (delivery.instance, delivery.after) == (instance, before), "not where the others of its source are"
        group.bound[origin] = (instance, number)
        is_lost = number % 3 == 0
        if not is_lost and (not before or before in group.arrived[instance]):
            group.arrived[instance].append(number)

    def new_drops(self, group: GroupModel, snapshot: dict[str, Any], reason: str) -> dict[str, int]:
        """Frames of each origin that were dropped for `reason` since the model last looked."""
        now: Counter[str] = Counter()
        for origin, tags in snapshot["sources"].items():
            now[origin] = sum(entry["dropped"].get(reason, 0) for entry in tags.values())
        known = {origin: group.dropped.get(origin, Counter())[reason] for origin in now}
        return {origin: count - known[origin] for origin, count in now.items() if count > known[origin]}

    def follow_stale(self, group: GroupModel, drops: dict[str, int]) -> None:
        for origin, count in drops.items():
            stale = [frame for frame in group.waiting.get(origin, []) if frame.expires_ns <= self.now_ns]
            assert len(stale) >= count, "dropped as stale, and was not"
            for frame in stale[:count]:
                group.take(frame)
                self.model_settle(group, frame, "dropped", "stale")

    def follow_overflow(self, group: GroupModel, drops: dict[str, int], is_tight: bool) -> None:
        total = sum(drops.values())
        needed = max(0, group.queued() - group.policy.queue) if group.policy.mode == "live" else 0
        assert total >= needed
        assert total == needed or is_tight, "dropped though there was room"
        for origin, count in drops.items():
            for frame in group.waiting[origin][:count]:
                group.take(frame)
                self.model_settle(group, frame, "dropped", "overflow")
        longest = max(map(len, group.waiting.values()), default=0)
        assert all(len(group.waiting.get(origin, [])) + 1 >= longest for origin in drops), "not of the longest line"

    def follow_acks(self) -> None:
        """A source is told when a quarter of what it had under way is news, or that has waited for long enough."""
        due = {origin for origin in self.news if self.is_to_be_told(origin)}
        for origin, ack in self.dispatcher.take_acks(self.now_ns):
            assert (ack.epoch, ack.stream) == (EPOCH, 1)
            due.remove(origin)
            told = {f"{origin}/{number}" for first, last in ack.released for number in range(first, last + 1)}
            assert told <= self.released, "released too early"
            news = {name for name in self.due if self.seen[name][1] == origin}
            assert news <= told, "released in silence"
            self.due -= news
            del self.news[origin]
            self.news_since_ns.pop(origin, None)
        assert not due, "not told in time"
        earliest_ns = min(self.news_since_ns.values(), default=NEVER_NS - LINGER_NS)
        assert self.dispatcher.acks_due_ns == earliest_ns + LINGER_NS

    def is_to_be_told(self, origin: str) -> bool:
        held = sum(count > 0 and self.seen[name][1] == origin for name, count in self.unfinished.items())
        if 3 * self.news[origin] >= held:
            return True
        return self.now_ns - self.news_since_ns.setdefault(origin, self.now_ns) >= LINGER_NS

    # ---- what always holds

    def teardown(self) -> None:
        """Though nothing else happens, everything is told that is released."""
        if hasattr(self, "dispatcher"):
            self.follow_acks()
            self.clock.advance(LINGER_NS / 1e9)
            self.follow_acks()
            assert not self.due
            assert not self.news

    @invariant()
    def both_agree(self) -> None:
        snapshot = self.dispatcher.snapshot()
        assert snapshot["ingress"] == {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "messages_refused": 0,
            "rejected": self.rejected,
        }
        assert set(snapshot["removed"]) == set(self.removed)
        for name, group in self.removed.items():
            past = snapshot["removed"][name]
            settled = past["completed"] + sum(past["failed"].values()) + sum(past["dropped"].values())
            assert past["received"] == settled == group.received.total()
        assert list(snapshot["groups"]) == list(self.groups)
        for name, group in self.groups.items():
            ledger = snapshot["groups"][name]
            in_flight = sum(map(len, group.holding.values()))
            failed, dropped = sum(ledger["failed"].values()), sum(ledger["dropped"].values())
            assert ledger["received"] == ledger["completed"] + failed + dropped + ledger["queued"] + ledger["in_flight"]
            assert (ledger["received"], ledger["completed"]) == (group.received.total(), group.completed.total())
            assert ledger["failed"].get("why", 0) == failed == group.failed.total()
            assert Counter(ledger["dropped"]) == sum(group.dropped.values(), Counter())
            assert (ledger["queued"], ledger["in_flight"]) == (group.queued(), in_flight)
            assert (ledger["redelivered"], ledger["instances"]) == (group.redelivered, len(group.holding))
            assert (ledger["stuck"], ledger["leaving"]) == (len(group.stuck), len(group.leaving))
            assert group.policy.mode == "complete" or ledger["queued"] <= group.policy.queue
            assert all(len(group.holding[instance]) <= max(group.bounds[instance]) for instance in group.holding)
            self.sources_agree(group, ledger)

    def sources_agree(self, group: GroupModel, ledger: dict[str, Any]) -> None:
        """For each source and tag too, and they add up to the whole."""
        sums: Counter[str] = Counter()
        for origin, tags in ledger["sources"].items():
            for entry in tags.values():
                failed, dropped = sum(entry["failed"].values()), sum(entry["dropped"].values())
                assert entry["received"] == entry["completed"] + failed + dropped + entry["open"]
                sums += Counter(received=entry["received"], completed=entry["completed"], open=entry["open"])
            assert sum(entry["received"] for entry in tags.values()) == group.received[origin]
            assert sum(entry["completed"] for entry in tags.values()) == group.completed[origin]
        assert (sums["received"], sums["completed"]) == (ledger["received"], ledger["completed"])
        assert sums["open"] == ledger["queued"] + ledger["in_flight"]


DispatcherMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=50)
TestDispatcher = DispatcherMachine.TestCase
