"""The Python API of stream functions, on a session in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nearfield import StreamFunction
from nearfield.errors import RefusedError, UsageError
from nearfield.frame import keys
from nearfield.frame.control import JoinReply, JoinRequest, decode, encode
from nearfield.function import Context
from tests.doubles import MemoryZipper

JOIN = keys.join("default", "line-1", "detect")


def admitting() -> MemoryZipper:
    zipper = MemoryZipper.observing(0x10)
    zipper.session.answers[JOIN] = encode(JoinReply(epoch=5, observe=[0x10]))
    return zipper


def nothing(context: Context) -> None: ...


def test_decorated_handler_stays_the_function_it_was() -> None:
    function = StreamFunction("detect")

    @function
    def handler(context: Context) -> None: ...

    assert function.handler is handler
    assert handler(None) is None  # type: ignore[func-returns-value,arg-type]


def test_function_asks_for_its_tags_and_ends_in_order() -> None:
    zipper = admitting()
    with StreamFunction("detect", zipper.connection, ["0x10"], emit=[0x11], credits=4, handler=nothing) as function:
        request = decode(JoinRequest, zipper.session.questions[0][1])
        assert (request.function, request.observe, request.emit, request.credits) == ("detect", [0x10], [0x11], 4)
        assert function.statistics().completed == 0
    assert zipper.session.is_closed
    assert zipper.session.announced == set()
    function.stop()
    with pytest.raises(UsageError, match=r"^function `detect` is not running$"):
        function.statistics()


def test_function_without_a_handler_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"^function `detect` has no handler; decorate one with it, or pass `handler=`$"
    ):
        StreamFunction("detect", admitting().connection).start()


def test_function_that_is_refused_closes_its_connection() -> None:
    zipper = admitting()
    zipper.session.answers[JOIN] = encode(JoinReply(error="not here"))
    with pytest.raises(RefusedError, match="not here"):
        StreamFunction("detect", zipper.connection, handler=nothing).run()
    assert zipper.session.is_closed


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StreamFunction("a b"), "function name: got 'a b'"),
        (lambda: StreamFunction("a", observe=["x"]), "got 'x', expected a tag"),
        (lambda: StreamFunction("a", emit=[-1]), "got -1, expected a tag"),
        (lambda: StreamFunction("a", credits=0), "credits: got 0, expected 1 to 1024"),
        (lambda: StreamFunction("a", credits=1025), "credits: got 1025, expected 1 to 1024"),
    ],
)
def test_function_that_cannot_work_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
