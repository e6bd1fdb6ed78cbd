"""A guest as a handler, also on several threads at once: what happens to one frame stays with that frame."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from nearfield.errors import (
    EmissionRefused,
    GuestExited,
    GuestFailed,
    GuestMemoryExceeded,
    GuestTimeout,
    GuestTrapped,
    InternalError,
    NearfieldError,
)
from nearfield.frame import Header
from nearfield.function import Context
from nearfield.function.concurrency import handle_in_order
from nearfield.function.emission import FRAME_CHARGE_BYTES, EmissionGate, EmissionRules
from nearfield.function.guest import GuestFunction
from nearfield.inference import ModelStore
from nearfield.queues import Mailbox
from nearfield.sandbox import Emission, Guest, Invocation, Limits, LogLine, Outcome, compile_guest
from tests.unit.sandbox.kit import own_guest, write

TAG = 0x10

# Does what the first byte of its frame says: [e]cho, [t]rap, [l]oop, [f]ail, e[x]it, [m]emory, [d]ivide by zero, or ask
# for a tensor of a model, which breaks the [h]ost. Before that it counts its own calls, to see that memory is fresh.
MOODY = own_guest(
    """(local $mood i32)
       (drop (call $frame_read (i32.const 1024) (i32.const 60000)))
       (local.set $mood (i32.load8_u (i32.const 1024)))
       (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
       (if (i32.ne (i32.load (i32.const 0)) (i32.const 1)) (then unreachable))
       (if (i32.eq (local.get $mood) (i32.const 116)) (then (call $trap)))
       (if (i32.eq (local.get $mood) (i32.const 108)) (then (call $spin)))
       (if (i32.eq (local.get $mood) (i32.const 120)) (then (call $exit (i32.const 7))))
       (if (i32.eq (local.get $mood) (i32.const 100))
         (then (drop (i32.div_u (i32.const 1) (i32.load (i32.const 4))))))
       (if (i32.eq (local.get $mood) (i32.const 109)) (then (call $fill)))
       (if (i32.eq (local.get $mood) (i32.const 104))
         (then (drop (call $model_tensor (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 64)))))
       (if (i32.eq (local.get $mood) (i32.const 102))
         (then (call $fail (i32.const 1024) (call $frame_size)) (return (i32.const 1))))
       (drop (call $emit (i32.const 0x11) (i32.const 1024) (call $frame_size)))
       (i32.const 0)""",
    more="""(func $trap unreachable)
       (func $spin (loop $again (br $again)))
       (func $fill (loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable)""",
    imports='(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))',
)

OUTCOMES: dict[str, type[NearfieldError] | None] = {
    "e": None,
    "t": GuestTrapped,
    "d": GuestTrapped,
    "l": GuestTimeout,
    "f": GuestFailed,
    "x": GuestExited,
    "m": GuestMemoryExceeded,
    "h": InternalError,
}


class BrokenStore(ModelStore):
    """Fails in a way that no host function knows of."""

    def by_name(self, name: str) -> Any:
        raise RuntimeError(f"no store for `{name}`")


LoadMany = Callable[[int], GuestFunction]


@pytest.fixture
def moody(tmp_path: Path) -> Iterator[LoadMany]:
    loaded: list[GuestFunction] = []

    def load(count: int) -> GuestFunction:
        # Long enough for a guest that does not loop, on a machine that is busy with other things.
        limits = Limits(deadline_s=4.0, memory_bytes=1024 * 1024)
        compiled = compile_guest(write(tmp_path, MOODY), limits=limits)
        guests = [Guest.load(compiled, name="f", models=BrokenStore({}), limits=limits) for _ in range(count)]
        loaded.append(GuestFunction("f", *guests))
        return loaded[-1]

    yield load
    for function in loaded:
        function.close()


def context(payload: bytes, sequence: int = 1) -> Context:
    return Context(payload, Header(TAG, 1, sequence, 0, 0), "cam")


def handle_all(function: GuestFunction, payloads: list[bytes]) -> list[tuple[Context, NearfieldError | None]]:
    mailbox: Mailbox[Context] = Mailbox(len(payloads))
    for sequence, payload in enumerate(payloads):
        mailbox.put(context(payload, sequence))
    mailbox.close()
    done: list[tuple[Context, NearfieldError | None]] = []

    def handle(taken: Context) -> tuple[Context, NearfieldError | None]:
        try:
            function.handle(taken)
        except NearfieldError as error:
            return taken, error
        return taken, None

    handle_in_order(function.concurrency, lambda: cast(Context, mailbox.take()), handle, done.append, mailbox.close)
    return done


def test_failures_of_every_kind_at_once_each_land_on_their_own_frame(moody: LoadMany) -> None:
    """The hazard of wasmtime's binding: an exception in one thread's host function turns up in another thread."""
    moods = [mood for mood in OUTCOMES for _ in range(3 if mood == "l" else 20)]
    random.Random(4).shuffle(moods)
    payloads = [f"{mood}{position}".encode() for position, mood in enumerate(moods)]
    done = handle_all(moody(4), payloads)
    assert [taken.payload for taken, _ in done] == payloads
    for position, (mood, (taken, error)) in enumerate(zip(moods, done, strict=True)):
        expected = OUTCOMES[mood]
        assert (None if error is None else type(error)) is expected, (mood, error)
        assert taken.emissions == ([] if expected else [(0x11, taken.payload, None)])
        if error is not None:
            assert f"frame cam/{position}, tag 0x10" in str(error)
        if mood == "f":
            assert f"f{position}," in str(error)
        if mood == "h":
            assert "no store for `h`" in str(error)


def test_an_endless_loop_holds_up_nobody_elses_handling(moody: LoadMany) -> None:
    function = moody(2)
    done = handle_all(function, [b"l", *[b"e%d" % number for number in range(30)]])
    assert isinstance(done[0][1], GuestTimeout)
    assert [error for _, error in done[1:]] == [None] * 30


def test_it_takes_as_many_frames_as_it_has_guests(moody: LoadMany) -> None:
    assert [moody(1).concurrency, moody(3).concurrency] == [1, 3]


class Recorder:
    """Stands in for a guest; keeps what it was given."""

    abi = "nearfield-v1"
    logs_of_last_call = ()

    def __init__(self) -> None:
        self.given: list[Invocation] = []

    def handle(self, invocation: Invocation) -> Outcome:
        self.given.append(invocation)
        return Outcome((), (), 0, 0, {})

    def close(self) -> None: ...


def test_the_frames_deadline_reaches_the_guest() -> None:
    guest = Recorder()
    function = GuestFunction("f", cast(Guest, guest))
    for ends_at_s in (50.25, None):
        given = context(b"")
        given.ends_at_s = ends_at_s
        function.handle(given)
    assert [invocation.ends_at_s for invocation in guest.given] == [50.25, None]


class Addresser(Recorder):
    """Emits each payload for the source that it names."""

    def handle(self, invocation: Invocation) -> Outcome:
        emissions = (Emission(0x11, b"order", invocation.payload.decode()), Emission(0x12, b"result"))
        return Outcome(emissions, (), 0, 0, {})


def test_what_a_guest_sends_to_one_source_is_sent_to_that_and_counted_with_its_name() -> None:
    name = "n" * 64
    given = context(name.encode())
    GuestFunction("f", cast(Guest, Addresser())).handle(given)
    assert given.emissions == [(0x11, b"order", name), (0x12, b"result", None)]
    cost = len(b"order") + len(name) + len(b"result") + 2 * FRAME_CHARGE_BYTES
    EmissionGate(EmissionRules("text", 8, cost)).check(given.emissions, 0)
    with pytest.raises(EmissionRefused, match=r"^emit_rate: "):
        EmissionGate(EmissionRules("text", 8, cost - 1)).check(given.emissions, 0)


class Speaker(Recorder):
    """Says something about each frame, and emits one frame that is refused."""

    logs_of_last_call = (LogLine(2, "secret"), LogLine(1, "secret"))

    def handle(self, invocation: Invocation) -> Outcome:
        return Outcome((), (), int(invocation.payload), 0, {})


def test_what_a_guest_says_is_logged_unless_its_words_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        GuestFunction("f", cast(Guest, Speaker())).handle(context(b"1"))
        assert caplog.messages == [
            "guest `f`: secret",
            "guest `f`: secret",
            "function `f`: 1 emitted frames were refused",
        ]
        caplog.clear()
        keeping = GuestFunction("f", cast(Guest, Speaker()), keeps_words=True)
        keeping.handle(context(b"0"))
        with pytest.raises(EmissionRefused) as caught:
            keeping.handle(context(b"7"))
    assert str(caught.value) == (
        "emit: got a tag that is not declared, a source that is no name, or more than the sandbox's limits"
    )
    assert caplog.messages == ["guest `f`: what it says is withheld because of `emit_kind`"]
