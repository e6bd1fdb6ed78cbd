"""Putting what one may not put: nothing arrives, and what one may put still does."""

from __future__ import annotations

from contextlib import closing

import pytest
import zenoh

from tests.attack.kit import Certificates, Site, fence, until

OWN = {
    "cam-1": "nearfield/alpha/frames/16/line-1/cam-1/-",
    "cam-2": "nearfield/alpha/sent/16/line-1/cam-2/-/7",
    "counter": "nearfield/alpha/sent/18/line-1/-/count/7",
    "gate": "nearfield/alpha/frames/20/line-1/gate-7/-",
    "detector": "nearfield/alpha/frames/17/line-1/cam-1/detect",
    "cam-9": "nearfield/beta/frames/1/line-1/cam-9/-",
    "local-me": "nearfield/alpha/frames/99/line-1/anyone/-",
}

FORBIDDEN = [
    ("cam-1", "nearfield/alpha/frames/16/line-1/cam-2/-"),  # another's name
    ("cam-1", "nearfield/alpha/frames/16/line-1/cam-10/-"),
    ("cam-1", "nearfield/alpha/frames/17/line-1/cam-1/-"),  # a tag that it may not send
    ("cam-1", "nearfield/alpha/frames/160/line-1/cam-1/-"),
    ("cam-1", "nearfield/alpha/frames/16/line-2/cam-1/-"),  # as if it had entered elsewhere
    ("cam-1", "nearfield/alpha/frames/16/line-1/cam-1/detect"),  # as if a function had made it
    ("cam-1", "nearfield/beta/frames/16/line-1/cam-1/-"),  # in the other namespace
    ("cam-1", "nearfield/alpha/frames/16/line-1/cam-1/-/more"),
    ("cam-1", "nearfield/alpha/frames/16/line-1/cam-1"),
    ("cam-1", "nearfield/alpha/frames/16/line-1/*/-"),  # to many at once
    ("cam-1", "nearfield/alpha/frames/16/*/cam-1/-"),
    ("cam-1", "nearfield/alpha/frames/*/line-1/cam-1/-"),
    ("cam-1", "nearfield/alpha/frames/16/line-1/cam-$*/-"),
    ("cam-1", "nearfield/*/frames/16/line-1/cam-1/-"),
    ("cam-1", "nearfield/alpha/**"),
    ("cam-1", "**"),
    ("cam-1", "nearfield/alpha/dispatch/line-1/detect/detect-1"),  # what only the zipper says
    ("cam-1", "nearfield/alpha/acks/line-1/cam-1"),
    ("cam-1", "nearfield/alpha/acks/line-1/cam-2"),
    ("cam-1", "nearfield/alpha/state/line-1"),
    ("cam-1", "nearfield/alpha/capacity/line-1"),
    ("cam-1", "nearfield/alpha/forward/line-1/line-2/detect"),
    ("cam-1", "nearfield/alpha/forwarded/line-1/line-2"),
    ("cam-1", "nearfield/alpha/reports/line-1/detect/detect-1"),  # what only instances say
    ("cam-1", "nearfield/settled"),
    ("cam-1", "nearfield/alpha/sent/16/line-1/cam-2/-/7"),  # how much another sent
    ("cam-1", "nearfield/alpha/sent/17/line-1/-/detect/7"),
    ("cam-1", "nearfield/alpha/sent/17/line-1/cam-1/-/7"),
    ("cam-1", "nearfield/alpha/sent/16/line-2/cam-1/-/7"),
    ("detector", "nearfield/alpha/sent/17/line-1/-/count/7"),
    ("detector", "nearfield/alpha/sent/18/line-1/-/detect/7"),
    ("screen", "nearfield/alpha/sent/17/line-1/-/detect/7"),
    ("runner-9", "nearfield/alpha/sent/17/line-1/-/detect/7"),
    ("gate", "nearfield/alpha/frames/16/line-1/ga/-"),  # beside its prefix
    ("gate", "nearfield/alpha/frames/16/line-1/xgate-1/-"),
    ("gate", "nearfield/alpha/frames/16/line-1/gat$*/-"),
    ("gate", "nearfield/alpha/frames/17/line-1/gate-1/-"),
    ("detector", "nearfield/alpha/reports/line-1/count/count-1"),  # as another function
    ("detector", "nearfield/alpha/frames/17/line-1/cam-1/count"),
    ("detector", "nearfield/alpha/frames/18/line-1/cam-1/detect"),  # a tag that it does not emit
    ("detector", "nearfield/alpha/frames/17/line-1/cam-1/-"),  # as a source
    ("detector", "nearfield/alpha/frames/16/line-1/detector/-"),
    ("detector", "nearfield/alpha/dispatch/line-1/detect/detect-2"),
    ("runner-9", "nearfield/alpha/reports/line-1/detect/detect-1"),  # the function of this name in its namespace
    ("runner-9", "nearfield/alpha/frames/17/line-1/cam-1/detect"),
    ("screen", "nearfield/alpha/frames/17/line-1/cam-1/-"),  # one that only receives
    ("screen-9", "nearfield/beta/frames/17/line-1/cam-9/-"),
    ("auditor", "nearfield/alpha/ledger/line-1"),
    ("line-2", "nearfield/alpha/reports/line-1/detect/detect-1"),  # a zipper in the name of an instance
    ("line-2", "nearfield/alpha/dispatch/line-1/detect/detect-1"),
    ("line-2", "nearfield/beta/frames/16/line-2/cam-9/-"),
    ("stranger", "nearfield/alpha/frames/16/line-1/stranger/-"),  # a good certificate, and no right
    ("stranger", "nearfield/default/frames/16/line-1/stranger/-"),
]


@pytest.mark.parametrize(("identity", "key"), OWN.items())
def test_what_is_allowed_arrives(site: Site, identity: str, key: str) -> None:
    with site.open(identity) as session:
        session.put(key, b"mine")
        fence(session)
        until(lambda: site.heard.samples, "the frame")
    assert site.heard.samples == [(key, b"mine", "put")]


@pytest.mark.parametrize(("identity", "key"), FORBIDDEN)
def test_what_is_not_allowed_reaches_nobody(site: Site, identity: str, key: str) -> None:
    with site.open(identity) as session, site.open("cam-2") as other:
        session.put(key, b"forged")
        fence(session)
        # The same session, if it may send at all, and others are none the worse for it.
        if identity in OWN:
            session.put(OWN[identity], b"honest")
            fence(session)
        other.put("nearfield/alpha/frames/16/line-1/cam-2/-", b"of another")
        until(lambda: b"of another" in site.heard.payloads, "the frame of another")
    assert b"forged" not in site.heard.payloads
    assert (b"honest" in site.heard.payloads) == (identity in OWN)


@pytest.mark.parametrize("key", [OWN["cam-1"], "nearfield/alpha/frames/16/line-1/cam-2/-"])
def test_nobody_deletes(site: Site, key: str) -> None:
    with site.open("cam-1") as session:
        session.delete(key)
        fence(session)
        session.put(OWN["cam-1"], b"honest")
        until(lambda: site.heard.samples, "the frame")
    assert site.heard.samples == [(OWN["cam-1"], b"honest", "put")]


def test_wildcard_within_a_prefix_gets_through_and_must_be_refused_by_its_reader(site: Site) -> None:
    # zenoh lets through what a rule includes, and `gate-$*` includes itself: `parse_frame_key` refuses such keys.
    with site.open("gate") as session:
        session.put("nearfield/alpha/frames/16/line-1/gate-$*/-", b"wild")
        until(lambda: site.heard.samples, "the frame")
    assert "*" in site.heard.keys[0]


def test_declared_publisher_sends_when_the_zipper_listens(site: Site) -> None:
    subscriber = site.session.declare_subscriber("nearfield/alpha/frames/16/line-1/*/*", lambda _: None)
    with site.open("cam-1") as session:
        publisher = session.declare_publisher(OWN["cam-1"])
        until(lambda: publisher.matching_status.matching, "it knows of the zipper")
        publisher.put(b"declared")
        until(lambda: b"declared" in site.heard.payloads, "the frame")
    subscriber.undeclare()  # type: ignore[no-untyped-call]


def test_payload_beyond_the_limit_of_an_identity_goes_nowhere(site: Site) -> None:
    with site.open("cam-1") as session, site.open("cam-2") as other:
        for size in (100_000, 165_536, 165_537, 1_000_000):
            session.put(OWN["cam-1"], b"x" * size)
        fence(session)
        for size in (1_000_000, 1_200_000):
            other.put("nearfield/alpha/frames/16/line-1/cam-2/-", b"x" * size)
        fence(other)
        until(lambda: len(site.heard.samples) >= 3, "the frames within the limit")
        session.put(OWN["cam-1"], b"small")
        until(lambda: b"small" in site.heard.payloads, "the next frame")
    assert [len(payload) for payload in site.heard.payloads] == [100_000, 165_536, 1_000_000, 5]


def test_nobody_makes_the_router_wait_for_slow_receivers(site: Site) -> None:
    seen: list[zenoh.Sample] = []
    subscriber = site.session.declare_subscriber(OWN["cam-1"], seen.append)
    with site.open("cam-1") as session:
        session.put(OWN["cam-1"], b"", congestion_control=zenoh.CongestionControl.BLOCK)
        until(lambda: seen, "the frame")
    subscriber.undeclare()  # type: ignore[no-untyped-call]
    assert seen[0].congestion_control == zenoh.CongestionControl.BLOCK_FIRST


def test_claims_about_time_and_sender_are_let_through_unchecked(site: Site) -> None:
    # What zenoh does not stop, so nothing of ours may rely on it: keys and headers say who and when.
    seen: list[zenoh.Sample] = []
    subscriber = site.session.declare_subscriber(OWN["cam-1"], seen.append)
    with site.open("cam-1") as session, site.open("cam-2") as other:
        posing_as = other.declare_publisher("x").id
        past = zenoh.Timestamp.parse_rfc3339("1999-01-01T00:00:00Z/1")
        session.put(OWN["cam-1"], b"", source_info=zenoh.SourceInfo(posing_as, 7), timestamp=past)
        until(lambda: seen, "the frame")
    subscriber.undeclare()  # type: ignore[no-untyped-call]
    assert seen[0].source_info is not None
    assert seen[0].source_info.source_id.zid == posing_as.zid
    assert seen[0].timestamp == past


def test_zipper_without_any_rights_lets_nothing_through(certificates: Certificates) -> None:
    with closing(Site(certificates, [])) as site, site.open("cam-1") as session:
        session.put(OWN["cam-1"], b"forged")
        fence(session)
        site.publish("nearfield/alpha/last")
        until(lambda: site.heard.samples, "what it says itself")
        assert site.heard.keys == ["nearfield/alpha/last"]
