"""The instances of a group against a list that is searched each time: who has most credit left is always known."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nearfield.frame import Header
from nearfield.zipper.instances import AHEAD_NS, Instance, Instances
from nearfield.zipper.item import Item
from nearfield.zipper.ledger import Account

NOW_NS = 10**9
ITEM: Item[str] = Item("cam", Header(1, 1, 0, 0, 0), "", 0, Account(), NOW_NS)
PICK = st.integers(0, 100)


class InstancesMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.instances: Instances[str] = Instances()
        self.all: list[Instance[str]] = []
        self.number = 0

    @rule(credits=st.integers(1, 3), most=st.sampled_from([0, 1, 4, 256]), concurrency=st.integers(1, 3))
    def join(self, credits: int, most: int, concurrency: int) -> None:
        self.number += 1
        instance: Instance[str] = Instance(
            f"w{self.number}",
            credits,
            NOW_NS,
            concurrency=concurrency,
            least_credits=credits,
            most_credits=most,
        )
        self.instances.add(instance)
        self.all.append(instance)

    @precondition(lambda self: self.all)
    @rule(pick=PICK)
    def leave(self, pick: int) -> None:
        instance = self.all.pop(pick % len(self.all))
        assert self.instances.remove(instance.name) is instance

    @precondition(lambda self: self.all)
    @rule(count=st.integers(1, 30))
    def hand_out(self, count: int) -> None:
        for _ in range(count):
            instance = self.instances.most_free()
            if instance is None:
                return
            self.number += 1
            self.instances.hand_out(instance, self.number, ITEM, NOW_NS)

    @precondition(lambda self: self.all)
    @rule(pick=PICK, count=st.integers(1, 30))
    def take_back(self, pick: int, count: int) -> None:
        instance = self.all[pick % len(self.all)]
        for number in list(instance.in_flight)[:count]:
            assert self.instances.take_back(instance, number) is ITEM

    @precondition(lambda self: self.all)
    @rule(
        pick=PICK, handler_ns=st.sampled_from([0, 1, 20_000, 1_000_000, 30_000_000, 10**10]), times=st.integers(1, 40)
    )
    def adapt(self, pick: int, handler_ns: int, times: int) -> None:
        instance = self.all[pick % len(self.all)]
        for _ in range(times):
            if instance.most_credits:  # the others are left alone by the group
                self.instances.adapt(instance, handler_ns)

    @precondition(lambda self: self.all)
    @rule(pick=PICK)
    def bench(self, pick: int) -> None:
        self.instances.bench(self.all[pick % len(self.all)])

    @invariant()
    def most_free_is_right(self) -> None:
        most = max((instance.free for instance in self.all), default=0)
        chosen = self.instances.most_free()
        assert (chosen is None) == (most <= 0)
        assert chosen is None or (chosen in self.all and chosen.free == most)
        assert list(self.instances) == self.all
        assert self.instances.in_flight() == sum(len(instance.in_flight) for instance in self.all)

    @invariant()
    def credits_stay_within_their_bounds(self) -> None:
        for instance in self.all:
            assert instance.least_credits <= instance.credits <= max(instance.least_credits, instance.most_credits)


InstancesMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestInstances = InstancesMachine.TestCase


def adapted(*handler_ns: int, **options: Any) -> Instance[str]:
    instances: Instances[str] = Instances()
    instance: Instance[str] = Instance("w1", 2, NOW_NS, least_credits=2, most_credits=256, **options)
    instances.add(instance)
    for each in handler_ns:
        instances.adapt(instance, each)
    return instance


def test_instance_is_given_as_much_ahead_as_it_handles_in_two_milliseconds() -> None:
    assert adapted(AHEAD_NS // 10).credits == 2 + 10
    assert adapted(AHEAD_NS // 10, concurrency=4).credits == 2 + 40
    assert adapted(AHEAD_NS).credits == 3
    assert adapted(AHEAD_NS + 1).credits == 2
    assert adapted(1).credits == 256, "no more than it takes"


def test_function_that_gets_slow_gets_fewer_frames_ahead_within_some_frames() -> None:
    quick = [10_000] * 50
    assert adapted(*quick).credits == 2 + 200
    assert adapted(*quick, 30_000_000).credits == 2, "a single slow one outweighs all before"
    assert adapted(*quick, 30_000_000, *[10_000] * 60).credits > 100, "and is forgotten"
