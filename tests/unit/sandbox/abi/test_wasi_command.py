from __future__ import annotations

from pathlib import Path

import pytest

from nearfield.errors import ConfigError, GuestAbiError, GuestFailed, GuestOutputExceeded, GuestTrapped
from nearfield.sandbox import Emission, Guest, Invocation, Limits, LogLine
from tests.unit.sandbox.kit import FRAME, load

TAG = 0x11

# A vector at 0 (pointer, length), what came of it at 8, text from 100 on.
WORDS = """
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $fdstat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "nearfield_v1" "emit" (func $emit (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func $read (param $at i32) (param $most i32) (result i32)
    (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $most))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.load (i32.const 8)))
  (func $write (param $fd i32) (param $at i32) (param $size i32)
    (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $size))
    (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))"""


def command(tmp_path: Path, main: str, more: str = "", **options: object) -> Guest:
    text = f'(module {WORDS} (func (export "_start") {main}) {more})'
    return load(tmp_path, text, **{"result_tag": TAG, **options})


def said(guest: Guest) -> bytes:
    (emission,) = guest.handle(FRAME).emissions
    assert emission.tag == TAG
    return emission.payload


def test_the_payload_is_read_in_pieces_and_then_ends(tmp_path: Path) -> None:
    reading = command(
        tmp_path,
        """(i32.store8 (i32.const 100) (call $read (i32.const 200) (i32.const 4)))
        (i32.store8 (i32.const 101) (call $read (i32.const 204) (i32.const 100)))
        (i32.store8 (i32.const 102) (call $read (i32.const 300) (i32.const 100)))
        (call $write (i32.const 1) (i32.const 100) (i32.const 3))
        (call $write (i32.const 1) (i32.const 200) (i32.const 7))""",
    )
    assert said(reading) == b"\4\3\0payload"


def test_standard_output_of_several_writes_is_one_frame(tmp_path: Path) -> None:
    piecewise = "(call $write (i32.const 1) (i32.const 100) (i32.const 3))" * 3
    assert said(command(tmp_path, piecewise, '(data (i32.const 100) "ab\\n")')) == b"ab\nab\nab\n"


def test_without_output_nothing_is_emitted(tmp_path: Path) -> None:
    assert command(tmp_path, "").handle(FRAME).emissions == ()


def test_its_only_argument_is_its_name(tmp_path: Path) -> None:
    arguments = command(
        tmp_path,
        """(drop (call $args_sizes (i32.const 100) (i32.const 104)))
        (drop (call $args (i32.const 108) (i32.const 112)))
        (call $write (i32.const 1) (i32.const 100) (i32.const 14))""",
    )
    assert said(arguments) == b"".join(n.to_bytes(4, "little") for n in (1, 2, 108 + 4)) + b"f\0"


def test_input_and_output_are_no_terminals_but_standard_error_is(tmp_path: Path) -> None:
    """wasi-libc writes each line by itself to a terminal."""
    types = "".join(
        f"(drop (call $fdstat (i32.const {fd}) (i32.const {200 + 24 * fd})))"
        f"(i32.store8 (i32.const {100 + fd}) (i32.load8_u (i32.const {200 + 24 * fd})))"
        for fd in range(3)
    )
    assert said(command(tmp_path, types + "(call $write (i32.const 1) (i32.const 100) (i32.const 3))")) == b"\0\0\2"


def test_standard_error_goes_to_the_log(tmp_path: Path) -> None:
    outcome = command(
        tmp_path, "(call $write (i32.const 2) (i32.const 100) (i32.const 8))", '(data (i32.const 100) "one\\ntwo\\n")'
    ).handle(FRAME)
    assert outcome.emissions == ()
    assert outcome.logs == (LogLine(2, "one"), LogLine(2, "two"))


def test_exiting_with_0_is_success(tmp_path: Path) -> None:
    exiting = command(
        tmp_path,
        "(call $write (i32.const 1) (i32.const 100) (i32.const 2)) (call $exit (i32.const 0))",
        '(data (i32.const 100) "ok")',
    )
    assert [said(exiting), said(exiting)] == [b"ok", b"ok"]


@pytest.mark.parametrize(("status", "shown"), [(1, "1"), (255, "255"), (-1, "4294967295")])
def test_another_status_is_a_failure_with_the_last_words(tmp_path: Path, status: int, shown: str) -> None:
    failing = command(
        tmp_path,
        f"""(call $write (i32.const 1) (i32.const 100) (i32.const 4))
        (call $write (i32.const 2) (i32.const 100) (i32.const 9)) (call $exit (i32.const {status}))""",
        '(data (i32.const 100) "loss\\nwhy\\n")',
    )
    for _ in range(2):
        with pytest.raises(GuestFailed, match=f"function `f`: exited with status {shown}: why, frame cam-1/1841"):
            failing.handle(FRAME)


def test_a_failure_without_words_has_its_status(tmp_path: Path) -> None:
    with pytest.raises(GuestFailed, match="exited with status 4, frame"):
        command(tmp_path, "(call $exit (i32.const 4))").handle(FRAME)


def test_a_trap_is_a_trap_and_emits_nothing(tmp_path: Path) -> None:
    trapping = command(tmp_path, "(call $write (i32.const 1) (i32.const 100) (i32.const 4)) unreachable")
    with pytest.raises(GuestTrapped):
        trapping.handle(FRAME)


def test_output_beyond_the_limit_ends_the_program(tmp_path: Path) -> None:
    for_ever = "(loop $more (call $write (i32.const 1) (i32.const 100) (i32.const 5)) (br $more))"
    with pytest.raises(GuestOutputExceeded, match="standard output: got more than 17 bytes, frame cam-1/1841"):
        command(tmp_path, for_ever, limits=Limits(output_bytes=17)).handle(FRAME)


def test_a_command_may_emit_more_itself_within_the_same_limit(tmp_path: Path) -> None:
    both = """(drop (call $emit (i32.const 0x12) (i32.const 100) (i32.const 2)))
      (call $write (i32.const 1) (i32.const 100) (i32.const 2))"""
    data = '(data (i32.const 100) "ab")'
    assert command(tmp_path, both, data).handle(FRAME).emissions == (Emission(0x12, b"ab"), Emission(TAG, b"ab"))
    with pytest.raises(GuestOutputExceeded, match="standard output: got 2 bytes beyond what may be emitted"):
        command(tmp_path, both, data, limits=Limits(output_bytes=3)).handle(FRAME)


def test_a_program_runs_afresh_for_each_frame(tmp_path: Path) -> None:
    counting = command(
        tmp_path,
        """(global.set $g (i32.add (global.get $g) (i32.const 1)))
        (i32.store8 (i32.const 100) (global.get $g)) (call $write (i32.const 1) (i32.const 100) (i32.const 1))""",
        "(global $g (mut i32) (i32.const 0))",
    )
    assert [counting.handle(Invocation(1, b"", "", n, 0)).emissions[0].payload for n in range(3)] == [b"\1"] * 3


def test_nothing_runs_while_loading(tmp_path: Path) -> None:
    trapping = command(tmp_path, "unreachable")
    assert (trapping.abi, trapping.observes) == ("wasi-command", ())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instance": "worker"}, "instance: got `worker`, expected `frame`"),
        ({"entry": "main"}, "entry: got `main`, expected none: a WASI command begins at `_start`"),
        ({"result_tag": None}, "result tag: got none, expected one: results of wasi-command guests carry no tag"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        command(tmp_path, "", **options)


def test_a_main_of_another_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GuestAbiError, match=r"export `_start`: got \(\) -> i32, expected a function"):
        load(
            tmp_path,
            '(module (memory (export "memory") 1) (func (export "_start") (result i32) i32.const 0))',
            result_tag=TAG,
        )
