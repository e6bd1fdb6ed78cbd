"""What a declared kind lets through: form, size, and how much in a second."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from nearfield.errors import EmissionRefused, GuestTimeout, GuestTrapped, HandlerFailed, InternalError
from nearfield.function.context import Emission
from nearfield.function.emission import FRAME_CHARGE_BYTES, EmissionGate, EmissionRules
from nearfield.function.emission_kinds import EmitKind, problem_of
from nearfield.function.handled import failure_reason

BOX = {"x": 1, "y": 2.5, "w": -3, "h": 4e2}
SECOND_NS = 10**9


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def boxes(*entries: Any) -> bytes:
    return json.dumps(entries).encode()


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("text", b""),
        ("text", "größer\tals\n3 €, 猫 🐈\xa0.".encode()),
        ("json", b' {"label": "hot dog", "confidence": 0.9961}\n'),
        ("json", b"null"),
        ("json", nested(8)),
        ("json", json.dumps("a" * 128).encode()),
        ("json", json.dumps([-1.7976931348623157e308, 2**64]).encode()),
        ("boxes", b"[]"),
        ("boxes", boxes(BOX, {**BOX, "label": "l" * 32, "score": 1})),
        ("boxes", boxes(*[BOX] * 64)),
    ],
)
def test_what_is_of_the_kind_passes(kind: EmitKind, payload: bytes) -> None:
    assert problem_of(kind, payload) is None


UNSEEN = "control characters, or characters that nobody sees"
NO_JSON = "something else than one value of JSON"
BAD_LABEL = "a box with a label that is no plain text of at most 32 characters"
BAD_MEMBERS = "a box with other members than x, y, w, h, and perhaps label and score"
BAD_SCORE = "a box with a score that is no number from 0 to 1"
BAD_SIDE = "a box with a side that is no number"


@pytest.mark.parametrize(
    ("kind", "payload", "problem"),
    [
        ("text", b"\xff\xd8\xff\xe0", "bytes that are no UTF-8"),
        ("text", b"\xed\xa0\x80", "bytes that are no UTF-8"),
        ("text", b"a\r\nb", UNSEEN),
        ("text", b"\x1b[2J", UNSEEN),
        ("text", b"\0", UNSEEN),
        ("text", "a\u200bb".encode(), UNSEEN),
        ("text", "\u202eabc".encode(), UNSEEN),
        ("text", "\U000e0041".encode(), UNSEEN),
        ("text", "\ue000".encode(), UNSEEN),
        ("json", b"\xff", "bytes that are no UTF-8"),
        ("json", '{"a": 1}'.encode("utf-16"), "bytes that are no UTF-8"),
        ("json", b"\xef\xbb\xbf1", NO_JSON),
        ("json", b"", NO_JSON),
        ("json", b"1 2", NO_JSON),
        ("json", b"{'a': 1}", NO_JSON),
        ("json", b"NaN", "a number that JSON does not have"),
        ("json", b"-Infinity", "a number that JSON does not have"),
        ("json", nested(9), "JSON nested more than 8 deep"),
        ("json", nested(100_000), "JSON nested more than 8 deep"),
        ("json", json.dumps("a" * 129).encode(), "a string of more than 128 characters"),
        ("json", json.dumps({"a" * 129: 1}).encode(), "a string of more than 128 characters"),
        ("json", b"1" * 25, "a number of more than 24 characters"),
        ("json", b"0." + b"1" * 23, "a number of more than 24 characters"),
        ("json", b'{"a": "%s", "a": 1}' % (b"x" * 1000), "an object that names a member twice"),
        ("boxes", boxes(BOX, 1), BAD_MEMBERS),
        ("boxes", boxes({**BOX, "more": 1}), BAD_MEMBERS),
        ("boxes", boxes({"x": 1, "y": 1, "w": 1}), BAD_MEMBERS),
        ("boxes", boxes({**BOX, "x": "1"}), BAD_SIDE),
        ("boxes", boxes({**BOX, "x": True}), BAD_SIDE),
        ("boxes", b'[{"x": 1e999, "y": 1, "w": 1, "h": 1}]', BAD_SIDE),
        ("boxes", boxes({**BOX, "score": 1.01}), BAD_SCORE),
        ("boxes", boxes({**BOX, "score": None}), BAD_SCORE),
        ("boxes", boxes({**BOX, "label": "l" * 33}), BAD_LABEL),
        ("boxes", boxes({**BOX, "label": "a\tb"}), BAD_LABEL),
        ("boxes", boxes({**BOX, "label": ["l"]}), BAD_LABEL),
        ("boxes", boxes(*[BOX] * 65), "something else than a list of at most 64"),
        ("boxes", json.dumps(BOX).encode(), "something else than a list of at most 64"),
    ],
)
def test_what_is_not_of_the_kind_is_refused_with_the_reason(kind: EmitKind, payload: bytes, problem: str) -> None:
    assert problem_of(kind, payload) == problem


def gate(kind: EmitKind = "text", most_bytes: int = 100, bytes_per_s: int = 200) -> EmissionGate:
    return EmissionGate(EmissionRules(kind, most_bytes, bytes_per_s))


def emissions(*payloads: bytes) -> list[Emission]:
    return [Emission(0x11, payload) for payload in payloads]


def refusal(of: EmissionGate, given: list[Emission], now_ns: int = 0) -> str:
    with pytest.raises(EmissionRefused) as caught:
        of.check(given, now_ns)
    assert failure_reason(caught.value) == caught.value.where
    return str(caught.value)


def test_without_rules_everything_passes() -> None:
    EmissionGate(None).check(emissions(b"\xff" * 10**6), 0)


def test_each_setting_is_named_by_what_it_refuses() -> None:
    assert refusal(gate(), emissions(b"a" * 101)) == (
        "emit_bytes: got a payload of more than 100 bytes, expected at most that"
    )
    assert refusal(gate(), emissions(b"fine", b"\xff")) == "emit_kind: got bytes that are no UTF-8, expected text"
    assert refusal(gate(), emissions(*[b"a" * 100] * 2)) == (
        "emit_rate: got more than 200 bytes in a second, expected at most that"
    )


def test_nothing_of_a_payload_is_said_about_it() -> None:
    secret = base64.b64encode(bytes(range(75)))
    for kind in ("json", "boxes"):
        for payload in (secret, b'{"%s": 1, "%s": 2}' % (secret, secret), b'[{"%s": 1}]' % secret, b'"' + secret):
            of = gate(kind, most_bytes=1000)
            if problem_of(kind, payload) is not None:
                assert secret[:8].decode() not in refusal(of, emissions(payload))


def test_what_one_second_allows_may_come_at_once_and_then_comes_back_with_time() -> None:
    limited = gate()
    cost = 42 + FRAME_CHARGE_BYTES
    limited.check(emissions(*[b"a" * 42] * (200 // cost)), 0)
    refusal(limited, emissions(b"a" * 42), SECOND_NS // 4 - 1)
    limited.check(emissions(b"a" * 42), SECOND_NS // 2)
    # However long nothing came, no more than that has gathered.
    refusal(limited, emissions(*[b"a" * 42] * 5), 3600 * SECOND_NS)


def test_a_payload_of_the_largest_size_always_fits_at_first() -> None:
    gate(most_bytes=5000, bytes_per_s=1).check(emissions(b"a" * 5000), 0)


def test_frames_without_a_payload_and_names_they_are_addressed_to_count_too() -> None:
    refusal(gate(), emissions(*[b""] * (200 // FRAME_CHARGE_BYTES + 1)))
    gate().check([Emission(0x11, b"", "n" * 64)] * 2, 0)
    refusal(gate(), [Emission(0x11, b"", "n" * 64)] * 3)


def test_a_frame_that_is_refused_costs_nothing() -> None:
    limited = gate()
    refusal(limited, emissions(*[b"a" * 100] * 2))
    limited.check(emissions(b"a" * 100), 0)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    limited = gate()
    limited.check(emissions(b"a" * 92, b"b" * 92), SECOND_NS)
    refusal(limited, emissions(b"c"), 0)


@pytest.mark.parametrize("kind", [GuestTrapped, GuestTimeout, HandlerFailed, InternalError])
def test_of_a_failure_only_its_class_is_said(kind: type[GuestTrapped]) -> None:
    secret = kind("trapped: secret", where="function `f`", hint="secret")
    told = gate().withheld(secret)
    assert type(told) is kind
    assert str(told) == "failed; its own words are withheld because of `emit_kind`"
    assert failure_reason(told) == failure_reason(secret)
    assert EmissionGate(None).withheld(secret) is secret


def test_what_the_host_itself_refused_is_said() -> None:
    refused = EmissionRefused("got b, expected a", where="emit_kind")
    assert gate().withheld(refused) is refused
