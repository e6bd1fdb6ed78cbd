"""Rights as the zipper says them, and checks them a second time."""

from __future__ import annotations

import pytest

from nearfield.frame.control import Granted
from nearfield.frame.keys import FrameKey
from nearfield.frame.rights import ALL, FunctionRight, Right, every_right
from nearfield.zipper.entitlements import NOTHING, Entitlements

MOST = 1_000_000
LABEL = FunctionRight("label", frozenset({16}), frozenset({17}))
CAMERA = Right("ns", "cam", send=frozenset({16, 20}), origins=("cam",), max_payload_bytes=1_000)
GATE = Right("ns", "gate", send=frozenset({16}), origins=("shelf-*",), max_payload_bytes=2_000)
OTHER_GATE = Right("ns", "other-gate", send=frozenset({16}), origins=("shelf-1*", "cam"), max_payload_bytes=3_000)
MAKER = Right("ns", "maker", functions=(LABEL,), max_payload_bytes=500)


def key(origin: str, by: str = "-") -> FrameKey:
    return FrameKey("ns", 16, "z", origin, by)


def test_without_rights_everyone_may_do_everything() -> None:
    entitlements = Entitlements(None)
    assert entitlements.of("anyone") == Granted()
    assert entitlements.of("anyone", MOST) == Granted(max_payload_bytes=MOST)
    assert entitlements.max_payload_bytes(key("anyone"), MOST) == MOST


def test_with_rights_who_is_not_named_may_do_nothing() -> None:
    for rights in ([], [CAMERA]):
        assert Entitlements(rights).of("stranger") == NOTHING
    assert not (NOTHING.may_send(16) or NOTHING.may_observe(16) or NOTHING.may_send_as("stranger"))
    assert not (NOTHING.may_be("label") or NOTHING.ledger)


def test_identity_is_told_its_rights_and_no_others() -> None:
    screen = Right("ns", "screen", observe=ALL, reads_ledger=True)
    entitlements = Entitlements([CAMERA, MAKER, screen, every_right("ns", "me")])
    nothing = {"send": (), "origins": (), "functions": (), "observe": (), "ledger": False}
    cam = {"send": (16, 20), "origins": ("cam",), "max_payload_bytes": 1_000}
    assert entitlements.of("cam", MOST) == Granted(**nothing | cam)
    assert entitlements.of("cam", 10).max_payload_bytes == 10
    assert entitlements.of("maker") == Granted(**nothing | {"functions": ("label",), "max_payload_bytes": 500})
    assert entitlements.of("screen") == Granted(**nothing | {"observe": "all", "ledger": True})
    assert entitlements.of("me", MOST) == Granted(max_payload_bytes=MOST)


def test_rights_of_one_identity_add_up() -> None:
    more = Right("ns", "cam", send=frozenset({18}), origins=("cam", "aux"), functions=(LABEL,), observe=frozenset({17}))
    assert Entitlements([CAMERA, more]).of("cam") == Granted(
        send=(16, 18, 20),
        origins=("aux", "cam"),
        functions=("label",),
        observe=(17,),
        ledger=False,
        max_payload_bytes=1_000,
    )
    everywhere = Right("ns", "cam", send=ALL, origins=("*",))
    assert Entitlements([CAMERA, everywhere, more]).of("cam").send == "all"


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("cam", 3_000),  # of `cam` itself, or of `other-gate`
        ("shelf-2", 2_000),
        ("shelf-1", 3_000),
        ("shelf-", 2_000),
        ("shelf", MOST),  # nobody's: the router lets nothing through
        ("cam2", MOST),
    ],
)
def test_frame_may_be_as_large_as_the_largest_that_any_of_its_senders_may_send(origin: str, expected: int) -> None:
    # This user has a right to every name, and is no reason to let a frame of others be larger.
    entitlements = Entitlements([every_right("ns", "me"), CAMERA, GATE, OTHER_GATE, MAKER])
    assert entitlements.max_payload_bytes(key(origin), MOST) == expected
    assert entitlements.max_payload_bytes(key(origin), 10) == 10


def test_one_sender_without_a_limit_lifts_it_from_the_names_that_it_shares() -> None:
    free = Right("ns", "free", send=ALL, origins=("cam",))
    entitlements = Entitlements([CAMERA, free, GATE])
    assert entitlements.max_payload_bytes(key("cam"), MOST) == MOST
    assert entitlements.max_payload_bytes(key("shelf-1"), MOST) == 2_000


def test_what_a_function_emits_has_the_limit_of_its_instances_whatever_its_origin() -> None:
    entitlements = Entitlements([every_right("ns", "me"), CAMERA, MAKER])
    assert entitlements.max_payload_bytes(key("cam", "label"), MOST) == 500
    assert entitlements.max_payload_bytes(key("cam", "count"), MOST) == MOST
    second = Right("ns", "second", functions=(LABEL,), max_payload_bytes=800)
    assert Entitlements([MAKER, second]).max_payload_bytes(key("x", "label"), MOST) == 800
