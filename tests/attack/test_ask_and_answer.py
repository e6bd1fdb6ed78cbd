"""Asking what one may not ask, and answering in the zipper's place."""

from __future__ import annotations

import pytest
import zenoh

from tests.attack.kit import Site, answers, fence, settle, until

ALLOWED = [
    ("cam-1", "nearfield/alpha/hello/abc"),
    ("screen", "nearfield/alpha/hello/abc"),
    ("screen", "nearfield/alpha/rights/line-1/screen"),
    ("detector", "nearfield/alpha/join/line-1/detect"),
    ("detector", "nearfield/alpha/leave/line-1/detect"),
    ("auditor", "nearfield/alpha/ledger/line-1"),
    ("local-me", "nearfield/alpha/join/line-1/anything"),
    ("local-me", "nearfield/beta/ledger/line-1"),
]

FORBIDDEN = [
    ("cam-1", "nearfield/beta/hello/abc"),  # of the other namespace
    ("screen-9", "nearfield/alpha/hello/abc"),
    ("screen-9", "nearfield/alpha/ledger/line-1"),
    ("runner-9", "nearfield/alpha/join/line-1/detect"),
    ("cam-1", "nearfield/alpha/ledger/line-1"),  # without the right to it
    ("detector", "nearfield/alpha/ledger/line-1"),
    ("line-2", "nearfield/alpha/ledger/line-1"),
    ("cam-1", "nearfield/alpha/join/line-1/detect"),
    ("screen", "nearfield/alpha/join/line-1/detect"),
    ("detector", "nearfield/alpha/join/line-1/count"),  # as another function
    ("detector", "nearfield/alpha/leave/line-1/count"),
    ("detector", "nearfield/alpha/join/line-1/*"),
    ("line-2", "nearfield/alpha/join/line-1/detect"),
    ("screen", "nearfield/alpha/rights/line-1/cam-1"),  # about another
    ("screen", "nearfield/alpha/rights/line-1/*"),
    ("auditor", "nearfield/*/ledger/line-1"),
    ("auditor", "nearfield/*/ledger/*"),
    ("cam-1", "nearfield/alpha/**"),
    ("cam-1", "nearfield/**"),
    ("cam-1", "**"),
    ("stranger", "nearfield/alpha/hello/abc"),  # a good certificate, and no right
    ("stranger", "**"),
]


@pytest.mark.parametrize(("identity", "key"), ALLOWED)
def test_question_that_is_allowed_is_answered(site: Site, identity: str, key: str) -> None:
    with site.open(identity) as session:
        assert answers(session, key) == [b"the zipper's"]
    assert site.asked == [key]


@pytest.mark.parametrize(("identity", "key"), FORBIDDEN)
def test_question_that_is_not_allowed_is_not_even_heard(site: Site, identity: str, key: str) -> None:
    with site.open(identity) as session, site.open("cam-2") as other:
        assert b"the zipper's" not in answers(session, key)
        assert site.asked == []
        assert answers(other, "nearfield/alpha/hello/abc") == [b"the zipper's"]


@pytest.mark.parametrize("is_complete", [False, True])
@pytest.mark.parametrize(
    "key", ["nearfield/alpha/hello/abc", "nearfield/alpha/join/line-1/detect", "nearfield/**", "**"]
)
@pytest.mark.parametrize("identity", ["cam-1", "detector", "stranger"])
def test_nobody_answers_in_the_place_of_the_zipper(site: Site, identity: str, key: str, is_complete: bool) -> None:
    questions: list[str] = []

    def forge(query: zenoh.Query) -> None:
        questions.append(str(query.key_expr))
        with query:
            query.reply(query.key_expr, b"forged")

    with site.open(identity) as session, site.open("detector") as victim:
        session.declare_queryable(key, forge, complete=is_complete)
        settle(session)
        for asked in ("nearfield/alpha/hello/abc", "nearfield/alpha/join/line-1/detect"):
            assert answers(victim, asked) == [b"the zipper's"]
    assert questions == []


def test_zipper_that_relays_does_not_answer_for_this_one(site: Site) -> None:
    with site.open("line-2") as session:
        session.declare_queryable("nearfield/alpha/hello/*", lambda query: query.reply(query.key_expr, b"forged"))
        settle(session)
        with site.open("cam-1") as victim:
            assert answers(victim, "nearfield/alpha/hello/abc") == [b"the zipper's"]


def test_declared_querier_learns_of_the_zipper_and_is_answered(site: Site) -> None:
    queryable = site.session.declare_queryable("nearfield/alpha/hello/abc", lambda query: query.drop())
    with site.open("cam-1") as session:
        querier = session.declare_querier("nearfield/alpha/hello/abc")
        until(lambda: querier.matching_status.matching, "it knows of the zipper")
        replies = [reply.ok.payload.to_bytes() for reply in querier.get() if reply.ok is not None]
    queryable.undeclare()  # type: ignore[no-untyped-call]
    assert replies == [b"the zipper's"]


@pytest.mark.parametrize(
    "key", ["nearfield/alpha/acks/line-1/cam-2", "nearfield/alpha/frames/16/line-1/cam-2/-", "nearfield/beta/**", "**"]
)
def test_who_else_receives_stays_hidden(site: Site, key: str) -> None:
    with site.open("cam-2") as other, site.open("screen-9") as stranger, site.open("cam-1") as session:
        other.declare_subscriber("nearfield/alpha/acks/*/cam-2", lambda _: None)
        other.declare_subscriber("nearfield/alpha/frames/*/*/cam-2/*", lambda _: None)
        stranger.declare_subscriber("nearfield/beta/frames/*/*/*/*", lambda _: None)
        settle(other)
        settle(stranger)
        publisher = session.declare_publisher(key)
        fence(session)
        assert not publisher.matching_status.matching


@pytest.mark.parametrize("key", ["@/**", "@/*/router/**", "@/*/session/**"])
def test_admin_space_shows_a_session_nothing_but_itself(site: Site, key: str) -> None:
    with site.open("cam-1") as session, site.open("cam-2") as other:
        fence(other)
        shown = [str(reply.ok.key_expr) for reply in session.get(key, timeout=5.0) if reply.ok is not None]
        assert [key for key in shown if not key.startswith(f"@/{session.info.zid()}/")] == []
