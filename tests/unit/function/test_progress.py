"""What an instance knows of its deliveries."""

from __future__ import annotations

from nearfield.frame.control import Done
from nearfield.function.progress import LONG_HISTORY, SHORT_HISTORY, Progress

EPOCH = 5


def progress() -> Progress:
    started = Progress("d1")
    started.rejoin(EPOCH)
    return started


def done(number: int) -> Done:
    return Done(number, "completed", "", 1)


def test_report_says_what_is_held_and_what_is_done() -> None:
    state = progress()
    for number in (1, 2, 3):
        assert state.receive(number, EPOCH)
    state.begin(1, EPOCH, 1_000_000_000)
    report = state.report(1_012_000_000, full=False)
    assert (report.instance, report.epoch, report.received) == ("d1", EPOCH, 3)
    assert (report.holding, report.done, report.busy_ms) == ([1, 2, 3], [], 12)
    state.finish(done(1), EPOCH)
    report = state.report(2_000_000_000, full=False)
    assert (report.holding, report.done, report.busy_ms) == ([2, 3], [done(1)], 0)


def test_reports_repeat_the_latest_and_heartbeats_many() -> None:
    state = progress()
    for number in range(1, LONG_HISTORY + 11):
        state.receive(number, EPOCH)
        state.finish(done(number), EPOCH)
    last = LONG_HISTORY + 10

    def told(*, full: bool) -> list[int]:
        return [entry.delivery for entry in state.report(0, full=full).done]

    assert told(full=False) == list(range(1, last + 1)), "all that was never told"
    assert told(full=False) == list(range(last - SHORT_HISTORY + 1, last + 1))
    assert told(full=True) == list(range(11, last + 1))


def test_delivery_that_is_held_or_done_is_a_repetition() -> None:
    state = progress()
    assert [state.receive(1, EPOCH), state.receive(1, EPOCH)] == [True, False]
    state.finish(done(1), EPOCH)
    assert not state.receive(1, EPOCH)


def test_delivery_of_another_incarnation_is_ignored() -> None:
    state = progress()
    assert not state.receive(1, EPOCH + 1)
    assert state.report(0, full=True).received == 0


def test_joining_again_forgets_everything() -> None:
    state = progress()
    state.receive(1, EPOCH)
    state.receive(2, EPOCH)
    state.finish(done(1), EPOCH)
    state.rejoin(EPOCH + 1)
    report = state.report(0, full=True)
    assert (report.epoch, report.received, report.holding, report.done) == (EPOCH + 1, 0, [], [])


def test_what_was_begun_for_another_incarnation_is_not_reported() -> None:
    state = progress()
    state.receive(1, EPOCH)
    state.rejoin(EPOCH + 1)
    state.finish(done(1), EPOCH)
    assert state.report(0, full=True).done == []


def test_who_leaves_holds_what_it_began_and_takes_nothing_more() -> None:
    state = progress()
    for number in (1, 2, 3):
        state.receive(number, EPOCH)
    assert state.take(1, EPOCH)
    assert state.take(2, EPOCH)
    state.finish(done(1), EPOCH)
    state.leave()
    assert state.report(0, full=True).holding == [2]
    assert not state.take(3, EPOCH)
    assert not state.receive(4, EPOCH)
    state.finish(done(2), EPOCH)
    report = state.report(0, full=True)
    assert (report.holding, report.done) == ([], [done(1), done(2)])
