"""What a client is refused before it tries, and with which words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nearfield.errors import RefusedError
from nearfield.frame.control import Granted
from nearfield.transport import Permission

NOTHING = Granted(send=(), origins=(), functions=(), observe=(), ledger=False)
SOME = Granted(send=(16, 18), origins=("cam", "shelf-*"), functions=("label", "count"), observe=(17, 19), ledger=False)

Check = Callable[[Permission], object]


def test_everything_is_permitted_where_nothing_is_known() -> None:
    permission = Permission(None, "hall-1")
    permission.check_origin("anyone")
    permission.check_send(16)
    permission.check_observe([1, 2, 3])
    permission.check_function("any")
    permission.check_ledger()
    permission.check_size(2**40)
    assert permission.observable() is None


def test_what_is_granted_is_permitted() -> None:
    permission = Permission("me", "hall-1", SOME)
    for name in ("cam", "shelf-", "shelf-1"):
        permission.check_origin(name)
    for tag in (16, 18):
        permission.check_send(tag)
    permission.check_observe([17, 19])
    permission.check_observe([])
    for function in ("label", "count"):
        permission.check_function(function)
    assert permission.observable() == [17, 19]
    Permission("me", "hall-1", Granted(functions=("*",))).check_function("any")


@pytest.mark.parametrize(
    ("granted", "check", "what"),
    [
        (SOME, lambda p: p.check_origin("cam-2"), "may not send as `cam-2`; expected `cam`, `shelf-*`"),
        (SOME, lambda p: p.check_origin("shelf"), "may not send as `shelf`; expected `cam`, `shelf-*`"),
        (NOTHING, lambda p: p.check_origin("me"), "may not send as `me`; it is no source"),
        (SOME, lambda p: p.check_send(17), "may not send tag 0x11; expected 0x10, 0x12"),
        (NOTHING, lambda p: p.check_send(16), "may not send tag 0x10; expected none"),
        (SOME, lambda p: p.check_observe([17, 16]), "may not observe tag 0x10; expected 0x11, 0x13"),
        (NOTHING, lambda p: p.check_observe([17]), "may not observe tag 0x11; expected none"),
        (NOTHING, lambda p: p.observable(), "may not observe anything"),
        (SOME, lambda p: p.check_function("other"), "may not run function `other`; expected `label`, `count`"),
        (NOTHING, lambda p: p.check_function("label"), "may not run function `label`; expected none"),
        (SOME, lambda p: p.check_ledger(), "may not read the ledger"),
    ],
)
def test_refusal_says_who_what_where_and_what_is_expected(granted: Granted, check: Check, what: str) -> None:
    for identity, who in (("me", "`me`"), (None, "whoever has no identity")):
        with pytest.raises(RefusedError) as caught:
            check(Permission(identity, "hall-1", granted))
        assert str(caught.value) == f"zipper `hall-1`: {who} {what}; see `rights` in its workflow"


def test_frame_that_would_vanish_for_its_size_is_refused() -> None:
    permission = Permission("me", "hall-1", Granted(max_payload_bytes=1_000))
    permission.check_size(1_000)
    with pytest.raises(RefusedError) as caught:
        permission.check_size(1_001)
    assert str(caught.value) == (
        "zipper `hall-1`: `me` may not send 1001 bytes in one frame; expected at most 1000; "
        "see `max_payload` in its workflow"
    )
