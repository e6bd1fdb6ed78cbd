"""Several frames at a time in one worker, with results that leave in the order in which the frames came."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from nearfield.function.in_order import InOrder
from nearfield.queues import QueueClosed

Taken = TypeVar("Taken")
Result = TypeVar("Result")

# glibc's own default, which however follows `ulimit -s`; guests run on the stacks of these threads, and must have 2 MiB
# (`sandbox.engine.MAX_WASM_STACK_BYTES`).
STACK_BYTES = 8 * 1024 * 1024


def handle_in_order(
    threads: int,
    take: Callable[[], Taken],
    handle: Callable[[Taken], Result],
    leave: Callable[[Result], None],
    stop: Callable[[], None],
) -> None:
    """Take, handle and let leave, until `take` raises `QueueClosed`. Blocks; the calling thread is one of the threads.

    With one thread nothing is started and nothing waits. With more, `handle` runs on several threads at once; `take`
    and `leave` are called by one thread at a time, not always the same.

    Args:
        threads: how many at a time, >= 1.
        take: the next piece of work, waiting for it.
        handle: turns it into a result.
        leave: called with each result, in the order in which the work was taken.
        stop: makes `take` raise soon; called when a thread failed. Idempotent.

    Raises:
        Whatever `handle`, `leave` or `take` raised first, after every thread has finished what it was at. What was
        taken later does not leave then.
    """
    if threads > 1:
        _Crew(take, handle, leave, stop).run(threads)
        return
    with suppress(QueueClosed):
        while True:
            leave(handle(take()))


class _Crew(Generic[Taken, Result]):
    def __init__(
        self,
        take: Callable[[], Taken],
        handle: Callable[[Taken], Result],
        leave: Callable[[Result], None],
        stop: Callable[[], None],
    ) -> None:
        self._take = take
        self._handle = handle
        self._leave = leave
        self._stop = stop
        self._taking = threading.Lock()
        # Guards the three below.
        self._lock = threading.Lock()
        self._order: InOrder[Result] = InOrder()
        self._is_leaving = False
        self._failure: BaseException | None = None

    def run(self, threads: int) -> None:
        others = [threading.Thread(target=self._work, name=f"handler-{n}", daemon=True) for n in range(2, threads + 1)]
        try:
            _start(others)
            self._work()
        finally:
            self._stop()
            for thread in others:
                if thread.ident is not None:
                    thread.join()
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        try:
            while True:
                # The number belongs to the taking: the next one may not be taken in between.
                with self._taking:
                    taken = self._take()
                    with self._lock:
                        number = self._order.begin()
                self._hand_on(number, self._handle(taken))
        except QueueClosed:
            return
        except BaseException as failure:
            with self._lock:
                self._failure = self._failure or failure
            self._stop()

    def _hand_on(self, number: int, result: Result) -> None:
        """Let leave what may. A thread that finds another one at it only adds its own, so nobody waits."""
        with self._lock:
            self._order.put(number, result)
            if self._is_leaving:
                return
            self._is_leaving = True
        while True:
            with self._lock:
                ready = self._order.take()
                if not ready:
                    self._is_leaving = False
                    return
            for each in ready:
                self._leave(each)


def _start(threads: list[threading.Thread]) -> None:
    before = threading.stack_size(STACK_BYTES)
    try:
        for thread in threads:
            thread.start()
    finally:
        threading.stack_size(before)
