"""Which frames a zipper lets in, on a session in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from nearfield.frame import keys
from nearfield.zipper.entrance import Entrance
from tests.doubles import MemorySession


class Bench:
    def __init__(self) -> None:
        self.session = MemorySession()
        self.came: list[str] = []
        self.entrance = Entrance(cast(Any, self.session), "default", "line-1", self._on_frames)

    def _on_frames(self, key: str, messages: Sequence[Any]) -> None:
        self.came += [keys.tag_in(key)] * len(messages)

    def send(self, *tags: int, zipper: str = "line-1") -> list[str]:
        """Tags of the frames that came in."""
        self.came.clear()
        for tag in tags:
            self.session.deliver(keys.frame("default", tag, zipper, "cam"), b"")
        return list(self.came)

    @property
    def subscribed(self) -> list[str]:
        return [expression for expression, _ in self.session.subscriptions]


def test_only_observed_tags_are_subscribed_to_where_order_between_them_does_not_matter() -> None:
    bench = Bench()
    bench.entrance.open_for([16, 17], in_order=False)
    assert bench.send(16, 17, 18) == ["16", "17"]
    bench.entrance.open_for([17, 18], in_order=False)
    assert bench.send(16, 17, 18) == ["17", "18"]
    assert bench.subscribed == [keys.frames_of_tag("default", tag, "line-1") for tag in (17, 18)]


def test_one_subscription_brings_all_observed_tags_and_stays_once_order_between_them_matters() -> None:
    bench = Bench()
    bench.entrance.open_for([16, 17], in_order=False)
    bench.entrance.open_for([16, 17], in_order=True)
    assert bench.subscribed == [keys.frames_entering("default", "line-1")]
    assert bench.send(16, 17, 18) == ["16", "17"]
    assert bench.send(16, zipper="line-2") == []
    bench.entrance.open_for([18], in_order=False)
    assert bench.subscribed == [keys.frames_entering("default", "line-1")]
    assert bench.send(16, 17, 18) == ["18"]


def test_what_has_no_tag_in_its_key_comes_in_to_be_refused() -> None:
    bench = Bench()
    bench.entrance.open_for([], in_order=True)
    (((_, callback)),) = bench.session.subscriptions
    for key in (
        "nearfield/**",
        "**",
        "nearfield/default/frames/*/line-1/cam/-",
        "nearfield/default/frames/x/line-1/cam/-",
    ):
        bench.came.clear()
        callback(key, [(b"", b"")])
        assert len(bench.came) == 1, key
