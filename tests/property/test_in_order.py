"""Several at a time: whatever is ready when, everything leaves once and in order."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from nearfield.function.concurrency import handle_in_order
from nearfield.function.in_order import InOrder
from nearfield.queues import Mailbox


@given(st.data())
def test_any_order_of_completion_leaves_in_order_once(data: st.DataObject) -> None:
    order: InOrder[int] = InOrder()
    open_numbers: list[int] = []
    left: list[int] = []
    begun = 0
    for _ in range(data.draw(st.integers(0, 40))):
        choice = data.draw(st.sampled_from(["begin", "put", "take"]))
        if choice == "begin":
            assert order.begin() == begun
            open_numbers.append(begun)
            begun += 1
        elif choice == "put" and open_numbers:
            number = open_numbers.pop(data.draw(st.integers(0, len(open_numbers) - 1)))
            order.put(number, number)
        else:
            left += order.take()
        assert len(order) + len(left) + len(open_numbers) == begun
    for number in reversed(open_numbers):
        order.put(number, number)
    left += order.take()
    assert left == list(range(begun))


@given(threads=st.integers(1, 5), finishing=st.permutations(range(12)))
def test_threads_that_finish_in_any_order_lose_nothing_and_keep_the_order(threads: int, finishing: list[int]) -> None:
    """Each piece waits, as far as the number of threads allows, until those before it in `finishing` are through."""
    mailbox: Mailbox[int] = Mailbox(100)
    for number in range(len(finishing)):
        mailbox.put(number)
    mailbox.close()
    changed = threading.Condition()
    under_way: set[int] = set()
    handled: set[int] = set()
    left: list[int] = []

    def handle(number: int) -> int:
        with changed:
            under_way.add(number)
            changed.notify_all()
            # Those that come after it in `finishing` wait for it, if they are here at the same time.
            while (under_way - handled) and min(under_way - handled, key=finishing.index) != number:
                changed.wait()
            handled.add(number)
            changed.notify_all()
        return number

    def take() -> int:
        taken = mailbox.take()
        assert taken is not None
        return taken

    handle_in_order(threads, take, handle, left.append, mailbox.close)
    assert left == list(range(len(finishing)))
