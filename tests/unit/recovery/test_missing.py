"""Which frames are missing, and what is asked for when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.frame import FLAG_KEPT, keys
from nearfield.frame.control import MAX_WANTED_RANGES
from nearfield.frame.header import MAX_COUNT
from nearfield.recovery.missing import (
    ASK_AFTER_NS,
    ASK_AGAIN_AFTER_NS,
    MOST_EARLIER,
    MOST_QUESTIONS,
    MOST_WANTED,
    REMEMBERED_LOST,
    REMEMBERED_RECOVERED,
    REMEMBERED_SENDERS,
    Missing,
    Question,
)

TAG, SENDER = 17, 7
KEY = keys.frame("default", TAG, "line-1", "cam")
PLACE = keys.SentKey("default", TAG, "line-1", "cam", keys.SOURCE, SENDER)
LATER_NS = 10**12


def note(
    missing: Missing, *counts: int, flags: int = FLAG_KEPT, sender: int = SENDER, key: str = KEY, now_ns: int = 0
) -> list[bool]:
    tag = int(keys.tag_in(key))
    return [missing.note(key, (tag, flags, sender, count), now_ns) for count in counts]


def asked(missing: Missing, now_ns: int = LATER_NS) -> Question:
    question = missing.question(now_ns)
    assert question is not None
    return question


# ---- what is missing


def test_who_keeps_nothing_and_says_how_much_it_sent_shows_what_was_lost() -> None:
    missing = Missing()
    missing.learn(PLACE, 3, 0, is_kept=False)  # before anything came: perhaps before this sink listened
    assert (missing.lost, missing.has_questions) == (0, False)
    missing.learn(PLACE, 5, 0, is_kept=False)
    assert (missing.lost, missing.has_questions) == (2, False)


def test_first_contact_asks_for_what_was_sent_before_and_misses_none_of_it() -> None:
    missing = Missing()
    note(missing, 4)
    assert missing.question(ASK_AFTER_NS - 1) is None
    question = asked(missing, ASK_AFTER_NS)
    assert question == Question(PLACE, [(1, 3)])
    assert missing.answered(question, MAX_COUNT, [3], 0) == [3]
    assert (missing.lost, missing.recovered, missing.has_questions) == (0, 1, False)


def test_first_contact_late_in_the_life_of_a_sender_asks_for_the_latest() -> None:
    missing = Missing()
    note(missing, 10 * MOST_EARLIER)
    assert asked(missing).counts == [(9 * MOST_EARLIER, 10 * MOST_EARLIER - 1)]


def test_first_frame_of_a_sender_leaves_nothing_to_ask_for() -> None:
    missing = Missing()
    assert note(missing, 1, 2, 3) == [True] * 3
    assert (missing.has_questions, missing.due_ns, missing.question(LATER_NS)) == (False, None, None)


def test_frames_nobody_keeps_are_lost_at_once_and_never_asked_for() -> None:
    missing = Missing()
    note(missing, 5, 9, flags=0)
    assert (missing.lost, missing.has_questions) == (3, False)
    note(missing, 7, flags=0)  # late
    assert missing.lost == 2


def test_a_sender_that_says_more_than_came_is_asked_for_the_rest() -> None:
    missing = Missing()
    note(missing, 1, 2)
    missing.learn(PLACE, 4, 0, is_kept=True)
    missing.learn(PLACE, 4, 0, is_kept=True)
    missing.learn(PLACE, 1, 0, is_kept=True)
    question = asked(missing)
    assert question == Question(PLACE, [(3, 4)])
    assert missing.answered(question, 4, [3, 4], 0) == [3, 4]


def test_a_sender_never_heard_before_is_asked_for_all_that_it_says() -> None:
    missing = Missing()
    missing.learn(PLACE, 3, 0, is_kept=True)
    assert asked(missing).counts == [(1, 3)]
    note(missing, 5)
    assert missing.lost == 0


def test_frames_that_do_not_count_or_are_malformed_are_nobodys_gap() -> None:
    missing = Missing()
    assert note(missing, 0, 0) == [True, True]
    for key in ("", "nearfield", "nearfield/default/frames/17/line-1/*/-"):
        assert missing.note(key, (TAG, FLAG_KEPT, SENDER, 9), 0)
        assert missing.note(key, (TAG, 0, SENDER, 90), 0)
    for count in (1, 9):
        assert missing.note(KEY, (TAG + 1, FLAG_KEPT, SENDER, count), 0)
    assert (missing.lost, missing.has_questions) == (0, False)


def test_each_sender_and_tag_is_counted_by_itself() -> None:
    missing = Missing()
    for tag, sender, count in ((1, 1, 1), (1, 2, 10), (2, 1, 5), (1, 1, 2), (2, 1, 6), (1, 2, 12)):
        note(missing, count, flags=0, sender=sender, key=keys.frame("default", tag, "line-1", "cam"))
    assert missing.lost == 1


def test_nobody_passes_for_a_sender_of_another_name() -> None:
    """Numbers of senders are known to all who receive; who may publish under which name is the zipper's to check."""
    missing = Missing()
    note(missing, 1, 2)
    missing.learn(keys.SentKey("default", TAG, "line-1", "thief", keys.SOURCE, SENDER), 10, 0, is_kept=True)
    question = asked(missing)
    assert missing.answered(question, 10, range(1, 11), 0) == list(range(1, 11))
    assert note(missing, 3, 4, 5) == [True] * 3
    note(missing, 7)
    assert asked(missing).place == PLACE


def test_results_of_one_instance_are_one_row_whatever_their_origin() -> None:
    missing = Missing()
    for origin, count in (("cam", 1), ("door", 2), ("cam", 4)):
        note(missing, count, key=keys.frame("default", TAG, "line-1", origin, "detect"))
    question = asked(missing)
    assert question.counts == [(3, 3)]
    assert str(question.place) == f"nearfield/default/sent/17/line-1/-/detect/{SENDER}"


def test_a_sender_that_counts_to_the_end_begins_anew() -> None:
    missing = Missing()
    note(missing, MAX_COUNT - 1, MAX_COUNT, 1, 2, 4, flags=0)
    assert missing.lost == 1


@given(st.permutations(range(1, 12)), st.sets(st.integers(2, 11)))
def test_whatever_the_order_what_is_missing_in_the_end_is_what_never_came(order: list[int], lost: set[int]) -> None:
    missing = Missing()
    came = [1, *(count for count in order if count not in lost)]
    note(missing, *came, flags=0)
    assert missing.lost == len([count for count in lost if count < max(came)])


# ---- asking


def test_each_wait_is_twice_as_long_until_it_is_given_up() -> None:
    missing = Missing()
    note(missing, 1, 4)
    now_ns, waits = 0, []
    while missing.due_ns is not None:
        assert missing.question(missing.due_ns - 1) is None
        waits.append(missing.due_ns - now_ns)
        now_ns = missing.due_ns
        assert missing.lost == 0
        missing.unanswered(asked(missing, now_ns), now_ns)
    assert waits == [ASK_AFTER_NS, *(ASK_AGAIN_AFTER_NS << each for each in range(MOST_QUESTIONS - 1))]
    assert (missing.lost, missing.has_questions) == (2, False)
    assert note(missing, 2) == [True]
    assert missing.lost == 1


def test_an_answer_ends_the_row_of_unanswered_questions() -> None:
    missing = Missing()
    note(missing, 1, 4)
    for _ in range(MOST_QUESTIONS - 1):
        missing.unanswered(asked(missing), 0)
    missing.answered(asked(missing), 2, [2], 5)
    assert (missing.due_ns, missing.lost) == (5, 0)
    missing.unanswered(asked(missing), 5)
    assert (missing.due_ns, missing.lost) == (5 + ASK_AGAIN_AFTER_NS, 0)


def test_what_the_sender_does_not_have_is_lost_as_far_as_it_says() -> None:
    missing = Missing()
    note(missing, 1, 6)
    assert missing.answered(asked(missing), 4, [3], 9) == [3]
    assert (missing.lost, missing.recovered, missing.due_ns) == (2, 1, 9)
    assert asked(missing).counts == [(5, 5)]


@pytest.mark.parametrize("through", [0, 1])
def test_an_answer_that_says_nothing_is_none_and_is_not_asked_for_without_end(through: int) -> None:
    missing = Missing()
    note(missing, 1, 4)
    questions = 0
    now_ns = 0
    while missing.due_ns is not None:
        now_ns = missing.due_ns
        questions += 1
        assert missing.answered(asked(missing, now_ns), through, [], now_ns) == []
    assert (questions, missing.lost) == (MOST_QUESTIONS, 2)
    assert now_ns > 20 * ASK_AGAIN_AFTER_NS


def test_frames_nobody_asked_for_are_not_taken() -> None:
    missing = Missing()
    note(missing, 1, 4)
    assert missing.answered(asked(missing), 3, [1, 2, 2, 4, 99], 0) == [2]
    assert (missing.lost, missing.recovered) == (1, 1)


def test_a_question_holds_so_many_ranges_and_the_next_one_the_rest() -> None:
    missing = Missing()
    note(missing, *range(1, 2 * MAX_WANTED_RANGES + 20, 2))
    first = asked(missing)
    assert first.counts == [(count, count) for count in range(2, 2 * MAX_WANTED_RANGES + 1, 2)]
    assert missing.answered(first, MAX_COUNT, [], 3) == []
    assert missing.lost == MAX_WANTED_RANGES
    assert asked(missing, 3).counts[0] == (2 * MAX_WANTED_RANGES + 2,) * 2


def test_one_question_at_a_time_and_senders_in_turn() -> None:
    missing = Missing()
    for sender in (1, 2):
        note(missing, 1, 9, sender=sender)
    first, second = asked(missing), asked(missing)
    assert (first.place.sender, second.place.sender) == (1, 2)
    assert (missing.question(LATER_NS), missing.due_ns, missing.has_questions) == (None, None, True)
    missing.answered(first, 2, [2], 0)
    missing.answered(second, 2, [2], 0)
    assert asked(missing).place.sender == 1


def test_a_gap_that_closes_by_itself_is_not_asked_for() -> None:
    missing = Missing()
    note(missing, 1, 4, 3)
    assert asked(missing, ASK_AFTER_NS).counts == [(2, 2)]
    other = Missing()
    note(other, 1, 4, 3, 2)
    assert (other.has_questions, other.due_ns, other.question(LATER_NS), other.lost) == (False, None, None, 0)
    note(other, 6)
    assert asked(other).counts == [(5, 5)]


def test_a_frame_that_came_while_it_was_asked_for_is_not_passed_on_twice() -> None:
    missing = Missing()
    note(missing, 1, 4)
    question = asked(missing)
    assert note(missing, 2, 3) == [True, True]
    assert missing.answered(question, 3, [2, 3], 0) == []
    assert (missing.recovered, missing.lost, missing.has_questions) == (0, 0, False)


def test_a_late_original_of_a_recovered_frame_is_left_out_each_time() -> None:
    missing = Missing()
    note(missing, 1, 3)
    missing.answered(asked(missing), 2, [2], 0)
    assert note(missing, 2, 2, 3) == [False, False, True]  # 3 was sent twice: that is the program's to see
    assert (missing.recovered, missing.lost) == (1, 0)


@pytest.mark.parametrize("is_silent", [False, True])
def test_a_sender_that_moved_is_asked_at_the_zipper_where_it_is_now(is_silent: bool) -> None:
    missing = Missing()
    note(missing, 1, 3)
    for _ in range(MOST_QUESTIONS - 1):
        missing.unanswered(asked(missing), 0)
    moved = keys.SentKey("default", TAG, "line-2", "cam", keys.SOURCE, SENDER)
    if is_silent:
        missing.learn(moved, 3, 1, is_kept=True)
    else:
        note(missing, 4, key=keys.frame("default", TAG, "line-2", "cam"), now_ns=1)
    assert missing.due_ns == 1 + ASK_AFTER_NS
    question = asked(missing, 1 + ASK_AFTER_NS)
    assert question == Question(moved, [(2, 2)])
    missing.unanswered(question, 5)
    assert (missing.lost, missing.due_ns) == (0, 5 + ASK_AGAIN_AFTER_NS)


# ---- bounds


def test_a_count_that_jumps_is_asked_for_as_far_as_there_is_room_and_is_lost_else() -> None:
    missing = Missing()
    note(missing, 1, 2 + 2**31)
    assert missing.lost == 2**31 - MOST_WANTED
    assert asked(missing).counts == [(2 + 2**31 - MOST_WANTED, 1 + 2**31)]
    for sender in range(100, 200):
        note(missing, 1, 1_001, sender=sender)
        note(missing, 10**6, sender=10 * sender)
    assert missing.lost == 2**31 - MOST_WANTED + 100 * 999
    assert missing.question(LATER_NS) is None


def test_a_sender_that_says_too_much_costs_no_more_than_the_bound() -> None:
    missing = Missing()
    missing.learn(PLACE, 1, 0, is_kept=True)
    missing.learn(PLACE, MAX_COUNT, 0, is_kept=True)
    assert missing.lost == MAX_COUNT - MOST_WANTED  # and the first, which is not ours
    for question_number in range(MOST_QUESTIONS):
        assert missing.has_questions, question_number
        missing.unanswered(asked(missing), 0)
    assert missing.lost == MAX_COUNT - 1
    assert not missing.has_questions


def test_what_is_remembered_of_missing_frames_is_bounded() -> None:
    missing = Missing()
    note(missing, 1, 1_000_000, flags=0)
    assert missing.lost == 999_998
    note(missing, 999_999 - REMEMBERED_LOST, flags=0)  # too long ago
    assert missing.lost == 999_998
    note(missing, 1_000_000 - REMEMBERED_LOST, 999_999, flags=0)
    assert missing.lost == 999_996


def test_what_is_remembered_of_recovered_frames_is_bounded() -> None:
    missing = Missing()
    note(missing, 1, REMEMBERED_RECOVERED + 4)
    missing.answered(asked(missing), MAX_COUNT, range(2, REMEMBERED_RECOVERED + 4), 0)
    assert note(missing, 2, 3, 4, REMEMBERED_RECOVERED + 3) == [True, True, False, False]


def test_senders_that_were_silent_for_longest_are_forgotten_with_what_they_were_asked_for() -> None:
    missing = Missing()
    note(missing, 1, 3, sender=1)
    note(missing, 1, 3, sender=2)
    question = asked(missing)
    assert question.place.sender == 1
    for sender in range(3, REMEMBERED_SENDERS + 2):
        note(missing, 1, sender=sender)
        note(missing, 4 if sender == 3 else 5, sender=2)  # it is heard all the time, and asked for nothing new
    assert missing.lost == 1
    assert missing.answered(question, 2, [2], 0) == []
    missing.unanswered(question, 0)
    assert (missing.lost, missing.recovered) == (1, 0)
    assert asked(missing).place.sender == 2
