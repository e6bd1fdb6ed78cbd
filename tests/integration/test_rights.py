"""Who may do what at a running zipper: tenants, refusals, and rights that change while frames flow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from nearfield import Frame, Header, Sink, Source, dial
from nearfield.cli.top import ask_ledger
from nearfield.errors import RefusedError, TransportError
from nearfield.frame import keys
from nearfield.frame.rights import ALL, Right, every_right
from nearfield.transport import (
    Address,
    Identity,
    StateDirectory,
    Uncertified,
    ensure_local_identity,
    ensure_server_certificate,
)
from nearfield.transport.issuing import revoke
from nearfield.zipper import GroupPolicy, Zipper, ZipperSettings
from tests.integration.test_reload import Site, steadily
from tests.processes import BELT, UPPERCASE, Commands, free_port, nearfield, poll
from tests.tenants import LABEL, Hall, issued

HEADER = Header(tag=0x10, stream=1, sequence=0, captured_ns=1, sent_ns=1)


@pytest.fixture(scope="module")
def hall(module_commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    """The example of two tenants, with the function that the dairy's developer runs."""
    folder = tmp_path_factory.mktemp("hall")
    hall = Hall(module_commands, folder)
    program = folder / "label.py"
    program.write_text(LABEL)
    module_commands.start("run", program, *hall.options("dairy-developer")).ready()
    with hall.dial(None, "bakery") as connection:
        poll(lambda: ask_ledger(connection)["groups"]["label"]["instances"] == 1, "an instance")
    yield hall


def received(sink: Sink, count: int) -> list[Frame]:
    """So many, and a moment later no more."""
    frames = [frame for _ in range(count) if (frame := sink.receive(20)) is not None]
    assert len(frames) == count, sink.statistics()
    assert sink.receive(0.3) is None
    return frames


# ---- tenants


def test_each_tenant_has_frames_functions_names_and_a_ledger_of_its_own(hall: Hall) -> None:
    with ExitStack() as stack:
        oven, tank, screen, office = (
            stack.enter_context(hall.dial(name)) for name in ("oven-cam", "tank-cam", "counter-screen", "dairy-office")
        )
        # Without tags: exactly what each may see.
        screen_sink, office_sink = (stack.enter_context(Sink(connection)) for connection in (screen, office))
        sources = {
            b"bread": stack.enter_context(Source("oven-cam", oven, tag=0x10, mode="complete")),
            b"milk": stack.enter_context(Source("tank-cam", tank, tag=0x10, mode="complete")),
        }
        results = {payload: source.results(20) for payload, source in sources.items()}
        for payload, source in sources.items():
            source.send(payload)
        assert all(source.flush(30) for source in sources.values())
        assert next(results[b"bread"]).payload == b"BREAD"
        assert next(results[b"milk"]).payload == b"dairy:milk"
        assert [(frame.tag, frame.origin, frame.payload) for frame in received(screen_sink, 1)] == [
            (0x11, "oven-cam", b"BREAD")
        ]
        assert sorted((frame.tag, frame.origin, frame.payload) for frame in received(office_sink, 2)) == [
            (0x10, "tank-cam", b"milk"),
            (0x11, "tank-cam", b"dairy:milk"),
        ]
        dairy = ask_ledger(office)
    assert (dairy["namespace"], list(dairy["groups"])) == ("dairy", ["label"])
    shown = nearfield("top", "--once", "--json", "--namespace", "bakery", "--zipper", hall.address)
    bakery = json.loads(shown.stdout)
    assert (bakery["namespace"], list(bakery["groups"])) == ("bakery", ["label"])
    assert "tank-cam" not in shown.stdout
    assert "oven-cam" not in json.dumps(dairy)


def test_gateway_sends_for_others_and_sees_their_results_alone(hall: Hall) -> None:
    with hall.dial("gateway") as gateway, hall.dial("oven-cam") as oven:
        shelf = Source("shelf-3", gateway.retain(), tag=0x10, mode="complete")
        other = Source("oven-cam", oven.retain(), tag=0x10, mode="complete")
        with closing(shelf), closing(other):
            mine, theirs = shelf.results(20), other.results(20)
            other.send(b"theirs")
            shelf.send(b"mine")
            assert (next(mine).payload, next(theirs).payload) == (b"MINE", b"THEIRS")
        # `shelf-9` is in its rights, `oven-cam` not, and what it asks for of that name does not come.
        with pytest.raises(RefusedError, match=r"`gateway` may not send as `oven-cam`; expected `shelf-\*`"):
            Source("oven-cam", gateway.retain())


# ---- refusals

SEND = ("send", str(BELT), "--every", "100", "--fps", "max")
REFUSED: dict[str, tuple[tuple[str, ...], str, str]] = {
    "tag": (
        (*SEND, "--tag", "0x11"),
        "oven-cam",
        "`oven-cam` may not send tag 0x11; expected 0x10",
    ),
    "name": (
        (*SEND, "--tag", "0x10", "--name", "shelf-1"),
        "oven-cam",
        "`oven-cam` may not send as `shelf-1`; expected `oven-cam`",
    ),
    "no source": (
        (*SEND, "--tag", "0x10", "--name", "counter-screen"),
        "counter-screen",
        "`counter-screen` may not send as `counter-screen`; it is no source",
    ),
    "function": (
        ("run", str(UPPERCASE), "--name", "pack", "--observe", "0x10"),
        "dairy-developer",
        "`dairy-developer` may not run function `pack`; expected `label`",
    ),
    "no function": (
        ("run", str(UPPERCASE), "--name", "label", "--observe", "0x10"),
        "oven-cam",
        "`oven-cam` may not run function `label`; expected none",
    ),
    "observed tag": (
        ("watch", "--tag", "0x10"),
        "counter-screen",
        "`counter-screen` may not observe tag 0x10; expected 0x11",
    ),
    "no sink": (("watch",), "oven-cam", "`oven-cam` may not observe anything"),
    "ledger": (("top", "--once"), "oven-cam", "`oven-cam` may not read the ledger"),
}


def test_commands_say_at_once_what_they_may_not_do(hall: Hall, commands: Commands) -> None:
    started = {case: commands.start(*arguments, *hall.options(name)) for case, (arguments, name, _) in REFUSED.items()}
    for case, command in started.items():
        expected = f"error: zipper `hall-1`: {REFUSED[case][2]}; see `rights` in its workflow\n"
        assert (command.finish(), command.stderr.endswith(expected)) == (1, True), command.describe()
        assert command.lines == [], case


def test_other_tenant_s_namespace_does_not_answer(hall: Hall, commands: Commands) -> None:
    started = []
    for name, namespace in (("counter-screen", "dairy"), ("dairy-office", "bakery")):
        command = commands.start("watch", *hall.options(name)[:-1], namespace)
        started.append((command, f"no zipper answers in namespace `{namespace}`; `{name}` may have no rights there"))
    for command, text in started:
        assert command.finish() == 1
        assert command.stderr == f"error: {hall.address}: {text}\n"


def test_source_without_a_name_is_named_after_its_identity(hall: Hall, commands: Commands) -> None:
    done = commands.start(*SEND, "--tag", "0x10", *hall.options("oven-cam"))
    assert done.finish() == 0, done.describe()
    assert "oven-cam" in json.dumps(done.lines[0])


def test_payload_beyond_the_identity_s_limit_is_refused_where_it_is_sent(hall: Hall) -> None:
    with (
        hall.dial("oven-cam") as oven,
        Source("oven-cam", oven.retain(), tag=0x10, mode="complete") as source,
        pytest.raises(RefusedError) as caught,
    ):
        source.send(bytes(3 * 2**20))
    assert str(caught.value) == (
        "zipper `hall-1`: `oven-cam` may not send 3145728 bytes in one frame; expected at most 2097152; "
        "see `max_payload` in its workflow"
    )


def test_payload_that_is_sent_all_the_same_is_refused_and_counted(hall: Hall) -> None:
    with hall.dial("oven-cam") as oven, hall.dial(None, "bakery") as mine:
        before = ask_ledger(mine)["ingress"]["rejected"].get("too-large", 0)
        oven.session.publish(
            keys.frame("bakery", 0x10, "hall-1", "oven-cam"), b"x" * (2 * 2**20 + 1), attachment=HEADER.encode()
        )
        poll(lambda: ask_ledger(mine)["ingress"]["rejected"].get("too-large", 0) == before + 1, "counted")


# ---- rights that change


def refused(address: str, identity: Identity) -> bool:
    """Whether a zipper has no ear for an identity."""
    try:
        dial(address, identity=identity, timeout_s=0.5).close()
    except (RefusedError, TransportError):
        return True
    return False


def test_identities_are_let_in_and_put_out_while_frames_of_others_flow(commands: Commands) -> None:
    node = commands.node(
        [{"name": "upper", "observe": ["0x10"], "run": str(UPPERCASE), "delivery": {"mode": "complete"}}]
    )
    node.until_instances("upper", 1)
    good, lost = (issued(name, "source") for name in ("good-cam", "lost-cam"))
    node.serve.says("identities were issued or revoked")
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(dial(node.address, identity=each))) for each in (good, lost)]
        kept = stack.enter_context(closing(Source("good-cam", connections[0].retain(), tag=0x10, mode="complete")))
        other = stack.enter_context(closing(Source("lost-cam", connections[1].retain(), tag=0x10)))
        with steadily(kept, other) as next_number:
            poll(lambda: next_number() > 20, "frames flow")
            node.until_group("upper", lambda group: group["completed"] > 20, "handled")
            revoke(StateDirectory.from_environment(), "lost-cam")
            node.serve.says("identities were issued or revoked", times=2)
            poll(lambda: not connections[1].is_heard, "the revoked one hears nothing any more", timeout_s=10)
            at = next_number()
            poll(lambda: next_number() > at + 20, "frames flow")
        total = next_number()
        assert kept.flush(30)
        assert connections[0].is_heard
        assert refused(node.address, lost)
        node.until_instances("upper", 1)
        group = node.until_settled("upper", total)
    assert (group["failed"], group["dropped"]) == ({}, {})
    assert kept.statistics().released == total
    assert group["sources"]["good-cam"]["0x10"]["completed"] == total
    assert "Traceback" not in node.serve.stderr


def upper(**more: Any) -> dict[str, Any]:
    return {"name": "upper", "observe": ["0x10"], "run": str(UPPERCASE), **more}


def test_reload_takes_on_rights_alone_and_functions_of_every_namespace(commands: Commands, tmp_path: Path) -> None:
    site = Site(tmp_path, commands)
    cam, screen = issued("reload-cam", "source"), issued("reload-screen", "sink")
    dairy = {"functions": [upper()], "rights": {"somebody": {"observe": "all"}}}
    rights: dict[str, Any] = {"reload-cam": {"send": ["0x10"]}}

    def write(**more: Any) -> None:
        site.write(upper(), rights=rights, namespaces={"dairy": dairy}, **more)

    write()
    node = site.serve()
    node.until_instances("upper", 1)
    assert refused(node.address, screen)
    with closing(dial(node.address, identity=cam)) as connection:
        # What is broken changes nothing.
        site.workflow.write_text("name: site\nfunctions: []\nrights: {reload-screen: {observe: [0x11], sned: [1]}}\n")
        assert site.reload().status == 2
        assert connection.interruptions == 0
        # Nothing has changed.
        write()
        assert site.reload().stdout.splitlines()[-1].endswith(": nothing has changed")
        assert connection.interruptions == 0
        rights["reload-screen"] = {"observe": ["0x11"]}
        rights["reload-cam"] = {"send": ["0x10", "0x12"]}
        write()
        done = site.reload()
        assert done.status == 0, done
        assert done.stdout.splitlines()[-1].endswith(": rights changed")
        # Each has its rights by then, and the source learns of its new ones by itself.
        poll(lambda: connection.permission.granted.send == (0x10, 0x12), "new rights")
    with closing(dial(node.address, identity=screen)) as watching, Sink(watching) as sink:
        node.until_instances("upper", 1)
        assert site.results() == "?"
        assert [frame.tag for frame in received(sink, 1)] == [0x11]
    # A function of another namespace, by its whole name; and one that is none.
    done = site.reload("dairy/upper")
    assert done.stdout.splitlines()[-1].endswith(": `dairy/upper` restarted (asked for)"), done
    assert site.reload("dairy").error == (
        "function `dairy` is not in the workflow; listed there: `upper`, `dairy/upper`"
    )
    with closing(dial(node.address, namespace="dairy")) as connection:
        assert ask_ledger(connection)["groups"]["upper"]["instances"] == 1
    assert "Traceback" not in node.serve.stderr


def test_zipper_whose_session_does_not_open_again_is_deaf_until_it_does(
    state_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateDirectory(state_directory)
    identity, me = ensure_server_certificate(state), ensure_local_identity(state).name
    mine = [every_right("default", me)]
    address = Address("127.0.0.1", free_port())
    zipper = Zipper(
        ZipperSettings("deaf", "default", [address], identity, [GroupPolicy("upper", frozenset({0x10}))], rights=mine)
    )
    zipper.start()
    with closing(zipper), closing(dial(str(address))) as connection:

        def occupied(*_: Any) -> None:
            raise TransportError("cannot open the session again")

        with monkeypatch.context() as patch:
            patch.setattr("nearfield.transport.session._open_in_time", occupied)
            for _ in range(2):
                with pytest.raises(TransportError):
                    zipper.set_rights([*mine, Right("default", "screen", observe=ALL)])
            # Its dispatcher goes on, says its state to nobody, and takes in what it will subscribe to.
            poll(lambda: not connection.is_heard, "silence")
            zipper.set_policies([GroupPolicy("lower", frozenset({0x12}))])
            assert list(zipper.ledger()["groups"]) == ["lower"]
            assert zipper.failure is None
        # Also where these are the rights that it had before.
        assert zipper.set_rights(mine)
        assert not zipper.set_rights(mine)
        poll(lambda: connection.is_heard and connection.state.epoch == zipper.ledger()["epoch"], "it is heard again")
        poll(lambda: connection.session.ask(keys.ledger("default", "deaf")) is not None, "and answers")


# ---- tokens


def test_each_token_has_the_rights_of_its_name(commands: Commands, state_directory: Path) -> None:
    tokens = {"cam": "cam-0123456789abcdef", "desk": "desk-0123456789abcdef", "idle": "idle-0123456789abcdef"}
    rights = {"cam": {"send": ["0x10"]}, "desk": {"observe": ["0x11"], "ledger": True}}
    node = commands.node([upper()], auth={"type": "token", "tokens": tokens}, rights=rights)
    node.until_instances("upper", 1)
    ca = ensure_local_identity(StateDirectory(state_directory)).ca_pem_path

    def connected(name: str) -> Any:
        return closing(dial(node.address, identity=Uncertified(ca), token=f"{name}:{tokens[name]}", timeout_s=2))

    with connected("cam") as cam, connected("desk") as desk:
        with closing(Sink(desk.retain())) as sink, closing(Source("cam", cam.retain(), tag=0x10)) as source:
            results = source.results(20)
            source.send(b"text")
            assert next(results).payload == b"TEXT"
            assert [frame.payload for frame in received(sink, 1)] == [b"TEXT"]
        assert ask_ledger(desk)["groups"]["upper"]["completed"] == 1
        refusals: list[tuple[Callable[[], object], str]] = [
            (lambda: Source("desk", desk.retain()), "`desk` may not send as `desk`; it is no source"),
            (lambda: Source("desk", cam.retain()), "`cam` may not send as `desk`; expected `cam`"),
            (lambda: Sink(cam.retain()), "`cam` may not observe anything"),
            (lambda: ask_ledger(cam), "`cam` may not read the ledger"),
        ]
        for attempt, text in refusals:
            with pytest.raises(RefusedError) as caught:
                attempt()
            assert str(caught.value) == f"zipper `node`: {text}; see `rights` in its workflow"
    with pytest.raises(RefusedError, match="`idle` may have no rights there"), connected("idle"):
        pass
