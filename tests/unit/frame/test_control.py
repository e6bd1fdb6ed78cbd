"""Control messages of a peer that means ill."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nearfield.errors import RemoteProtocolError
from nearfield.frame.control import Capacity, GroupOffer, Heard, JoinRequest, Report, decode, encode

OFFER = {"free": 1, "observe": [1]}
REPORT = {"instance": "i", "epoch": 1, "received": 1, "holding": []}
CAPACITY = {"protocol": 1, "zipper": "z", "epoch": 1, "stamp_ns": 1}
JOIN = {"protocol": 1, "function": "f", "instance": "i", "observe": []}
TOO_LARGE = [-1, 2**63, 10**400]


@pytest.mark.parametrize("number", TOO_LARGE, ids=["-1", "2**63", "10**400"])
@pytest.mark.parametrize(
    ("kind", "fields", "name"),
    [
        (Report, REPORT, "busy_ms"),
        (JoinRequest, JOIN, "pid"),
        (Capacity, CAPACITY, "epoch"),
        (Capacity, CAPACITY, "stamp_ns"),
        (GroupOffer, OFFER, "free"),
        (GroupOffer, OFFER, "queue"),
        (GroupOffer, OFFER, "max_age_ns"),
        (GroupOffer, OFFER, "retries"),
        (GroupOffer, OFFER, "dead_letter"),
        (Heard, {"epoch": 1, "stamp_ns": 1, "held_ns": 1}, "held_ns"),
    ],
)
def test_number_that_is_computed_with_has_bounds(kind: Any, fields: dict[str, Any], name: str, number: int) -> None:
    decode(kind, json.dumps({**fields, name: 1}).encode())
    with pytest.raises(RemoteProtocolError, match=f"message: Expected `int` .* at `[$].{name}`"):
        decode(kind, json.dumps({**fields, name: number}).encode())


def test_time_in_a_handler_has_bounds() -> None:
    with pytest.raises(RemoteProtocolError, match=r"at `\$\.done\[0\]\[3\]`"):
        decode(Report, json.dumps({**REPORT, "done": [[1, "completed", "", 10**400]]}).encode())


def test_message_that_is_nested_without_measure_is_refused() -> None:
    nested = b"[" * 100_000
    with pytest.raises(RemoteProtocolError, match="recursion"):
        decode(Report, encode(REPORT)[:-1] + b',"unknown":' + nested)
