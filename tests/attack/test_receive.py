"""Subscribing to what one may not receive: no sample comes, and what one may receive still does."""

from __future__ import annotations

import pytest

from tests.attack.kit import Heard, Site, fence, settle

# One key of each kind, in both namespaces; `{0}` is the namespace.
EVERYTHING = [
    key.format(namespace)
    for namespace in ("alpha", "beta")
    for key in (
        "nearfield/{0}/frames/16/line-1/cam-1/-",
        "nearfield/{0}/frames/16/line-1/cam-2/-",
        "nearfield/{0}/frames/17/line-1/cam-1/detect",
        "nearfield/{0}/frames/17/line-2/cam-2/detect",
        "nearfield/{0}/frames/20/line-1/gate-7/-",
        "nearfield/{0}/frames/18/line-1/cam-9/count",
        "nearfield/{0}/dispatch/line-1/detect/detect-1",
        "nearfield/{0}/dispatch/line-1/count/count-1",
        "nearfield/{0}/reports/line-1/detect/detect-1",
        "nearfield/{0}/acks/line-1/cam-1",
        "nearfield/{0}/acks/line-1/cam-2",
        "nearfield/{0}/acks/line-1/gate-7",
        "nearfield/{0}/acks/line-1/cam-9",
        "nearfield/{0}/state/line-1",
        "nearfield/{0}/capacity/line-2",
        "nearfield/{0}/forward/line-2/line-1/detect",
        "nearfield/{0}/forwarded/line-1/line-2",
    )
]

ALLOWED = [
    ("screen", "nearfield/alpha/frames/17/*/*/*", ["frames/17/line-1/cam-1/detect", "frames/17/line-2/cam-2/detect"]),
    ("screen-9", "nearfield/beta/frames/*/*/*/*", [key[15:] for key in EVERYTHING if "/beta/frames/" in key]),
    ("cam-1", "nearfield/alpha/acks/*/cam-1", ["acks/line-1/cam-1"]),
    (
        "cam-1",
        "nearfield/alpha/frames/*/*/cam-1/*",
        ["frames/16/line-1/cam-1/-", "frames/17/line-1/cam-1/detect"],
    ),
    ("gate", "nearfield/alpha/acks/*/gate-7", ["acks/line-1/gate-7"]),
    ("gate", "nearfield/alpha/frames/*/*/gate-7/*", ["frames/20/line-1/gate-7/-"]),
    ("detector", "nearfield/alpha/dispatch/line-1/detect/detect-1", ["dispatch/line-1/detect/detect-1"]),
    ("detector", "nearfield/alpha/state/line-1", ["state/line-1"]),
    ("auditor", "nearfield/alpha/state/line-1", ["state/line-1"]),
    ("local-me", "nearfield/alpha/dispatch/line-1/count/count-1", ["dispatch/line-1/count/count-1"]),
]

FORBIDDEN = [
    ("screen", "nearfield/alpha/frames/16/*/*/*"),  # a tag that it may not receive
    ("screen", "nearfield/alpha/frames/*/*/*/*"),
    ("screen", "nearfield/alpha/frames/17/**"),
    ("screen", "nearfield/alpha/frames/17/line-1/cam-1/**"),
    ("screen", "nearfield/alpha/frames/1$*/*/*/*"),
    ("screen", "nearfield/alpha/**"),
    ("screen", "nearfield/*/frames/17/*/*/*"),
    ("screen", "nearfield/beta/frames/17/*/*/*"),  # of the other namespace
    ("screen", "**"),
    ("screen", "nearfield/alpha/dispatch/line-1/detect/*"),
    ("screen", "nearfield/alpha/acks/*/*"),
    ("screen-9", "nearfield/alpha/frames/*/*/*/*"),
    ("screen-9", "nearfield/**"),
    ("cam-1", "nearfield/alpha/acks/*/cam-2"),  # of another source
    ("cam-1", "nearfield/alpha/acks/*/cam-$*"),
    ("cam-1", "nearfield/alpha/frames/*/*/cam-2/*"),
    ("cam-1", "nearfield/alpha/frames/16/*/*/*"),
    ("cam-1", "nearfield/alpha/frames/*/*/*/-"),
    ("gate", "nearfield/alpha/acks/*/cam-1"),
    ("detector", "nearfield/alpha/dispatch/line-1/count/*"),  # of another function
    ("detector", "nearfield/alpha/dispatch/line-1/*/*"),
    ("detector", "nearfield/alpha/dispatch/**"),
    ("detector", "nearfield/alpha/frames/16/*/*/*"),  # what it is handed comes by dispatch alone
    ("detector", "nearfield/alpha/reports/line-1/detect/*"),
    ("runner-9", "nearfield/alpha/dispatch/line-1/detect/*"),  # of the function of this name in the other namespace
    ("auditor", "nearfield/alpha/frames/*/*/*/*"),
    ("auditor", "nearfield/alpha/capacity/*"),
    ("line-2", "nearfield/alpha/dispatch/line-1/detect/*"),
    ("line-2", "nearfield/beta/**"),
    ("stranger", "nearfield/alpha/state/line-1"),  # a good certificate, and no right
    ("stranger", "nearfield/alpha/frames/17/*/*/*"),
    ("stranger", "**"),
]


@pytest.mark.parametrize(("identity", "key", "expected"), ALLOWED)
def test_what_is_allowed_comes(site: Site, identity: str, key: str, expected: list[str]) -> None:
    with site.open(identity) as session:
        heard = Heard()
        session.declare_subscriber(key, heard)
        settle(session)
        site.publish(*EVERYTHING)
        fence(session)
    assert [key.split("/", 2)[2] for key in heard.keys] == expected


@pytest.mark.parametrize(("identity", "key"), FORBIDDEN)
def test_what_is_not_allowed_does_not_come(site: Site, identity: str, key: str) -> None:
    with site.open(identity) as session, site.open("screen") as other:
        heard, by_other = Heard(), Heard()
        session.declare_subscriber(key, heard)
        other.declare_subscriber("nearfield/alpha/frames/17/*/*/*", by_other)
        settle(session)
        settle(other)
        site.publish(*EVERYTHING)
        fence(session)
        fence(other)
    assert heard.samples == []
    assert len(by_other.samples) == 2


def test_subscription_that_is_too_wide_gets_what_another_one_may_receive(site: Site) -> None:
    # The wide one exists in the session alone, which shares out what the narrow one brought.
    with site.open("screen") as session:
        wide, narrow = Heard(), Heard()
        session.declare_subscriber("**", wide)
        session.declare_subscriber("nearfield/alpha/frames/17/*/*/*", narrow)
        settle(session)
        site.publish(*EVERYTHING)
        fence(session)
    assert len(narrow.keys) == 2
    assert wide.keys == narrow.keys
