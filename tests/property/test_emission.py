"""Declared kinds against any payloads, and the rate against any course of time."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from nearfield.errors import EmissionRefused
from nearfield.function.context import Emission
from nearfield.function.emission import FRAME_CHARGE_BYTES, EmissionGate, EmissionRules
from nearfield.function.emission_kinds import MAX_STRING_CHARACTERS, problem_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)  # fmt: skip
NUMBERS = st.integers(-9999, 9999) | st.floats(-9999, 9999)
BOX = st.fixed_dictionaries(
    {"x": NUMBERS, "y": NUMBERS, "w": NUMBERS, "h": NUMBERS},
    optional={"label": st.text("abc déf-_.", max_size=32), "score": st.floats(0, 1)},
)


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_any_payload_is_of_a_kind_or_has_one_reason_in_plain_words(payload: bytes) -> None:
    for problem in (problem_of("text", payload), problem_of("json", payload), problem_of("boxes", payload)):
        assert problem is None or (problem and problem.isascii() and len(problem) < 100)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=100))
def test_letters_digits_and_signs_are_text(text: str) -> None:
    assert problem_of("text", text.encode()) is None


@given(VALUES)
def test_what_a_program_writes_as_json_is_json_unless_it_is_nested_too_deep(value: object) -> None:
    assert problem_of("json", json.dumps(value).encode()) in (None, "JSON nested more than 8 deep")


@given(st.lists(BOX, max_size=64))
def test_boxes_are_boxes_and_json_as_well(boxes: list[dict[str, object]]) -> None:
    payload = json.dumps(boxes).encode()
    assert problem_of("boxes", payload) is None
    assert problem_of("json", payload) is None


@given(VALUES, st.integers(0, 400))
def test_no_string_is_longer_than_it_may_be_wherever_it_stands(value: object, length: int) -> None:
    text = "A" * length
    for holder in ([value, text], {"a": {text: value}}, {"a": [text]}):
        fits = length <= MAX_STRING_CHARACTERS
        problem = problem_of("json", json.dumps(holder).encode())
        assert fits or problem in ("a string of more than 128 characters", "JSON nested more than 8 deep")


@given(
    st.integers(1, 500),
    st.integers(1, 500),
    st.lists(st.tuples(st.integers(0, 10**9), st.lists(st.integers(0, 200), max_size=4)), max_size=30),
)
def test_over_any_time_no_more_leaves_than_the_rate_and_one_burst(
    most_bytes: int, bytes_per_s: int, course: list[tuple[int, list[int]]]
) -> None:
    gate = EmissionGate(EmissionRules("text", most_bytes, bytes_per_s))
    now_ns = left = 0
    for pause_ns, sizes in course:
        now_ns += pause_ns
        try:
            gate.check([Emission(1, b"a" * size) for size in sizes], now_ns)
        except EmissionRefused:
            continue
        left += sum(size + FRAME_CHARGE_BYTES for size in sizes)
        burst = max(bytes_per_s, most_bytes + FRAME_CHARGE_BYTES)
        assert left <= burst + bytes_per_s * now_ns / 1e9 + 1e-3
