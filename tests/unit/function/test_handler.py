"""Python callables as handlers."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest

from nearfield.errors import HandlerFailed
from nearfield.frame import Header
from nearfield.function import Context, PythonFunction

HEADER = Header(tag=0x10, stream=1, sequence=3, captured_ns=1_000, sent_ns=2_000)


def plain(context: Context) -> None:
    context.emit(0x11, context.payload.upper())


async def asynchronous(context: Context) -> None:
    await asyncio.sleep(0)
    plain(context)


class PlainCallable:
    def __call__(self, context: Context) -> None:
        plain(context)


class AsynchronousCallable:
    async def __call__(self, context: Context) -> None:
        await asynchronous(context)


def handle(function: PythonFunction) -> list[tuple[int, bytes]]:
    context = Context(b"in", HEADER, "cam")
    function.handle(context)
    return [(emission.tag, emission.payload) for emission in context.emissions]


@pytest.mark.parametrize(
    "handler",
    [
        plain,
        asynchronous,
        functools.partial(plain),
        functools.partial(asynchronous),
        PlainCallable(),
        AsynchronousCallable(),
        lambda context: asynchronous(context),
    ],
    ids=["plain", "async", "partial", "async partial", "object", "async object", "lambda of async"],
)
def test_every_kind_of_callable_handles_the_frame(handler: Callable[[Context], Any]) -> None:
    function = PythonFunction(handler)
    assert handle(function) == handle(function) == [(0x11, b"IN")]
    function.close()
    function.close()


def test_asynchronous_handler_keeps_one_event_loop() -> None:
    loops = []

    async def handler(context: Context) -> None:
        loops.append(asyncio.get_running_loop())

    function = PythonFunction(handler)
    handle(function)
    handle(function)
    function.close()
    assert loops[0] is loops[1]
    assert loops[0].is_closed()


def test_failure_names_class_message_and_line() -> None:
    def failing(context: Context) -> None:
        raise ValueError("got 1, expected 2\nand more")

    with pytest.raises(HandlerFailed, match=r"^handler raised ValueError: got 1, expected 2 at test_handler.py:\d+$"):
        handle(PythonFunction(failing))


def test_failure_without_a_message_says_so() -> None:
    def failing(context: Context) -> None:
        raise ValueError

    with pytest.raises(HandlerFailed, match=r"^handler raised ValueError: no message at "):
        handle(PythonFunction(failing))


def test_handler_goes_on_after_a_failure() -> None:
    outcomes = iter([KeyError("first"), None])

    async def handler(context: Context) -> None:
        error = next(outcomes)
        if error is not None:
            raise error
        plain(context)

    function = PythonFunction(handler)
    with pytest.raises(HandlerFailed):
        handle(function)
    assert handle(function) == [(0x11, b"IN")]
    function.close()


def test_cancelled_task_fails_its_frame_only() -> None:
    async def handler(context: Context) -> None:
        raise asyncio.CancelledError

    function = PythonFunction(handler)
    with pytest.raises(HandlerFailed, match="handler raised CancelledError"):
        handle(function)
    function.close()


def test_emitting_what_is_refused_fails_the_frame() -> None:
    with pytest.raises(HandlerFailed, match="handler raised UsageError: emit: tag 0xf000 is reserved"):
        handle(PythonFunction(lambda context: context.emit(0xF000, b"")))
