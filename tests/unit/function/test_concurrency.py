"""Several at a time: which threads work, what leaves when, and what a failure does."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from nearfield.function.concurrency import STACK_BYTES, handle_in_order
from nearfield.queues import Mailbox

PATIENCE_S = 30.0
Eventually = Callable[..., None]


class Work:
    """Numbers to be handled, each of which waits until the test lets it."""

    def __init__(self, *, is_gated: bool = True) -> None:
        self.mailbox: Mailbox[int] = Mailbox(1_000)
        self.gates: dict[int, threading.Event] = {}
        self.is_gated = is_gated
        self.entered: list[int] = []
        self.left: list[int] = []
        self.threads: set[str] = set()

    def put(self, *numbers: int) -> None:
        for number in numbers:
            self.gates[number] = threading.Event()
            self.mailbox.put(number)

    def take(self) -> int:
        taken = self.mailbox.take()
        assert taken is not None
        return taken

    def handle(self, number: int) -> int:
        self.threads.add(threading.current_thread().name)
        self.entered.append(number)
        if self.is_gated:
            assert self.gates[number].wait(PATIENCE_S)
        return number

    def run(self, threads: int) -> threading.Thread:
        thread = threading.Thread(target=self.run_here, args=(threads,), name="caller", daemon=True)
        thread.start()
        return thread

    def run_here(self, threads: int) -> None:
        handle_in_order(threads, self.take, self.handle, self.left.append, self.mailbox.close)


def test_one_at_a_time_starts_no_thread() -> None:
    work = Work(is_gated=False)
    work.put(1, 2, 3)
    work.mailbox.close()
    work.run_here(1)
    assert work.left == [1, 2, 3]
    assert work.threads == {threading.current_thread().name}


def test_several_are_handled_at_once_and_leave_in_order(eventually: Eventually) -> None:
    work = Work()
    work.put(1, 2, 3, 4)
    thread = work.run(3)
    eventually(lambda: sorted(work.entered) == [1, 2, 3], "three at once, and not four")
    work.gates[3].set()
    eventually(lambda: 4 in work.entered, "the thread that is free takes the next")
    work.gates[4].set()
    work.gates[2].set()
    assert work.left == []
    work.gates[1].set()
    eventually(lambda: work.left == [1, 2, 3, 4])
    work.mailbox.close()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_the_caller_is_one_of_the_threads(eventually: Eventually) -> None:
    work = Work()
    work.put(1, 2)
    thread = work.run(2)
    eventually(lambda: len(work.entered) == 2)
    assert work.threads == {"caller", "handler-2"}
    work.gates[1].set()
    work.gates[2].set()
    work.mailbox.close()
    thread.join(PATIENCE_S)


def test_what_is_at_hand_is_finished_when_no_more_comes(eventually: Eventually) -> None:
    work = Work()
    work.put(1, 2)
    thread = work.run(3)
    eventually(lambda: len(work.entered) == 2)
    work.mailbox.close()
    work.gates[2].set()
    work.gates[1].set()
    thread.join(PATIENCE_S)
    assert (work.left, thread.is_alive()) == ([1, 2], False)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_failure_of_ours_ends_all_threads_and_is_raised(threads: int) -> None:
    work = Work(is_gated=False)
    work.put(*range(20))

    def handle(number: int) -> int:
        if number == 5:
            raise RuntimeError("five")
        return work.handle(number)

    with pytest.raises(RuntimeError, match="five"):
        handle_in_order(threads, work.take, handle, work.left.append, work.mailbox.close)
    assert work.left == [0, 1, 2, 3, 4]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("handler-")]


def test_a_failure_while_leaving_is_raised_too() -> None:
    work = Work(is_gated=False)
    work.put(*range(20))

    def leave(number: int) -> None:
        if number == 2:
            raise RuntimeError("two")
        work.left.append(number)

    with pytest.raises(RuntimeError, match="two"):
        handle_in_order(3, work.take, work.handle, leave, work.mailbox.close)
    assert work.left == [0, 1]


def test_only_one_thread_at_a_time_lets_leave() -> None:
    work = Work(is_gated=False)
    work.put(*range(200))
    work.mailbox.close()
    inside = threading.Lock()

    def leave(number: int) -> None:
        assert inside.acquire(blocking=False)
        work.left.append(number)
        inside.release()

    handle_in_order(4, work.take, work.handle, leave, work.mailbox.close)
    assert work.left == list(range(200))


def test_threads_get_room_for_guests_and_the_setting_is_put_back() -> None:
    """Whatever `ulimit -s` says: a guest may use 1 MiB of the stack of the thread that calls it."""
    seen: list[int] = []
    original = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        seen.append(threading.stack_size())
        original(thread)

    work = Work(is_gated=False)
    work.mailbox.close()
    before = threading.stack_size()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        work.run_here(2)
    assert seen == [STACK_BYTES]
    assert threading.stack_size() == before
