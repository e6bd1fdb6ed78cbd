"""Reloads one after the other. What one does is in tests/integration/test_reload.py."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, cast

from nearfield.config import FunctionConfig, Workflow
from nearfield.errors import ConfigError, StartFailed, TransportError
from nearfield.supervise import Event, FunctionChange, Reloader, ReloadRequest, Version, text_of

VERSION = Version(Workflow(name="line", functions=()), {})
ENTRY = FunctionConfig(name="detect")
CHANGE = FunctionChange("default", "detect", ENTRY, ENTRY, ("code", "sandbox"), 1, 1)
REST = FunctionChange("default", "rest", ENTRY, ENTRY, (), 0, 0)


class FakeDeployment:
    """Does as it is told, a step for each character: `.` waits, `p` speaks, `x` fails."""

    def __init__(self) -> None:
        self.version = VERSION
        self.script = "p."
        self.asked: list[Collection[str]] = []
        self.taken_back = 0

    def change(self, version: Version, named: Collection[str]) -> Iterator[str | None]:
        self.asked.append(named)
        try:
            for letter in self.script:
                if letter == "x":
                    raise StartFailed("a new instance did not start", where="function `detect`")
                yield "compiling" if letter == "p" else None
        except GeneratorExit:
            self.taken_back += 1
            raise
        return [CHANGE, REST]


class Bench:
    def __init__(self) -> None:
        self.deployment = FakeDeployment()
        self.events: list[Event] = []
        self.wrong: ConfigError | None = None
        self.rights = False
        self.rights_fail: TransportError | None = None
        self.reloader = Reloader(cast(Any, self.deployment), self.read, self.events.append, self.apply_rights)

    def read(self) -> Version:
        if self.wrong is not None:
            raise self.wrong
        return VERSION

    def apply_rights(self, workflow: Workflow) -> bool:
        assert workflow is VERSION.workflow
        if self.rights_fail is not None:
            raise self.rights_fail
        return self.rights

    def names(self) -> list[str]:
        return [event["event"] for event in self.events]

    def poll(self, times: int = 10) -> None:
        for _ in range(times):
            self.reloader.poll()


def test_reload_is_done_step_by_step_and_told_to_all() -> None:
    bench = Bench()
    mine: list[Event] = []
    bench.poll()
    bench.reloader.request(ReloadRequest(("detect",), mine.append))
    bench.poll(1)
    assert bench.names() == ["reloading"]
    bench.poll(1)
    assert bench.names() == ["reloading"]
    bench.poll(1)
    assert bench.names() == ["reloading", "reloaded"]
    assert bench.deployment.asked == [("detect",)]
    assert mine == bench.events
    assert bench.events[1]["functions"] == [
        {"function": "detect", "change": "restarted", "what": ["code", "sandbox"]},
        {"function": "rest", "change": "unchanged", "what": []},
    ]


def test_reloads_wait_for_each_other() -> None:
    bench = Bench()
    for name in ("one", "two"):
        bench.reloader.request(ReloadRequest((name,)))
    bench.poll(2)
    assert bench.deployment.asked == [("one",)]
    bench.poll(1)
    bench.poll(3)
    assert bench.deployment.asked == [("one",), ("two",)]
    assert bench.names() == ["reloading", "reloaded"] * 2


def test_what_goes_wrong_ends_a_reload_and_the_next_one_is_done() -> None:
    bench = Bench()
    bench.wrong = ConfigError("cannot read", where="w.yaml")
    bench.reloader.request(ReloadRequest())
    bench.poll()
    bench.wrong, bench.deployment.script = None, "px"
    bench.reloader.request(ReloadRequest())
    bench.poll()
    bench.deployment.script = ""
    bench.reloader.request(ReloadRequest())
    bench.poll()
    failed = {"event": "reload-failed"}
    assert bench.events[:3] == [
        {**failed, "error": "w.yaml: cannot read", "exit_code": 2},
        {"event": "reloading", "text": "compiling"},
        {**failed, "error": "function `detect`: a new instance did not start", "exit_code": 1},
    ]
    assert bench.names()[3:] == ["reloaded"]


def test_zipper_that_stops_takes_back_what_is_not_done_and_says_so() -> None:
    bench = Bench()
    for _ in range(2):
        bench.reloader.request(ReloadRequest())
    bench.poll(1)
    bench.reloader.request(ReloadRequest())
    bench.reloader.close()
    bench.reloader.close()
    assert bench.deployment.taken_back == 1
    assert bench.names() == ["reloading", *["reload-failed"] * 3]
    assert {event["error"] for event in bench.events[1:]} == {"the zipper stops"}


def test_events_are_lines_for_people() -> None:
    assert text_of({"event": "reloading", "text": "compiling"}) == "compiling"
    assert text_of({"event": "reload-failed", "error": "no", "exit_code": 1}) == "no"
    nothing = {"event": "reloaded", "took_s": 0.04, "functions": [REST.as_dict()], "rights": False}
    assert text_of(nothing) == "reloaded in 0.0 s: nothing has changed"
    assert text_of(nothing | {"rights": True}) == "reloaded in 0.0 s: rights changed"
    done = {"event": "reloaded", "took_s": 1.5, "functions": [CHANGE.as_dict(), REST.as_dict()], "rights": True}
    assert text_of(done) == "reloaded in 1.5 s: `detect` restarted (code, sandbox); rights changed"
    done["rights"] = False
    assert text_of(done) == "reloaded in 1.5 s: `detect` restarted (code, sandbox)"


def test_rights_are_applied_when_the_functions_are_through_and_told_about() -> None:
    bench = Bench()
    for bench.rights in (True, False):
        bench.reloader.request(ReloadRequest())
        bench.poll()
    assert [event["rights"] for event in bench.events if event["event"] == "reloaded"] == [True, False]


def test_rights_that_cannot_be_applied_fail_the_reload_and_not_the_next() -> None:
    bench = Bench()
    bench.rights_fail = TransportError("cannot open the session again")
    bench.reloader.request(ReloadRequest())
    bench.poll()
    assert bench.events[-1] == {
        "event": "reload-failed",
        "error": "the functions are those of the new workflow, the rights are not yet: cannot open the session again",
        "exit_code": 1,
    }
    bench.rights_fail = None
    bench.reloader.request(ReloadRequest())
    bench.poll()
    assert bench.names()[-1] == "reloaded"
