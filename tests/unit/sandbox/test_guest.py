"""Guests that do as they should, and hostile ones; each runs on both call paths."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nearfield.errors import (
    ConfigError,
    GuestAbiError,
    GuestError,
    GuestExited,
    GuestFailed,
    GuestInvalid,
    GuestMemoryExceeded,
    GuestTimeout,
    GuestTrapped,
    InternalError,
)
from nearfield.sandbox import Emission, Guest, Invocation, Limits, LogLine
from nearfield.sandbox.callpath import CallPath, FastPath, OrdinaryPath
from tests.unit.sandbox.kit import ECHO, FRAME, load, own_guest

SHORT = Limits(deadline_s=0.05)

LoadGuest = Callable[..., Guest]


@pytest.fixture(params=["fast", "ordinary"])
def via(request: pytest.FixtureRequest) -> CallPath:
    fast = FastPath.create()
    assert fast is not None
    return fast if request.param == "fast" else OrdinaryPath()


@pytest.fixture
def guest(tmp_path: Path, via: CallPath) -> LoadGuest:
    def make(text: str, **options: Any) -> Guest:
        return load(tmp_path, text, via=via, **options)

    return make


def frame(payload: bytes) -> Invocation:
    return Invocation(FRAME.tag, payload, FRAME.origin, FRAME.sequence, FRAME.captured_ns)


# What it should do ----------------------------------------------------------------------------------------------------


def test_a_guest_reads_the_frame_and_emits(guest: LoadGuest) -> None:
    echo = guest(ECHO)
    assert echo.abi == "nearfield-v1"
    outcome = echo.handle(frame(b"hello"))
    assert outcome.emissions == (Emission(0x11, b"hello"),)
    assert (outcome.logs, outcome.refused_emits, outcome.model_ns) == ((), 0, 0)
    assert echo.handle(frame(b"")).emissions == (Emission(0x11, b""),)
    assert echo.handle(frame(b"x" * 100_000)).emissions == (Emission(0x11, b"x" * 100_000),)


def test_a_guest_sends_to_the_source_that_it_names(guest: LoadGuest) -> None:
    """The payload is a name; what the host answered for it follows, for the source where the frame began."""
    addressing = guest(
        own_guest(
            """(drop (call $frame_read (i32.const 0) (i32.const 1000)))
            (i32.store (i32.const 2000)
              (call $emit_to (i32.const 0x11) (i32.const 0) (call $frame_size) (i32.const 3000) (i32.const 5)))
            (call $emit (i32.const 0x12) (i32.const 2000) (i32.const 4))""",
            '(data (i32.const 3000) "hello")',
        )
    )
    outcome = addressing.handle(frame(b"cam-2"))
    assert outcome.emissions == (Emission(0x11, b"hello", "cam-2"), Emission(0x12, bytes(4)))
    assert outcome.refused_emits == 0
    for no_name in (b"", b"cam/2", b"\xff"):
        outcome = addressing.handle(frame(no_name))
        assert outcome.emissions == (Emission(0x12, b"\2\0\0\0"),)
        assert outcome.refused_emits == 1


def test_a_name_is_refused_with_the_tag_and_the_limits_of_every_emission(guest: LoadGuest) -> None:
    body = """(i32.store8 (i32.const 10)
          (call $emit_to (i32.const 0x12) (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 1)))
        (i32.store8 (i32.const 11)
          (call $emit_to (i32.const 0x11) (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 4)))
        (i32.store8 (i32.const 12)
          (call $emit_to (i32.const 0x11) (i32.const 0) (i32.const 5) (i32.const 131072) (i32.const 1)))
        (call $emit (i32.const 0x11) (i32.const 10) (i32.const 3))"""
    limited = guest(
        own_guest(body, '(data (i32.const 0) "cam-2")'), emit=frozenset({0x11}), limits=Limits(output_bytes=8)
    )
    outcome = limited.handle(FRAME)
    # Another tag; 5 bytes of name and 4 of payload, where 8 may be; and no memory there.
    assert outcome.emissions == (Emission(0x11, b"\2\2\1"),)
    assert outcome.refused_emits == 2


def test_nothing_is_sent_to_a_source_while_a_guest_is_loaded(guest: LoadGuest) -> None:
    early = guest(
        own_guest(
            "(call $emit (i32.const 0x11) (i32.const 0) (i32.const 5))",
            """(data (i32.const 1) "cam-")
            (func (export "nearfield_observe") (i32.store8 (i32.const 0)
              (call $emit_to (i32.const 0x11) (i32.const 1) (i32.const 3) (i32.const 0) (i32.const 1)))
              (if (i32.ne (i32.load8_u (i32.const 0)) (i32.const 2)) (then unreachable)))""",
        )
    )
    assert early.handle(FRAME).emissions == (Emission(0x11, b"\0cam-"),)


def test_a_guest_sees_all_of_the_header(guest: LoadGuest) -> None:
    seen = guest(
        own_guest(
            """(i64.store (i32.const 0) (call $frame_sequence))
            (i64.store (i32.const 8) (call $frame_captured_ns))
            (i32.store (i32.const 16) (call $frame_tag))
            (drop (call $frame_origin (i32.const 20) (i32.const 100)))
            (call $emit (i32.const 1) (i32.const 0) (i32.const 25))"""
        )
    )
    invocation = Invocation(2**32 - 1, b"", "cam-1", 2**64 - 1, 2**63)
    assert seen.handle(invocation).emissions[0].payload == (
        (2**64 - 1).to_bytes(8, "little") + (2**63).to_bytes(8, "little") + b"\xff\xff\xff\xffcam-1"
    )


def test_observed_tags_are_known_after_loading(guest: LoadGuest) -> None:
    observing = guest(
        own_guest(
            "(call $observe (i32.const 99)) i32.const 0",
            """(func (export "nearfield_observe")
            (call $observe (i32.const 0x21)) (call $observe (i32.const -1)) (call $observe (i32.const 0x21)))""",
        )
    )
    observing.handle(FRAME)
    assert observing.observes == (0x21, 2**32 - 1)
    assert guest(ECHO).observes == ()


def test_initialisation_comes_first(guest: LoadGuest) -> None:
    ordered = guest(
        own_guest(
            "(call $emit (i32.const 1) (i32.const 0) (global.get $count))",
            """(global $count (mut i32) (i32.const 0))
            (func $add (param i32) (i32.store8 (global.get $count) (local.get 0))
              (global.set $count (i32.add (global.get $count) (i32.const 1))))
            (func $start (call $add (i32.const 97)))
            (start $start)
            (func (export "_initialize") (call $add (i32.const 98)))
            (func (export "nearfield_init") (result i32) (call $add (i32.const 99)) (i32.const 0))""",
        )
    )
    assert ordered.handle(FRAME).emissions == (Emission(1, b"abc"),)
    assert ordered.handle(FRAME).emissions == (Emission(1, b"abc"),)


def test_a_start_function_may_call_the_host(guest: LoadGuest) -> None:
    logging = guest(
        own_guest(
            "i32.const 0",
            '(data (i32.const 0) "started") (start $s) (func $s (call $log (i32.const 1) (i32.const 0) (i32.const 7)))',
        )
    )
    assert logging.handle(FRAME).logs == (LogLine(1, "started"),)


def test_logs_come_back(guest: LoadGuest) -> None:
    logging = guest(
        own_guest("(call $log (i32.const 2) (i32.const 0) (i32.const 5)) i32.const 0", '(data (i32.const 0) "tick\\n")')
    )
    assert logging.handle(FRAME).logs == (LogLine(2, "tick\ufffd"),)


# State ----------------------------------------------------------------------------------------------------------------

COUNTER = own_guest(
    """(i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (i32.const 1)))
    (global.set $g (i32.add (global.get $g) (i32.const 1)))
    (i32.store8 (i32.const 1) (global.get $g))
    (if (i32.eq (call $frame_size) (i32.const 0)) (then unreachable))
    (call $emit (i32.const 1) (i32.const 0) (i32.const 2))""",
    "(global $g (mut i32) (i32.const 0))",
)


def test_state_does_not_leak_between_frames(guest: LoadGuest) -> None:
    counter = guest(COUNTER)
    assert [counter.handle(FRAME).emissions[0].payload for _ in range(3)] == [b"\1\1"] * 3


def test_a_worker_instance_keeps_its_state_until_it_traps(guest: LoadGuest) -> None:
    counter = guest(COUNTER, instance="worker")
    assert [counter.handle(FRAME).emissions[0].payload for _ in range(3)] == [b"\1\1", b"\2\2", b"\3\3"]
    with pytest.raises(GuestTrapped):
        counter.handle(frame(b""))
    assert counter.handle(FRAME).emissions[0].payload == b"\1\1"


def test_a_worker_instance_survives_a_reported_failure(guest: LoadGuest) -> None:
    failing = guest(
        own_guest(
            """(global.set $g (i32.add (global.get $g) (i32.const 1)))
            (i32.store8 (i32.const 0) (global.get $g))
            (drop (call $emit (i32.const 1) (i32.const 0) (i32.const 1)))
            (i32.eq (call $frame_size) (i32.const 0))""",
            "(global $g (mut i32) (i32.const 0))",
        ),
        instance="worker",
    )
    with pytest.raises(GuestFailed):
        failing.handle(frame(b""))
    assert failing.handle(FRAME).emissions == (Emission(1, b"\2"),)


def test_a_worker_instance_gets_a_new_deadline_for_each_frame(guest: LoadGuest) -> None:
    looping = guest(
        own_guest("(if (i32.eqz (call $frame_size)) (then (loop (br 0)))) i32.const 0"), limits=SHORT, instance="worker"
    )
    looping.handle(FRAME)
    for _ in range(2):
        with pytest.raises(GuestTimeout):
            looping.handle(frame(b""))
        looping.handle(FRAME)


def test_one_guest_serves_several_threads(guest: LoadGuest) -> None:
    echo, wrong = guest(ECHO), []

    def work(number: int) -> None:
        for count in range(50):
            payload = f"{number}/{count}".encode()
            if echo.handle(frame(payload)).emissions != (Emission(0x11, payload),):
                wrong.append(payload)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_many_guests_trap_in_many_threads_without_mixing_reasons(guest: LoadGuest) -> None:
    failing = own_guest(
        """(drop (call $frame_read (i32.const 0) (i32.const 100)))
        (call $fail (i32.const 0) (call $frame_size)) (i32.const 1)"""
    )
    guests = [guest(failing) for _ in range(4)]
    wrong: list[str] = []

    def work(number: int) -> None:
        for count in range(50):
            text = f"reason {number}/{count}"
            try:
                guests[number].handle(frame(text.encode()))
            except GuestFailed as exc:
                if f"{text}, frame" not in str(exc):
                    wrong.append(str(exc))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_closed_guest_says_so(guest: LoadGuest) -> None:
    closed = guest(ECHO, instance="worker")
    closed.close()
    closed.close()
    with pytest.raises(ValueError, match="function `f`: the guest is closed"):
        closed.handle(FRAME)
    assert repr(closed) == "<Guest f nearfield-v1 closed>"


# Failures -------------------------------------------------------------------------------------------------------------


def test_a_reported_failure_gives_its_reason_and_its_frame(guest: LoadGuest) -> None:
    failing = guest(
        own_guest(
            """(drop (call $emit (i32.const 1) (i32.const 0) (i32.const 1)))
            (call $fail (i32.const 0) (i32.const 9)) (i32.const -7)""",
            '(data (i32.const 0) "no camera")',
        )
    )
    with pytest.raises(GuestFailed) as caught:
        failing.handle(FRAME)
    assert str(caught.value) == (
        "function `f`: `nearfield_handle` returned -7, expected 0: no camera, frame cam-1/1841, tag 0x10"
    )


def test_a_failure_without_a_reason_is_one_too(guest: LoadGuest) -> None:
    with pytest.raises(GuestFailed, match="`nearfield_handle` returned 1, expected 0, frame"):
        guest(own_guest("i32.const 1")).handle(FRAME)


def test_a_reason_is_cut_at_1024_bytes(guest: LoadGuest) -> None:
    failing = guest(
        own_guest(
            """(memory.fill (i32.const 0) (i32.const 97) (i32.const 5000))
            (call $fail (i32.const 0) (i32.const 5000)) (i32.const 1)"""
        )
    )
    with pytest.raises(GuestFailed, match=r": a{1024},"):
        failing.handle(FRAME)


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        ("unreachable", "unreachable code reached in `inner`"),
        ("(drop (i32.load (i32.const -1)))", "out of bounds memory access in `inner`"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "division by zero in `inner`"),
        ("(call $inner)", "stack overflow in `inner`"),
        ("(call_indirect (i32.const 0))", "uninitialized element in `inner`"),
    ],
)
def test_a_trap_names_its_place_and_the_next_frame_works(guest: LoadGuest, body: str, meaning: str) -> None:
    trapping = guest(
        own_guest(
            """(if (i32.eqz (call $frame_size)) (then (call $inner)))
            (drop (call $frame_read (i32.const 0) (i32.const 100)))
            (call $emit (i32.const 1) (i32.const 0) (call $frame_size))""",
            f"(table 1 funcref) (func $inner {body})",
        )
    )
    for _ in range(2):
        with pytest.raises(GuestTrapped) as caught:
            trapping.handle(frame(b""))
        assert str(caught.value) == f"function `f`: guest trapped: {meaning}, frame cam-1/1841, tag 0x10"
        assert trapping.handle(frame(b"next")).emissions == (Emission(1, b"next"),)


def test_emissions_of_a_failed_call_are_gone(guest: LoadGuest) -> None:
    trapping = guest(own_guest("(drop (call $emit (i32.const 1) (i32.const 0) (i32.const 1))) unreachable"))
    with pytest.raises(GuestTrapped):
        trapping.handle(FRAME)


def test_last_words_come_with_the_trap_and_all_lines_stay_readable(guest: LoadGuest) -> None:
    panicking = guest(
        own_guest("(call $log (i32.const 3) (i32.const 0) (i32.const 4)) unreachable", '(data (i32.const 0) "boom")')
    )
    with pytest.raises(GuestTrapped, match="unreachable code reached: boom, frame cam-1/1841"):
        panicking.handle(FRAME)
    assert panicking.logs_of_last_call == (LogLine(3, "boom"),)


def test_an_endless_loop_ends_at_its_deadline(guest: LoadGuest) -> None:
    looping = guest(own_guest("(call $spin) i32.const 0", "(func $spin (loop (br 0)))"), limits=SHORT)
    for _ in range(2):
        with pytest.raises(GuestTimeout, match=r"used up its deadline of 0.05 s in `spin`, frame cam-1/1841"):
            looping.handle(FRAME)


def test_an_endless_loop_ends_with_its_frame_when_that_comes_first(guest: LoadGuest) -> None:
    spinning = guest(own_guest("(call $spin) i32.const 0", "(func $spin (loop (br 0)))"), limits=Limits(deadline_s=60))
    with pytest.raises(GuestTimeout):
        spinning.handle(replace(FRAME, ends_at_s=time.monotonic() + 0.05))
    with pytest.raises(GuestTimeout):
        spinning.handle(replace(FRAME, ends_at_s=0.0))


def test_a_loop_of_host_calls_ends_at_its_deadline(guest: LoadGuest) -> None:
    looping = guest(own_guest("(loop (drop (call $frame_tag)) (br 0)) i32.const 0"), limits=SHORT)
    with pytest.raises(GuestTimeout):
        looping.handle(FRAME)


@pytest.mark.parametrize(
    "where", ["(start $spin)", '(export "_initialize" (func $spin))', '(export "nearfield_observe" (func $spin))']
)
def test_an_endless_loop_while_loading_refuses_the_guest(guest: LoadGuest, where: str) -> None:
    with pytest.raises(GuestInvalid, match=r"guest.wasm: initialisation: used up its deadline of 0.05 s in `spin`"):
        guest(own_guest("i32.const 0", f"(func $spin (loop (br 0))) {where}"), limits=SHORT)


def test_a_failing_init_refuses_the_guest(guest: LoadGuest) -> None:
    with pytest.raises(GuestInvalid, match="initialisation: `nearfield_init` returned 3, expected 0: no model"):
        guest(
            own_guest(
                "i32.const 0",
                """(data (i32.const 0) "no model")
                (func (export "nearfield_init") (result i32) (call $fail (i32.const 0) (i32.const 8)) (i32.const 3))""",
            )
        )


@pytest.mark.parametrize("step", [1, 16, 64])
def test_a_memory_bomb_is_told_apart_from_other_traps(guest: LoadGuest, step: int) -> None:
    bomb = guest(
        own_guest(f"(loop (br_if 0 (i32.ne (memory.grow (i32.const {step})) (i32.const -1)))) unreachable"),
        limits=Limits(memory_bytes=64 * 1024 * 1024),
    )
    with pytest.raises(GuestMemoryExceeded, match="wanted more memory than its limit of 67108864 bytes and trapped"):
        bomb.handle(FRAME)


def test_growth_stops_at_the_limit_and_the_guest_may_go_on(guest: LoadGuest) -> None:
    growing = guest(
        own_guest(
            """(i32.store (i32.const 0) (memory.grow (i32.const 1000)))
            (i32.store (i32.const 4) (memory.size)) (call $emit (i32.const 1) (i32.const 0) (i32.const 8))"""
        ),
        limits=Limits(memory_bytes=10 * 65536),
    )
    assert growing.handle(FRAME).emissions[0].payload == b"\xff\xff\xff\xff\2\0\0\0"


def test_memory_that_grew_meanwhile_is_used_at_its_new_place(guest: LoadGuest) -> None:
    growing = guest(
        own_guest(
            """(drop (call $frame_read (i32.const 0) (i32.const 100)))
            (drop (memory.grow (i32.const 1000)))
            (drop (call $frame_read (i32.const 30000000) (i32.const 100)))
            (call $emit (i32.const 1) (i32.const 30000000) (call $frame_size))"""
        )
    )
    assert growing.handle(frame(b"far away")).emissions == (Emission(1, b"far away"),)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            own_guest("i32.const 0", memory="65536"),
            "export `memory`: got at least 4294967296 bytes, expected at most 268435456",
        ),
        (
            own_guest("i32.const 0", '(table (export "t") 10001 funcref)'),
            "export `t`: got at least 10001 elements, expected at most 10000",
        ),
        (
            own_guest("i32.const 0", "(table 1000000 funcref)"),
            "cannot be instantiated: table minimum size of 1000000 elements",
        ),
    ],
)
def test_a_huge_declared_minimum_is_refused(guest: LoadGuest, module: str, message: str) -> None:
    with pytest.raises(GuestInvalid, match=message):
        guest(module)


def test_an_emit_flood_is_refused_and_counted(guest: LoadGuest) -> None:
    flooding = guest(
        own_guest(
            """(loop (drop (call $emit (i32.const 1) (i32.const 0) (i32.const 10)))
              (global.set $g (i32.add (global.get $g) (i32.const 1)))
              (br_if 0 (i32.lt_u (global.get $g) (i32.const 1000))))
            (i32.const 0)""",
            "(global $g (mut i32) (i32.const 0))",
        ),
        limits=Limits(emitted_frames=5),
    )
    outcome = flooding.handle(FRAME)
    assert (len(outcome.emissions), outcome.refused_emits) == (5, 995)


def test_too_many_bytes_are_refused(guest: LoadGuest) -> None:
    large = guest(
        own_guest("(call $emit (i32.const 1) (i32.const 0) (i32.const 101))"), limits=Limits(output_bytes=100)
    )
    with pytest.raises(GuestFailed, match="returned 2"):
        large.handle(FRAME)


def test_a_tag_outside_the_list_is_refused(guest: LoadGuest) -> None:
    strict = guest(own_guest("(call $emit (i32.const 0x12) (i32.const 0) (i32.const 1))"), emit=frozenset({0x11}))
    with pytest.raises(GuestFailed, match="returned 2"):
        strict.handle(FRAME)


def test_nothing_can_be_emitted_while_loading(guest: LoadGuest) -> None:
    early = guest(
        own_guest(
            "i32.const 0",
            """(func (export "_initialize")
            (if (i32.ne (call $emit (i32.const 1) (i32.const 0) (i32.const 1)) (i32.const 2)) (then unreachable)))""",
        ),
        instance="worker",
    )
    assert early.handle(FRAME).emissions == ()


def test_a_log_flood_is_cut(guest: LoadGuest) -> None:
    flooding = guest(
        own_guest(
            """(loop (call $log (i32.const 1) (i32.const 0) (i32.const 100))
              (global.set $g (i32.add (global.get $g) (i32.const 1)))
              (br_if 0 (i32.lt_u (global.get $g) (i32.const 1000))))
            (i32.const 0)""",
            "(global $g (mut i32) (i32.const 0))",
        )
    )
    logs = flooding.handle(FRAME).logs
    assert len(logs) == 101
    assert logs[-1] == LogLine(2, "900 further lines were dropped")


# Stopping from the host -----------------------------------------------------------------------------------------------

EXIT = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'


@pytest.mark.parametrize("status", [0, 3])
def test_an_exit_ends_the_call_with_its_status(guest: LoadGuest, status: int) -> None:
    exiting = guest(own_guest(f"(call $exit (i32.const {status})) (i32.const 0)", imports=EXIT))
    with pytest.raises(GuestExited, match=f"guest exited with status {status} instead of returning, frame cam-1/1841"):
        exiting.handle(FRAME)


class BrokenModels:
    """A store with a defect of its own."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def by_name(self, name: str) -> object:
        raise self.error


ASKING = own_guest(
    """(if (i32.eqz (call $frame_size)) (then (return (call $frame_tag))))
    (drop (call $model_tensor (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 100)))
    (i32.const 0)"""
)


def test_a_defect_of_the_host_is_an_internal_error_with_its_cause(guest: LoadGuest) -> None:
    asking = guest(ASKING, models=BrokenModels(KeyError("cause")))
    with pytest.raises(
        InternalError, match="function `f`: a host function failed: KeyError: 'cause', frame cam-1/1841"
    ) as caught:
        asking.handle(FRAME)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(GuestFailed):
        asking.handle(frame(b""))


def test_an_interruption_by_the_user_passes_through(guest: LoadGuest) -> None:
    with pytest.raises(KeyboardInterrupt):
        guest(ASKING, models=BrokenModels(KeyboardInterrupt())).handle(FRAME)


# Loading --------------------------------------------------------------------------------------------------------------


def test_every_missing_import_is_named_with_its_reason(guest: LoadGuest) -> None:
    with pytest.raises(GuestAbiError) as caught:
        guest(
            """(module
            (import "elsewhere" "magic" (func))
            (import "nearfield_v1" "emitt" (func))
            (import "nearfield_v1" "emit" (func (param i32)))
            (import "nearfield_v1" "memory" (memory 1))
            (memory (export "memory2") 1)
            (func (export "nearfield_handle") (result i32) i32.const 0))""".replace(
                '(memory (export "memory2") 1)', '(export "memory" (memory 0))'
            )
        )
    assert str(caught.value).partition("guest.wasm: ")[2] == (
        "imports that this host does not offer: `elsewhere.magic` (no such module), "
        "`nearfield_v1.emitt` (no such function), "
        "`nearfield_v1.emit` (got (i32) -> (), expected (i32, i32, i32) -> i32), "
        "`nearfield_v1.memory` (a memory of at least 1; this host offers functions only)"
    )


@pytest.mark.parametrize(
    ("exports", "message"),
    [
        (
            '(func (export "nearfield_handle") (param i32) (result i32) i32.const 0)',
            r"export `nearfield_handle`: got \(i32\) -> i32, expected a function \(\) -> i32",
        ),
        (
            '(global (export "nearfield_handle") i32 (i32.const 0))',
            "export `nearfield_handle`: got global, expected a function",
        ),
        (
            '(func (export "nearfield_handle") (result i32) i32.const 0) (func (export "nearfield_init"))',
            r"export `nearfield_init`: got \(\) -> \(\), expected a function \(\) -> i32",
        ),
    ],
)
def test_a_wrong_export_signature_is_refused_while_loading(guest: LoadGuest, exports: str, message: str) -> None:
    with pytest.raises(GuestAbiError, match=message):
        guest(f'(module (memory (export "memory") 1) {exports})')


@pytest.mark.parametrize("memory", ["(memory 1)", '(global (export "memory") i32 (i32.const 0))'])
def test_a_guest_without_exported_memory_is_refused(guest: LoadGuest, memory: str) -> None:
    with pytest.raises(
        GuestAbiError, match="looks like nearfield-v1, but does not fit: no exported memory named `memory`"
    ):
        guest(f'(module {memory} (func (export "nearfield_handle") (result i32) i32.const 0))')


def test_a_compiled_guest_comes_from_the_cache(guest: LoadGuest, tmp_path: Path) -> None:
    directory = tmp_path / "cache"
    for _ in range(2):
        assert guest(ECHO, cache_dir=directory).handle(frame(b"x")).emissions == (Emission(0x11, b"x"),)
    assert len(list(directory.glob("*.cwasm"))) == 1


def test_errors_are_of_the_branch_for_guest_authors(guest: LoadGuest) -> None:
    assert issubclass(GuestTimeout, GuestError)
    assert not issubclass(ConfigError, GuestError)
