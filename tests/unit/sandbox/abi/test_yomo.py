from __future__ import annotations

from pathlib import Path

import pytest

from nearfield.errors import GuestAbiError, GuestExited, GuestInvalid, GuestTrapped
from nearfield.sandbox import Emission, Guest, Invocation, LogLine
from tests.unit.sandbox.kit import FRAME, load

IMPORTS = """
  (import "env" "yomo_observe_datatag" (func $observe (param i32)))
  (import "env" "yomo_context_tag" (func $tag (result i32)))
  (import "env" "yomo_context_data_size" (func $size (result i32)))
  (import "env" "yomo_context_data" (func $data (param i32 i32) (result i32)))
  (import "env" "yomo_write" (func $write (param i32 i32 i32) (result i32)))
  (import "env" "yomo_get_wanted_target" (func $target (param i32 i32)))
  (import "env" "yomo_write_with_target" (func $write_with_target (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))"""

# Keeps the order of what was called: one letter each, from 100 on.
ORDER = """
  (global $count (mut i32) (i32.const 0))
  (func $note (param i32)
    (i32.store8 (i32.add (i32.const 100) (global.get $count)) (local.get 0))
    (global.set $count (i32.add (global.get $count) (i32.const 1))))"""
TELL = "(drop (call $write (i32.const 1) (i32.const 100) (global.get $count)))"


def module(handler: str, more: str = "", observe: str = "(call $observe (i32.const 0x33))") -> str:
    return f"""(module {IMPORTS} {ORDER}
      (memory (export "memory") 1)
      (func (export "yomo_observe_datatags") {observe})
      (func (export "yomo_handler") {handler})
      {more})"""


def guest(tmp_path: Path, handler: str, more: str = "", **options: object) -> Guest:
    return load(tmp_path, module(handler, more), **options)


def first(guest: Guest, invocation: Invocation = FRAME) -> bytes:
    return guest.handle(invocation).emissions[0].payload


ALL_OF_THE_LIFE = """
  (func (export "yomo_wanted_target") (call $note (i32.const 119)))
  (func (export "yomo_init") (result i32) (call $note (i32.const 105)) (i32.const 0))
  (func (export "_start") (call $note (i32.const 115)))
  (func (export "_initialize") (call $note (i32.const 122)))"""


@pytest.mark.parametrize("policy", ["frame", "worker"])
def test_a_life_has_the_original_s_order(tmp_path: Path, policy: str) -> None:
    text = module(TELL, ALL_OF_THE_LIFE, "(call $note (i32.const 111)) (call $observe (i32.const 0x33))")
    ordered = load(tmp_path, text, instance=policy)
    assert [first(ordered), first(ordered)] == [b"zsowi", b"zsowi"]


def test_observed_tags_are_the_guest_s_own(tmp_path: Path) -> None:
    text = module(
        "(call $observe (i32.const 9))",
        '(func (export "yomo_init") (result i32) (call $observe (i32.const 8)) (i32.const 0))',
        "(call $observe (i32.const 0x33)) (call $observe (i32.const -1)) (call $observe (i32.const 0x33))",
    )
    observing = load(tmp_path, text)
    observing.handle(FRAME)
    assert observing.observes == (0x33, 2**32 - 1)


def test_init_that_fails_refuses_the_guest_with_its_last_words(tmp_path: Path) -> None:
    failing = """(data (i32.const 40) "no camera\\n") (data (i32.const 20) "\\28\\00\\00\\00\\0a\\00\\00\\00")
      (func (export "yomo_init") (result i32)
        (drop (call $fd_write (i32.const 2) (i32.const 20) (i32.const 1) (i32.const 8))) (i32.const 7))"""
    with pytest.raises(
        GuestInvalid, match=r"guest.wasm: initialisation: `yomo_init` returned 7, expected 0: no camera"
    ):
        guest(tmp_path, "", failing)


@pytest.mark.parametrize("export", ["_start", "_initialize", "yomo_wanted_target"])
def test_exiting_with_0_counts_as_returning(tmp_path: Path, export: str) -> None:
    exiting = guest(
        tmp_path, "(call $note (i32.const 97))" + TELL, f'(func (export "{export}") (call $exit (i32.const 0)))'
    )
    assert exiting.observes == (0x33,)
    assert [first(exiting), first(exiting)] == [b"a", b"a"]


@pytest.mark.parametrize("export", ["_start", "_initialize", "yomo_wanted_target"])
def test_exiting_otherwise_while_loading_refuses_the_guest(tmp_path: Path, export: str) -> None:
    with pytest.raises(GuestInvalid, match=f"initialisation: `{export}` exited with status 3"):
        guest(tmp_path, "", f'(func (export "{export}") (call $exit (i32.const 3)))')


def test_a_worker_instance_outlives_a_main_that_exits(tmp_path: Path) -> None:
    start = '(func (export "_start") (call $exit (i32.const 0)))'
    counting = guest(tmp_path, "(call $note (i32.const 97))" + TELL, start, instance="worker")
    assert [first(counting), first(counting)] == [b"a", b"aa"]


def test_a_handler_that_exits_with_0_has_handled_its_frame_and_is_replaced(tmp_path: Path) -> None:
    exiting = guest(tmp_path, "(call $note (i32.const 97))" + TELL + "(call $exit (i32.const 0))", instance="worker")
    assert [first(exiting), first(exiting)] == [b"a", b"a"]


def test_a_handler_that_exits_otherwise_has_failed(tmp_path: Path) -> None:
    exiting = guest(tmp_path, "(if (call $size) (then (call $exit (i32.const 3))))", instance="worker")
    with pytest.raises(GuestExited, match="function `f`: `yomo_handler` exited with status 3, frame cam-1/1841"):
        exiting.handle(FRAME)
    assert exiting.handle(Invocation(1, b"", "", 0, 0)).emissions == ()


def test_the_frame_is_read_as_the_original_gave_it(tmp_path: Path) -> None:
    """`yomo_context_data` always tells the size, and copies nothing when the limit is too small."""
    reading = guest(
        tmp_path,
        """(i32.store (i32.const 0) (call $tag))
        (i32.store (i32.const 4) (call $data (i32.const 64) (i32.const 6)))
        (i32.store8 (i32.const 8) (i32.load8_u (i32.const 64)))
        (i32.store8 (i32.const 9) (call $data (i32.const 64) (i32.const 7)))
        (i32.store8 (i32.const 10) (i32.load8_u (i32.const 64)))
        (i32.store8 (i32.const 11) (call $data (i32.const 65530) (i32.const 7)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 12)))""",
    )
    assert first(reading) == (0x10).to_bytes(4, "little") + (7).to_bytes(4, "little") + b"\0\7p\0"


def test_an_empty_result_is_emitted_as_the_original_s_default_runtime_did(tmp_path: Path) -> None:
    empty = guest(tmp_path, "(drop (call $write (i32.const 1) (i32.const 0) (i32.const 0)))")
    assert empty.handle(FRAME).emissions == (Emission(1, b""),)


@pytest.mark.parametrize(
    ("arguments", "answer", "emissions"),
    [
        ("(i32.const 1) (i32.const 0) (i32.const 2)", 0, (Emission(1, b"\0\0"),)),
        ("(i32.const 1) (i32.const 65535) (i32.const 2)", 1, ()),
        ("(i32.const 1) (i32.const -1) (i32.const 2)", 1, ()),
        ("(i32.const 0xf000) (i32.const 0) (i32.const 2)", 2, ()),
        ("(i32.const 0xffff) (i32.const 0) (i32.const 0)", 2, ()),
    ],
)
def test_write_has_the_original_s_codes(
    tmp_path: Path, arguments: str, answer: int, emissions: tuple[Emission, ...]
) -> None:
    body = f"""(i32.store8 (i32.const 8) (call $write {arguments}))
      (drop (call $write (i32.const 2) (i32.const 8) (i32.const 1)))"""
    assert guest(tmp_path, body).handle(FRAME).emissions == (*emissions, Emission(2, bytes([answer])))


def test_nothing_is_written_while_loading(tmp_path: Path) -> None:
    early = """(func (export "yomo_init") (result i32)
      (i32.sub (call $write (i32.const 1) (i32.const 0) (i32.const 1)) (i32.const 2)))"""
    assert guest(tmp_path, "", early, instance="worker").handle(FRAME).emissions == ()


def test_a_write_with_a_target_sends_the_payload_and_not_the_target(tmp_path: Path) -> None:
    """The original's sent the target."""
    targeted = guest(
        tmp_path,
        """(drop (call $write_with_target
             (i32.const 1) (i32.const 100) (i32.const 7) (i32.const 120) (i32.const 6)))
        (drop (call $write_with_target
             (i32.const 1) (i32.const 100) (i32.const 7) (i32.const 65535) (i32.const 6)))""",
        '(data (i32.const 100) "payload") (data (i32.const 120) "target")',
    )
    assert targeted.handle(FRAME).emissions == (Emission(1, b"payload"),)


def test_a_wanted_target_is_logged_as_not_used(tmp_path: Path) -> None:
    wanting = guest(
        tmp_path,
        "",
        """(data (i32.const 100) "desk-7")
        (func (export "yomo_wanted_target") (call $target (i32.const 100) (i32.const 6)))""",
    )
    assert wanting.handle(FRAME).logs == (
        LogLine(0, "wanted target `desk-7` is not used: functions are chosen by tag"),
    )


@pytest.mark.parametrize(
    ("export", "expected"),
    [
        ('(func (export "yomo_init"))', "export `yomo_init`: got () -> (), expected a function () -> i32"),
        ('(func (export "yomo_alloc"))', "export `yomo_alloc`: got () -> (), expected a function (i32) -> i32"),
        (
            '(func (export "_start") (result i32) i32.const 0)',
            "export `_start`: got () -> i32, expected a function () -> ()",
        ),
    ],
)
def test_an_export_of_another_type_is_refused(tmp_path: Path, export: str, expected: str) -> None:
    with pytest.raises(GuestAbiError) as caught:
        guest(tmp_path, "", export)
    assert caught.value.what == expected


def test_a_trap_while_loading_refuses_the_guest(tmp_path: Path) -> None:
    with pytest.raises(GuestInvalid, match="initialisation: guest trapped: unreachable code reached"):
        load(tmp_path, module("", observe="unreachable"))


def test_a_trap_in_the_handler_is_a_trap(tmp_path: Path) -> None:
    with pytest.raises(GuestTrapped):
        guest(tmp_path, "unreachable").handle(FRAME)
