"""The mailbox: bounded, oldest first, never in the way of who puts."""

from __future__ import annotations

import threading

import pytest

from nearfield.queues import Mailbox, QueueClosed


def test_items_come_out_in_order() -> None:
    mailbox: Mailbox[int] = Mailbox(3)
    for item in (1, 2, 3):
        mailbox.put(item)
    assert [mailbox.take(0), mailbox.take(0), mailbox.take(0), mailbox.take(0)] == [1, 2, 3, None]


def test_full_mailbox_drops_the_oldest_and_counts_it() -> None:
    mailbox: Mailbox[int] = Mailbox(2)
    for item in range(5):
        mailbox.put(item)
    assert (len(mailbox), mailbox.dropped) == (2, 3)
    assert mailbox.take_all(0) == [3, 4]


def test_take_all_of_an_empty_mailbox_is_empty() -> None:
    assert Mailbox[int](1).take_all(0) == []


def test_closed_mailbox_gives_what_is_in_it_and_then_ends() -> None:
    mailbox: Mailbox[int] = Mailbox(2)
    mailbox.put(1)
    mailbox.close()
    mailbox.close()
    mailbox.put(2)
    assert mailbox.take() == 1
    with pytest.raises(QueueClosed):
        mailbox.take()
    with pytest.raises(QueueClosed):
        mailbox.take_all(0)


def test_close_wakes_every_thread_that_waits() -> None:
    mailbox: Mailbox[int] = Mailbox(1)
    ended = []

    def take() -> None:
        try:
            mailbox.take()
        except QueueClosed:
            ended.append(True)

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    mailbox.close()
    for thread in threads:
        thread.join(timeout=10)
    assert ended == [True] * 3


def test_each_item_reaches_one_of_several_takers() -> None:
    mailbox: Mailbox[int] = Mailbox(1_000)
    taken: list[int] = []
    lock = threading.Lock()

    def take() -> None:
        try:
            while True:
                item = mailbox.take()
                with lock:
                    taken.append(item if item is not None else -1)
        except QueueClosed:
            pass

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for item in range(500):
        mailbox.put(item)
    mailbox.close()
    for thread in threads:
        thread.join(timeout=10)
    assert sorted(taken) == list(range(500))
    assert mailbox.dropped == 0
