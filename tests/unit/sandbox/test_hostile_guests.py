"""One hostile guest, told by each frame what to try; after each attempt the next frame is handled rightly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nearfield.errors import (
    GuestError,
    GuestExited,
    GuestFailed,
    GuestMemoryExceeded,
    GuestTimeout,
    GuestTrapped,
)
from nearfield.sandbox import CompiledGuest, Emission, Guest, Invocation, Limits, compile_guest
from nearfield.sandbox.callpath import CallPath, FastPath, OrdinaryPath
from tests.unit.inference.conftest import TinyModels
from tests.unit.sandbox.kit import named_models, write

# The deadline is time on the wall: honest frames must keep it on a busy machine, too.
LIMITS = Limits(
    deadline_s=0.4,
    memory_bytes=16 * 65536,
    table_elements=100,
    output_bytes=1000,
    emitted_frames=5,
    log_lines=10,
    handles=8,
    model_bytes=100_000,
)

# Each hostile thing: what it does, and what the host makes of it (None: the guest gets an errno and goes on).
ATTEMPTS: dict[str, tuple[str, type[GuestError] | None]] = {
    "unreachable": ("unreachable", GuestTrapped),
    "out of bounds": ("(drop (i32.load (i32.const -1)))", GuestTrapped),
    "division by zero": ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", GuestTrapped),
    "call of nothing": ("(call_indirect (i32.const 0))", GuestTrapped),
    "stack overflow": ("(call $deep)", GuestTrapped),
    "stack overflow through the host": ("(call $deep_with_host)", GuestTrapped),
    "memory bomb": (
        "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable",
        GuestMemoryExceeded,
    ),
    "table growth": (
        """(loop (br_if 0 (i32.ne (table.grow 0 (ref.null func) (i32.const 10)) (i32.const -1))))
        (if (i32.gt_u (table.size 0) (i32.const 100)) (then unreachable))""",
        None,
    ),
    "endless loop": ("(loop (br 0))", GuestTimeout),
    "endless loop of host calls": ("(loop (drop (call $frame_tag)) (br 0))", GuestTimeout),
    "endless sleep": (
        """(i64.store (i32.const 24) (i64.const 1000000000000)) (i32.store (i32.const 16) (i32.const 1))
        (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))""",
        GuestTimeout,
    ),
    "endless random": (
        "(loop (drop (call $random (i32.const 0) (i32.const 65536))) (br 0))",
        GuestTimeout,
    ),
    "log flood": (
        f"{'(call $log (i32.const 3) (i32.const 0) (i32.const 60000))' * 30}",
        None,
    ),
    "print flood": (
        """(i32.store (i32.const 4) (i32.const 16384))
        (loop (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
          (global.set $n (i32.add (global.get $n) (i32.const 1)))
          (br_if 0 (i32.lt_u (global.get $n) (i32.const 50))))""",
        None,
    ),
    "emit flood": (
        """(loop (drop (call $emit (i32.const 1) (i32.const 0) (i32.const 300)))
          (global.set $n (i32.add (global.get $n) (i32.const 1)))
          (br_if 0 (i32.lt_u (global.get $n) (i32.const 50))))""",
        None,
    ),
    "huge emit": ("(drop (call $emit (i32.const 1) (i32.const 0) (i32.const 60000)))", None),
    "handle flood": (
        """(loop (br_if 0 (i32.eqz (call $load_by_name (i32.const 0) (i32.const 5) (i32.const 100)))))
        (loop (br_if 0 (i32.eqz (call $context (i32.load (i32.const 100)) (i32.const 200)))))""",
        None,
    ),
    "model flood": (
        """(i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 50000))
        (loop (br_if 0 (i32.ne (i32.const 7)
          (call $load (i32.const 0) (i32.const 1) (i32.const 4) (i32.const 0) (i32.const 100)))))""",
        None,
    ),
    "exit": ("(call $exit (i32.const 7))", GuestExited),
    "failure": ("(return (i32.const 9))", GuestFailed),
}
QUICK = [name for name, (_, error) in ATTEMPTS.items() if error is not GuestTimeout]


def _guest() -> str:
    """Frame `[n]` makes it try the nth thing; a frame of another size is echoed, twice as long."""
    cases = "".join(
        f"(if (i32.eq (i32.load8_u (i32.const 0)) (i32.const {number}))"
        f"(then (memory.fill (i32.const 0) (i32.const 0) (i32.const 64)) (memory.init $name (i32.const 0) (i32.const 0)"
        f" (i32.const 5)) {body} (return (i32.const 0))))"
        for number, (body, _) in enumerate(ATTEMPTS.values())
    )
    return f"""(module
      (import "nearfield_v1" "frame_tag" (func $frame_tag (result i32)))
      (import "nearfield_v1" "frame_size" (func $frame_size (result i32)))
      (import "nearfield_v1" "frame_read" (func $frame_read (param i32 i32) (result i32)))
      (import "nearfield_v1" "emit" (func $emit (param i32 i32 i32) (result i32)))
      (import "nearfield_v1" "log" (func $log (param i32 i32 i32)))
      (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (import "wasi_ephemeral_nn" "load" (func $load (param i32 i32 i32 i32 i32) (result i32)))
      (import "wasi_ephemeral_nn" "load_by_name" (func $load_by_name (param i32 i32 i32) (result i32)))
      (import "wasi_ephemeral_nn" "init_execution_context" (func $context (param i32 i32) (result i32)))
      (memory (export "memory") 2)
      (table 1 funcref)
      (global $n (mut i32) (i32.const 0))
      (data $name "adder")
      (func $deep (call $deep))
      (func $deep_with_host
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (if (i32.eqz (i32.rem_u (global.get $n) (i32.const 500))) (then (drop (call $frame_tag))))
        (call $deep_with_host))
      (func (export "nearfield_handle") (result i32) (local $size i32)
        (local.set $size (call $frame_read (i32.const 0) (i32.const 65536)))
        (if (i32.eq (local.get $size) (i32.const 1)) (then {cases}))
        (memory.copy (local.get $size) (i32.const 0) (local.get $size))
        (call $emit (i32.const 0x11) (i32.const 0) (i32.mul (local.get $size) (i32.const 2)))))"""


GUEST = _guest()
HONEST = b"honest frame"


@pytest.fixture(params=["fast", "ordinary"])
def via(request: pytest.FixtureRequest) -> CallPath:
    fast = FastPath.create()
    assert fast is not None
    return fast if request.param == "fast" else OrdinaryPath()


LoadHostile = Callable[..., Guest]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> CompiledGuest:
    return compile_guest(write(tmp_path_factory.mktemp("hostile"), GUEST))


@pytest.fixture
def hostile(tmp_path: Path, tiny: TinyModels, compiled: CompiledGuest) -> Iterator[LoadHostile]:
    loaded: list[Guest] = []

    def make(limits: Limits = LIMITS, **options: Any) -> Guest:
        store = named_models(tmp_path, {"adder": tiny.adder()})
        loaded.append(Guest.load(compiled, name="f", limits=limits, models=store, **options))
        return loaded[-1]

    yield make
    for each in loaded:
        each.close()


def frame(payload: bytes) -> Invocation:
    return Invocation(0x10, payload, "cam-1", 1, 0)


def order(name: str) -> Invocation:
    """A frame that makes the guest try this."""
    return frame(bytes([list(ATTEMPTS).index(name)]))


def attempt(guest: Guest, name: str) -> None:
    """Let the guest try, and expect what is written above."""
    error = ATTEMPTS[name][1]
    if error is None:
        guest.handle(order(name))
        return
    with pytest.raises(GuestError) as caught:
        guest.handle(order(name))
    assert type(caught.value) is error, caught.value


def assert_honest(guest: Guest) -> None:
    assert guest.handle(frame(HONEST)).emissions == (Emission(0x11, HONEST * 2),)


@pytest.mark.parametrize("instance", ["frame", "worker"])
@pytest.mark.parametrize("name", ATTEMPTS)
def test_the_frame_after_each_hostile_one_is_handled_rightly(
    hostile: LoadHostile, via: CallPath, name: str, instance: str
) -> None:
    guest = hostile(via=via, instance=instance)
    for _ in range(2):
        attempt(guest, name)
        assert_honest(guest)


def test_a_table_does_not_grow_beyond_its_limit(hostile: LoadHostile) -> None:
    hostile(Limits(table_elements=100)).handle(order("table growth"))
    with pytest.raises(GuestTrapped):
        hostile(Limits(table_elements=1000)).handle(order("table growth"))


def test_handles_end_at_their_limit_and_all_are_given_back(hostile: LoadHostile) -> None:
    guest = hostile(Limits(handles=3))
    for _ in range(20):
        outcome = guest.handle(order("handle flood"))
        assert [line.text for line in outcome.logs] == [
            "wasi-nn: all 3 handles are in use; close some, or raise the limit"
        ] * 2


def test_models_of_one_call_end_at_their_size(hostile: LoadHostile) -> None:
    outcome = hostile(Limits(model_bytes=120_000)).handle(order("model flood"))
    assert outcome.logs[-1].text == ("wasi-nn: load: got 150000 bytes of models in one call, expected at most 120000")


def test_a_guest_that_prints_for_ever_is_cut_over_its_whole_life(hostile: LoadHostile) -> None:
    guest = hostile(Limits(log_bytes_per_s=100, log_lines=1000))
    lines = [line for _ in range(200) for line in guest.handle(order("log flood")).logs]
    # Four seconds' worth are there at first; each line costs more than a second's.
    assert 0 < len(lines) < 20


def test_memory_is_where_it_was_after_ten_thousand_hostile_frames(hostile: LoadHostile) -> None:
    guest = hostile()

    def run(rounds: int) -> int:
        for number in range(rounds):
            name = "endless loop" if number % 1000 == 999 else QUICK[number % len(QUICK)]
            attempt(guest, name)
        assert_honest(guest)
        return resident_bytes()

    after_hundred = run(100)
    after_all = run(9_900)
    # Allocators keep what they once had; one page kept for each frame would be 39 MiB.
    assert after_all - after_hundred < 8 * 1024 * 1024


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
