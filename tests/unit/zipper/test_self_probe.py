"""When a listener counts as silent, and who is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from nearfield.transport import Address
from nearfield.zipper import self_probe
from nearfield.zipper.self_probe import Listener, SelfProbe

ADDRESS = Address("127.0.0.1", 9900)


def test_alarm_is_raised_by_the_second_look_without_answer_and_ends_with_the_next_answer() -> None:
    listener = Listener(ADDRESS, "quic")
    looks = [True, False, True, False, False, False, True, False]
    assert [listener.saw(answered, float(now)) for now, answered in enumerate(looks)] == [
        False, False, False, False, True, False, True, False,
    ]  # fmt: skip
    assert listener.snapshot() == {"answers": True, "alarms": 1}


def test_listener_that_is_silent_says_so() -> None:
    listener = Listener(ADDRESS, "quic")
    listener.saw(False, 1.0)
    listener.saw(False, 2.0)
    assert listener.snapshot() == {"answers": False, "alarms": 1}
    assert (listener.name, listener.silent_since_s) == ("quic/127.0.0.1:9900", 2.0)


def test_changes_are_told_once_and_stand_in_the_snapshot(
    monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(self_probe, "SOON_S", 0.001)
    answers = {"quic": True, "tls": True}
    told: list[tuple[str, bool]] = []
    looks: list[Address] = []

    def probe(address: Address) -> dict[Any, bool]:
        looks.append(address)
        return dict(answers)

    def tell(name: str, is_answering: bool) -> None:
        told.append((name, is_answering))

    probing = SelfProbe([ADDRESS, Address("127.0.0.1", 0)], tell, probe=probe, interval_s=0.001)
    probing.start()
    eventually(lambda: len(looks) > 3, "looked")
    assert told == []
    answers["quic"] = False
    eventually(lambda: told, "told")
    count = len(looks)
    eventually(lambda: len(looks) > count + 3, "looked on")
    assert told == [("quic/127.0.0.1:9900", False)]
    assert probing.snapshot()["quic/127.0.0.1:9900"] == {"answers": False, "alarms": 1}
    answers["quic"] = True
    eventually(lambda: len(told) == 2, "told that it answers")
    probing.close()
    eventually(lambda: not any(thread.name == "self-probe" for thread in threading.enumerate()), "ended")
    assert set(looks) == {ADDRESS}, "nobody can look at port 0"
    assert [message.split(":")[0] for message in caplog.messages] == [
        "listener quic/127.0.0.1", "listener quic/127.0.0.1",
    ]  # fmt: skip
