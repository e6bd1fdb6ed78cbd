"""The instances of a group as the dispatcher sees them, ordered by how many more frames each takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic

from nearfield.zipper.item import Item, PayloadType

# As much work may wait at an instance that takes as many frames as it can. Less than what it costs to lose them with
# it, or to have handed them to one that turns out to be slow.
AHEAD_NS = 2_000_000
# And so many bytes, by the size of the latest frame: what a link cannot take at once is lost, and sent again after 1 s.
AHEAD_BYTES = 768 * 1024
_NEWEST_WEIGHT = 0.125


@dataclass(slots=True, eq=False)
class Instance(Generic[PayloadType]):
    """One worker.

    Attributes:
        credits: frames it takes at a time at this moment.
        least_credits, most_credits: the bounds of that; 0: it does not change.
        mean_handler_ns: what a frame takes, the latest ones weighing most.
        last_report_ns: monotonic.
        pid: of its process, as it says.
        concurrency: frames that it has at hand at a time.
        is_stuck: it is at one frame for too long, and gets no others.
        is_leaving: it finishes what it has begun, and gets no others.
        is_peer: it stands for another zipper, `round_trip_ns` away.
        in_flight: by delivery number, oldest first: the frame, and when it was handed out.
    """

    name: str
    credits: int
    last_report_ns: int
    pid: int = 0
    concurrency: int = 1
    is_stuck: bool = False
    is_leaving: bool = False
    is_peer: bool = False
    round_trip_ns: int = 0
    least_credits: int = 0
    most_credits: int = 0
    mean_handler_ns: float = 0.0
    in_flight: dict[int, tuple[Item[PayloadType], int]] = field(default_factory=dict)

    @property
    def oldest_ns(self) -> int:
        """When the oldest frame that it holds was handed out. Only when it holds any."""
        return next(iter(self.in_flight.values()))[1]

    @property
    def free(self) -> int:
        """Frames that it takes at this moment."""
        return self.credits - len(self.in_flight) if self.takes_frames else 0

    @property
    def takes_frames(self) -> bool:
        """Whether it takes any, now or when it is through with those that it has."""
        return not (self.is_stuck or self.is_leaving)


class Instances(Generic[PayloadType]):
    """All instances of a group. Handing out and settling cost the same for any number of them."""

    __slots__ = ("_by_free", "_by_name", "_most")

    def __init__(self) -> None:
        self._by_name: dict[str, Instance[PayloadType]] = {}
        # Those with credit left, by how much; the first of each was chosen longest ago.
        self._by_free: dict[int, dict[Instance[PayloadType], None]] = {}
        self._most = 0

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[Instance[PayloadType]]:
        return iter(self._by_name.values())

    def __getitem__(self, name: str) -> Instance[PayloadType]:
        return self._by_name[name]

    def add(self, instance: Instance[PayloadType]) -> None:
        self._by_name[instance.name] = instance
        self._moved(instance, 0, instance.free)

    def remove(self, name: str) -> Instance[PayloadType]:
        instance = self._by_name.pop(name)
        self._moved(instance, instance.free, 0)
        return instance

    def in_flight(self) -> int:
        """Frames handed out to all of them together."""
        return sum(len(instance.in_flight) for instance in self)

    def most_free(self) -> Instance[PayloadType] | None:
        """The instance with most credit left, in turn when several have as much. None when all are busy."""
        if not self._most:
            return None
        return next(iter(self._by_free[self._most]))

    def hand_out(self, instance: Instance[PayloadType], number: int, item: Item[PayloadType], now_ns: int) -> None:
        """Note that `instance` was given a frame."""
        before = instance.free
        instance.in_flight[number] = (item, now_ns)
        self._moved(instance, before, before - 1)

    def take_back(self, instance: Instance[PayloadType], number: int) -> Item[PayloadType]:
        """Note that `instance` is through with a delivery that it holds."""
        before = instance.free
        item, _ = instance.in_flight.pop(number)
        self._moved(instance, before, instance.free)
        return item

    def adapt(self, instance: Instance[PayloadType], handler_ns: int, size: int = 0) -> None:
        """A frame took so long: give an instance of a quick function more at a time, so that it never waits for us."""
        weight = _NEWEST_WEIGHT if instance.mean_handler_ns else 1.0
        instance.mean_handler_ns += weight * (max(handler_ns, 1) - instance.mean_handler_ns)
        ahead = int(AHEAD_NS * instance.concurrency / instance.mean_handler_ns)
        ahead = min(ahead, AHEAD_BYTES // max(1, size))
        before = instance.free
        instance.credits = min(instance.least_credits + ahead, max(instance.least_credits, instance.most_credits))
        if instance.free != before:
            self._moved(instance, before, instance.free)

    def bench(self, instance: Instance[PayloadType]) -> None:
        """Take all deliveries from an instance, and give it no more."""
        self._moved(instance, instance.free, 0)
        instance.is_stuck = True
        instance.in_flight.clear()

    def retire(self, instance: Instance[PayloadType]) -> None:
        """Give an instance no more; it keeps its deliveries."""
        self._moved(instance, instance.free, 0)
        instance.is_leaving = True

    def _moved(self, instance: Instance[PayloadType], before: int, after: int) -> None:
        if after > 0:
            self._by_free.setdefault(after, {})[instance] = None
            if after > self._most:
                self._most = after
        if before > 0:
            equals = self._by_free[before]
            del equals[instance]
            if not equals:
                del self._by_free[before]
                while self._most and self._most not in self._by_free:
                    self._most -= 1
