"""From one version of a workflow to another, with processes that do nothing and a zipper that the test plays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from nearfield.config import DeliveryConfig, FunctionConfig, NamespaceConfig, Workflow
from nearfield.errors import ConfigError, StartFailed, TransportError, UsageError
from nearfield.supervise import Deployment, FunctionChange, Supervisor, Version, policy_of
from nearfield.transport import Address
from nearfield.zipper import GroupPolicy

IDLE = [sys.executable, "-c", "import signal; signal.pause()"]
FAILS = [sys.executable, "-c", "raise SystemExit(3)"]
APP = Path("/w/app.py")
KEEP = FunctionConfig(name="keep", observe=(16,), run=APP, instances=2)
OTHER = FunctionConfig(name="other", observe=(18,), run=APP)
FOREIGN = FunctionConfig(name="foreign", observe=(20,))
Eventually = Callable[..., None]


class FakeZipper:
    """Notes what it is told. All processes have joined, but those of functions in `absent`.

    Functions of other namespaces than `default` are noted as `namespace/function`.
    """

    namespaces = ("default", "dairy")

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.policies: list[list[GroupPolicy]] = []
        self.others: list[list[str]] = []
        self.calls: list[tuple[Any, ...]] = []
        self.absent: set[str] = set()
        self.is_slow = False

    def pids_of(self, function: str, *, namespace: str) -> set[int]:
        function = placed(namespace, function)
        if self.is_slow:
            self.is_slow = False
            raise TransportError("the dispatcher does not answer")
        pids = {pid for label, pid in self._supervisor.pids().items() if label.startswith(f"{function}#")}
        return set() if function in self.absent else pids

    def set_policies(self, policies: Sequence[GroupPolicy], timeout_s: float, *, namespace: str) -> None:
        if namespace == "default":
            self.policies.append([*policies])
        else:
            self.others.append([policy.name for policy in policies])

    def add_function(self, policy: GroupPolicy, *, namespace: str) -> None:
        self.calls.append(("add", placed(namespace, policy.name)))

    def remove_function(self, name: str, timeout_s: float, *, namespace: str) -> None:
        self.calls.append(("remove", placed(namespace, name)))

    def expect(self, name: str, observe: frozenset[int], timeout_s: float = 2.0, *, namespace: str) -> None:
        self.calls.append(("expect", placed(namespace, name), set(observe)))


def placed(namespace: str, function: str) -> str:
    return function if namespace == "default" else f"{namespace}/{function}"


class Bench:
    told: list[tuple[str, str]]

    def __init__(self, supervisor: Supervisor, eventually: Eventually, runs: Version | None = None) -> None:
        self.supervisor = supervisor
        self.eventually = eventually
        self.zipper = FakeZipper(supervisor)
        self.deployment = Deployment(
            cast(Any, self.zipper),
            supervisor,
            runs or version(KEEP, FOREIGN),
            where="w.yaml",
            reach=[Address("127.0.0.1", 9900)],
            identity=None,
        )
        self.deployment.start()
        supervisor.poll()
        self.first = supervisor.pids()

    def change(self, after: Version, *named: str) -> list[FunctionChange]:
        """To the end, with the supervisor at work beside it."""
        steps, done = self.deployment.change(after, named), []

        def step() -> bool:
            self.supervisor.poll()
            try:
                next(steps)
            except StopIteration as end:
                done.extend(end.value)
                return True
            return False

        self.eventually(step, "the change is done")
        return done


def version(*functions: FunctionConfig, code: str = "old", **fields: Any) -> Version:
    return Version(Workflow(name="line", functions=functions, **fields), {APP: code})


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, eventually: Eventually) -> Iterator[Bench]:
    monkeypatch.setattr("nearfield.supervise.deployment.worker_command", lambda *_, **__: IDLE)
    supervisor = Supervisor()
    yield Bench(supervisor, eventually)
    supervisor.stop()


def test_changed_code_gets_new_instances_before_the_former_ones_go(bench: Bench) -> None:
    assert list(bench.first) == ["keep#1", "keep#2"]
    steps = bench.deployment.change(version(KEEP, FOREIGN, code="new"))
    assert next(steps) == "starting 2 × `keep`"
    bench.supervisor.poll()
    assert list(bench.supervisor.pids()) == ["keep#1", "keep#2", "keep#3", "keep#4"]
    bench.eventually(lambda: bench.supervisor.poll() or next(steps, "done") == "done", "it is done")
    assert list(bench.supervisor.pids()) == ["keep#3", "keep#4"]
    assert bench.zipper.policies == [[policy_of(KEEP), policy_of(FOREIGN)]]


def test_settings_of_delivery_and_the_number_of_instances_touch_no_other_process(bench: Bench) -> None:
    after = replace(KEEP, instances=3, delivery=DeliveryConfig(mode="complete"))
    bench.change(version(after, FOREIGN))
    pids = bench.supervisor.pids()
    assert list(pids) == ["keep#1", "keep#2", "keep#3"]
    assert pids | bench.first == pids
    assert bench.zipper.policies == [[policy_of(after), policy_of(FOREIGN)]]
    bench.change(version(replace(after, instances=1), FOREIGN))
    assert bench.supervisor.pids() == {"keep#1": bench.first["keep#1"]}


def test_removed_function_is_known_until_its_instances_have_finished(bench: Bench) -> None:
    bench.change(version(OTHER, FOREIGN))
    assert bench.zipper.calls == [("add", "other")]
    assert [[policy.name for policy in policies] for policies in bench.zipper.policies] == [
        ["other", "foreign", "keep"],
        ["other", "foreign"],
    ]
    assert list(bench.supervisor.pids()) == ["other#1"]


@pytest.mark.parametrize("case", ["late", "fails", "closed"])
def test_new_instances_that_do_not_start_change_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    after = version(replace(KEEP, observe=(17,)), FOREIGN, OTHER)
    bench.zipper.absent = {"keep"}
    if case == "late":
        monkeypatch.setattr("nearfield.supervise.deployment.START_TIMEOUT_S", 0.05)
        with pytest.raises(StartFailed, match=r"^function `keep`: new instances did not join within 0.05 s$"):
            bench.change(after)
    elif case == "fails":
        monkeypatch.setattr("nearfield.supervise.deployment.worker_command", lambda *_, **__: FAILS)
        with pytest.raises(StartFailed, match=r"`(keep|other)`: a new instance did not start: exited with status 3$"):
            bench.change(after)
    else:
        steps = bench.deployment.change(after)
        next(steps)
        steps.close()
    assert bench.supervisor.pids() == bench.first
    assert bench.zipper.policies == []
    assert bench.zipper.calls == [
        ("expect", "keep", {17}),
        ("add", "other"),
        ("expect", "keep", set()),
        ("remove", "other"),
    ]
    bench.zipper.absent = set()
    monkeypatch.setattr("nearfield.supervise.deployment.START_TIMEOUT_S", 30)
    monkeypatch.setattr("nearfield.supervise.deployment.worker_command", lambda *_, **__: IDLE)
    assert [change.kind for change in bench.change(after)] == ["restarted", "unchanged", "added"]


def test_zipper_that_is_slow_for_a_moment_is_asked_again(bench: Bench) -> None:
    bench.zipper.is_slow = True
    assert bench.change(version(KEEP, FOREIGN), "keep")[0].what == ("asked for",)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody", "function `nobody` is not in the workflow; listed there: `keep`, `foreign`"),
        ("foreign", "function `foreign` connects by itself; start it again where it runs"),
    ],
)
def test_only_functions_that_are_started_here_can_be_named(bench: Bench, name: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        bench.change(version(KEEP, FOREIGN), name)
    assert str(caught.value) == message


def test_what_cannot_change_is_refused_before_anything_is_done(bench: Bench) -> None:
    with pytest.raises(ConfigError, match=r"^w\.yaml: `port`: cannot change"):
        bench.change(version(replace(KEEP, instances=5), port=1))
    assert bench.supervisor.pids() == bench.first
    assert bench.zipper.calls == []


# ---- namespaces


def dairy(*functions: FunctionConfig) -> dict[str, NamespaceConfig]:
    return {"dairy": NamespaceConfig(functions=functions)}


@pytest.fixture
def tenants(monkeypatch: pytest.MonkeyPatch, eventually: Eventually) -> Iterator[Bench]:
    """`keep` twice: two functions of one name. Workers are told which is theirs."""
    told: list[tuple[str, str]] = []

    def command(function: FunctionConfig, *_: Any, namespace: str, **__: Any) -> list[str]:
        told.append((namespace, function.name))
        return IDLE

    monkeypatch.setattr("nearfield.supervise.deployment.worker_command", command)
    supervisor = Supervisor()
    bench = Bench(supervisor, eventually, version(KEEP, namespaces=dairy(replace(KEEP, instances=1))))
    bench.told = told
    yield bench
    supervisor.stop()


def test_functions_of_one_name_in_two_namespaces_are_two(tenants: Bench) -> None:
    assert list(tenants.first) == ["keep#1", "keep#2", "dairy/keep#1"]
    assert tenants.told == [("default", "keep"), ("dairy", "keep")]
    after = version(KEEP, namespaces=dairy(replace(KEEP, instances=1, observe=(17,))))
    assert [change.kind for change in tenants.change(after)] == ["unchanged", "restarted"]
    assert list(tenants.supervisor.pids()) == ["keep#1", "keep#2", "dairy/keep#2"]
    assert tenants.zipper.calls == [("expect", "dairy/keep", {17})]
    assert (tenants.zipper.policies, tenants.zipper.others) == ([[policy_of(KEEP)]], [["keep"]])


def test_functions_of_another_namespace_come_go_and_are_started_anew_by_name(tenants: Bench) -> None:
    tenants.change(version(KEEP, namespaces=dairy(OTHER)))
    assert tenants.zipper.calls == [("add", "dairy/other")]
    assert tenants.zipper.others == [["other", "keep"], ["other"]]
    assert list(tenants.supervisor.pids()) == ["keep#1", "keep#2", "dairy/other#1"]
    (_, change) = tenants.change(version(KEEP, namespaces=dairy(OTHER)), "dairy/other")
    assert (change.name, change.function, change.what) == ("dairy/other", "other", ("asked for",))
    assert list(tenants.supervisor.pids()) == ["keep#1", "keep#2", "dairy/other#2"]
    with pytest.raises(UsageError) as caught:
        tenants.change(version(KEEP, namespaces=dairy(OTHER)), "other")
    assert str(caught.value) == "function `other` is not in the workflow; listed there: `keep`, `dairy/other`"


def test_failed_start_in_another_namespace_is_taken_back_there(tenants: Bench) -> None:
    tenants.zipper.absent = {"dairy/other"}
    steps = tenants.deployment.change(version(KEEP, namespaces=dairy(replace(KEEP, observe=(17,)), OTHER)))
    assert next(steps) == "starting 2 × `dairy/keep`, 1 × `dairy/other`"
    steps.close()
    assert tenants.zipper.calls[2:] == [("expect", "dairy/keep", set()), ("remove", "dairy/other")]
    assert tenants.supervisor.pids() == tenants.first
