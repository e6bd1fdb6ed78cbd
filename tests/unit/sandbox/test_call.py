from __future__ import annotations

from dataclasses import replace

import pytest

from nearfield.errors import GuestTimeout
from nearfield.sandbox import Emission, Limits, LogLine
from nearfield.sandbox.call import Call
from nearfield.sandbox.invocation import MAX_LOG_CHARACTERS, clean_text
from tests.unit.sandbox.kit import FRAME


def call(limits: Limits | None = None, emit: frozenset[int] | None = None) -> Call:
    return Call(FRAME, limits or Limits(), emit)


@pytest.mark.parametrize(
    ("tag", "allowed"), [(0, True), (0xEFFF, True), (0xF000, False), (0xFFFF, False), (2**32 - 1, True)]
)
def test_without_a_list_all_but_reserved_tags_may_be_emitted(tag: int, allowed: bool) -> None:
    assert call().may_emit(tag, 1) is allowed


def test_with_a_list_only_its_tags_may_be_emitted() -> None:
    record = call(emit=frozenset({0x11}))
    assert record.may_emit(0x11, 1)
    assert not record.may_emit(0x12, 1)
    assert record.outcome().refused_emits == 1


def test_emits_end_at_the_number_of_frames() -> None:
    record = call(Limits(emitted_frames=1))
    record.emit(1, b"")
    assert not record.may_emit(1, 0)
    assert record.outcome().emissions == (Emission(1, b""),)


def test_emits_end_at_the_sum_of_bytes() -> None:
    record = call(Limits(output_bytes=10))
    record.emit(1, b"123456")
    assert record.may_emit(1, 4)
    assert not record.may_emit(1, 5)


def test_the_name_of_a_source_counts_as_the_payload_does() -> None:
    record = call(Limits(output_bytes=10))
    assert record.may_emit(1, 5, "cam-2")
    assert not record.may_emit(1, 6, "cam-2")
    record.emit(1, b"12", "cam-2")
    assert record.may_emit(1, 3)
    assert not record.may_emit(1, 4)
    assert record.outcome().emissions == (Emission(1, b"12", "cam-2"),)


@pytest.mark.parametrize("to", ["", "*", "a/b", "@a", "-a", "x" * 65, "ü", "a\n"])
def test_what_is_no_name_is_not_sent_to(to: str) -> None:
    record = call()
    assert not record.may_emit(1, 0, to)
    assert record.outcome().refused_emits == 1


def test_lines_beyond_the_limit_are_counted() -> None:
    record = call(Limits(log_lines=2))
    for number in range(5):
        record.log(1, f"line {number}")
    assert record.logs() == (LogLine(1, "line 0"), LogLine(1, "line 1"), LogLine(2, "3 further lines were dropped"))


def test_a_level_above_error_is_error() -> None:
    record = call()
    record.log(2**32 - 1, "x")
    assert record.logs() == (LogLine(3, "x"),)


def test_streams_become_lines_and_the_rest_comes_last() -> None:
    record = call()
    record.write_stream(1, b"one\r\ntw")
    record.write_stream(2, b"error\n")
    record.write_stream(1, b"o\nthree")
    assert [line.text for line in record.logs()] == ["one", "error", "two", "three"]
    assert [line.level for line in record.logs()] == [1, 2, 1, 1]


def test_a_line_without_an_end_does_not_grow_without_bound() -> None:
    record = call()
    for _ in range(1000):
        record.write_stream(1, b"x" * 1000)
    assert record.logs()[0].text == "x" * (MAX_LOG_CHARACTERS - 1) + "…"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain ü 漢 😀", "plain ü 漢 😀"),
        ("a\tb", "a b"),
        ("\x1b[31mred\x07", "\ufffd[31mred\ufffd"),
        ("line\nforged", "line\ufffdforged"),
        ("right\u202eleft", "right\ufffdleft"),
        ("x" * 2000, "x" * 1023 + "…"),
    ],
)
def test_text_is_safe_to_print(text: str, clean: str) -> None:
    assert clean_text(text) == clean


def test_bytes_that_are_no_utf_8_are_logged_all_the_same() -> None:
    record = call()
    record.log(1, b"a\xff\xfeb")
    assert record.logs()[0].text == "a\ufffd\ufffdb"


def test_last_words_are_a_panic_with_its_place() -> None:
    record = call()
    record.write_stream(2, b"\nthread 'main' panicked at src/lib.rs:5:9:\nboom\nnote: run with `RUST_BACKTRACE=1`\n")
    assert record.last_words() == "thread 'main' panicked at src/lib.rs:5:9: boom"


def test_last_words_are_a_panic_of_an_older_compiler_too() -> None:
    record = call()
    record.write_stream(2, b"thread 'main' panicked at 'boom', src/lib.rs:5:9\nnote: run with `RUST_BACKTRACE=1`\n")
    assert record.last_words() == "thread 'main' panicked at 'boom', src/lib.rs:5:9"


def test_last_words_are_the_last_warning_otherwise() -> None:
    record = call()
    assert record.last_words() is None
    record.log(2, "first")
    record.log(3, "second")
    record.log(1, "only information")
    assert record.last_words() == "second"


def test_the_first_reason_to_stop_counts() -> None:
    record, first = call(), ValueError("first")
    record.stop(first)
    record.stop(ValueError("second"))
    assert record.stopped is first


def test_a_passed_deadline_is_a_timeout() -> None:
    record = call()
    record.check_deadline()
    record.ends_at_s = 0.0
    with pytest.raises(GuestTimeout, match="used up its deadline of 1 s inside a host function"):
        record.check_deadline()


def test_a_frame_that_is_worthless_before_the_deadline_ends_its_call_earlier() -> None:
    assert Call(replace(FRAME, ends_at_s=7.0), Limits(), None).ends_at_s == 7.0
    assert Call(replace(FRAME, ends_at_s=1e12), Limits(), None).remaining_s <= 1.0
    assert Call(replace(FRAME, ends_at_s=0.0), Limits(), None).remaining_s == 0.0


def test_time_in_host_functions_is_limited_in_all() -> None:
    record = call(Limits(deadline_s=10, host_time_s=0.5))
    record.spend("inference", 300_000_000)
    record.check_host_time()
    record.spend("pictures", 150_000_000)
    record.check_host_time()
    record.spend("inference", 100_000_000)
    with pytest.raises(
        GuestTimeout, match=r"used up its 0.5 s inside host functions \(inference 0.4 s, pictures 0.15 s\)"
    ):
        record.check_host_time()


def test_an_outcome_tells_where_the_time_in_host_functions_went() -> None:
    record = call(Limits())
    record.spend("pictures", 2_000)
    record.spend("inference", 5_000)
    record.spend("pictures", 1_000)
    assert record.outcome().host_ns == {"pictures": 3_000, "inference": 5_000}


def test_time_in_host_functions_is_the_deadline_unless_given() -> None:
    record = call(Limits(deadline_s=0.25))
    record.spend("inference", 250_000_000)
    with pytest.raises(GuestTimeout, match=r"used up its 0\.25 s inside host functions"):
        record.check_host_time()


def test_last_words_are_known_when_the_lines_are_used_up() -> None:
    record = call(Limits(log_lines=1))
    record.log(1, "only line")
    record.write_stream(2, b"thread 'main' panicked at src/lib.rs:5:9:\nboom\n")
    assert [line.text for line in record.logs()] == ["only line", "2 further lines were dropped"]
    assert record.last_words() == "thread 'main' panicked at src/lib.rs:5:9: boom"


def test_the_first_panic_counts() -> None:
    record = call()
    record.write_stream(2, b"a panicked at x:\none\nb panicked at y:\ntwo\nthe end\n")
    assert record.last_words() == "a panicked at x: one"
