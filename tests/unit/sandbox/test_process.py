from __future__ import annotations

import pytest

from nearfield.errors import GuestOutputExceeded
from nearfield.sandbox.process import Process, last_words


def test_input_is_read_once() -> None:
    process = Process(("f",), b"abcdef", 10)
    assert [bytes(process.read(n)) for n in (0, 2, 3, 9, 9)] == [b"", b"ab", b"cde", b"f", b""]


def test_output_is_kept_up_to_its_limit() -> None:
    process = Process(("f",), b"", 4)
    process.write(b"ab")
    process.write(b"cd")
    assert process.stdout == b"abcd"
    with pytest.raises(GuestOutputExceeded, match="standard output: got more than 4 bytes"):
        process.write(b"e")
    assert process.stdout == b"abcd"


def test_the_end_of_standard_error_is_remembered_however_long_it_is() -> None:
    process = Process(("f",), b"", 1)
    assert process.last_words() is None
    for _ in range(1000):
        process.note_error(b"a line like the others\n")
    process.note_error(b"cannot read\n\n")
    assert process.last_words() == "cannot read"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", None),
        ("\n \n", None),
        ("one\ntwo", "two"),
        ("one\r\ntwo\r\n", "two"),
        (
            "thread 'main' panicked at 'no', src/main.rs:3:5\nnote: run with `RUST_BACKTRACE=1`\n",
            "thread 'main' panicked at 'no', src/main.rs:3:5",
        ),
        (
            "thread 'main' panicked at src/main.rs:3:5:\nno\nnote: run with `RUST_BACKTRACE=1`\n",
            "thread 'main' panicked at src/main.rs:3:5: no",
        ),
        ("before\npanic: no\n\ngoroutine 1 [running]:\nmain.main()\n\tmain.go:7 +0x2\n", "panic: no"),
        ("fatal error: out of memory\n\nruntime stack:\n", "fatal error: out of memory"),
        ('Traceback (most recent call last):\n  File "a.py", line 1\nValueError: no\n', "ValueError: no"),
    ],
)
def test_the_reason_is_found_in_what_a_program_says(text: str, words: str | None) -> None:
    assert last_words(text) == words
