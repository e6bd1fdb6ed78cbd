"""Asking for frames that others were to receive, and answering for those that others sent."""

from __future__ import annotations

import pytest
import zenoh

from tests.attack.kit import Site, fence, settle

DETECT = "nearfield/alpha/sent/17/line-1/-/detect/7"
CAMERA = "nearfield/alpha/sent/16/line-1/cam-2/-/7"

ASKERS = {DETECT: "screen", CAMERA: "local-me"}
SENDERS = {DETECT: "detector", CAMERA: "cam-2"}

FORBIDDEN_ANSWERS = [
    ("cam-1", CAMERA),  # another's name
    ("detector", CAMERA),
    ("counter", DETECT),  # another function
    ("cam-1", DETECT),
    ("screen", DETECT),  # who only receives them
    ("runner-9", DETECT),  # the function of this name in another namespace
    ("screen-9", DETECT),
    ("stranger", DETECT),
]

FORBIDDEN_QUESTIONS = [
    ("cam-1", CAMERA),
    ("cam-2", CAMERA),
    ("screen", CAMERA),  # a tag that it may not receive
    ("counter", DETECT),  # which is handed such frames, and receives none as a sink
    ("auditor", DETECT),
    ("screen-9", DETECT),
    ("stranger", DETECT),
    ("screen", "nearfield/alpha/sent/*/line-1/-/detect/7"),
    ("screen", "nearfield/alpha/**"),
]


def asked_of_all(session: zenoh.Session, key: str) -> list[bytes]:
    """What everybody answers who can be asked."""
    replies = session.get(key, target=zenoh.QueryTarget.ALL, timeout=10.0)
    return [reply.ok.payload.to_bytes() for reply in replies if reply.ok is not None]


class Answerer:
    """Answers questions on `key` as far as the router lets it.

    Attributes:
        asked: keys of the questions that reached it.
    """

    def __init__(self, session: zenoh.Session, key: str, answer: bytes) -> None:
        self.asked: list[str] = []
        self._answer = answer
        session.declare_queryable(key, self._on_query)
        settle(session)

    def _on_query(self, query: zenoh.Query) -> None:
        self.asked.append(str(query.key_expr))
        with query:
            query.reply(DETECT if "*" in str(query.key_expr) else query.key_expr, self._answer)


@pytest.mark.parametrize("key", [DETECT, CAMERA])
def test_sender_answers_those_who_may_receive_its_frames(site: Site, key: str) -> None:
    with site.open(SENDERS[key]) as sender, site.open(ASKERS[key]) as asker:
        Answerer(sender, key, b"lost")
        assert b"lost" in asked_of_all(asker, key)


@pytest.mark.parametrize("is_wide", [False, True])
@pytest.mark.parametrize(("identity", "key"), FORBIDDEN_ANSWERS)
def test_nobody_answers_for_frames_that_another_sent(site: Site, identity: str, key: str, is_wide: bool) -> None:
    with site.open(identity) as forger, site.open(ASKERS[key]) as asker:
        forgery = Answerer(forger, "nearfield/alpha/**" if is_wide else key, b"forged")
        assert b"forged" not in asked_of_all(asker, key)
        assert forgery.asked == []


@pytest.mark.parametrize(("identity", "key"), FORBIDDEN_QUESTIONS)
def test_nobody_asks_for_frames_that_it_may_not_receive(site: Site, identity: str, key: str) -> None:
    with site.open("detector") as detector, site.open("cam-2") as camera, site.open(identity) as asker:
        answerers = [Answerer(detector, DETECT, b"lost"), Answerer(camera, CAMERA, b"lost")]
        assert b"lost" not in asked_of_all(asker, key)
        fence(detector)
        fence(camera)
        assert [answerer.asked for answerer in answerers] == [[], []]
        assert site.asked == []
