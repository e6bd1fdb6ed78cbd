"""Posing as somebody who is there: tokens of instances and zippers, session ids, routers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import zenoh

from nearfield.transport.settings import router_settings
from tests.attack.kit import Heard, Site, config_of, fence, until

# Of the rightful instance, another one in each test: that a former one is gone may be told late.
OWN = "its own"


@pytest.fixture
def token() -> str:
    return f"nearfield/alpha/alive/line-1/detect/detect-{secrets.token_hex(4)}"


FORBIDDEN_TOKENS = [
    ("detector", "nearfield/alpha/alive/line-1/count/count-1"),  # of another function
    ("detector", "nearfield/alpha/alive/line-1/*/*"),
    ("detector", "nearfield/alpha/zippers/detector"),
    ("detector", "nearfield/beta/alive/line-1/detect/detect-1"),
    ("runner-9", OWN),  # of the function of this name in the other namespace
    ("cam-1", OWN),
    ("cam-1", "nearfield/alpha/zippers/cam-1"),
    ("cam-1", "nearfield/settled"),
    ("screen", OWN),
    ("line-2", OWN),
    ("line-2", "nearfield/beta/zippers/line-2"),
    ("stranger", OWN),
    ("stranger", "**"),
]


def test_instance_announces_itself_and_is_missed_when_it_goes(site: Site, token: str) -> None:
    with site.open("detector") as session:
        _token = session.liveliness().declare_token(token)
        until(lambda: site.said_of(token) == [True], "announced")
    until(lambda: site.said_of(token) == [True, False], "gone")


@pytest.mark.parametrize(("identity", "key"), FORBIDDEN_TOKENS)
def test_nobody_announces_another_or_keeps_it_alive(site: Site, identity: str, key: str, token: str) -> None:
    with site.open(identity) as session:
        with site.open("detector") as rightful:
            _token = rightful.liveliness().declare_token(token)
            until(lambda: site.said_of(token) == [True], "announced")
            forged = session.liveliness().declare_token(token if key == OWN else key)
            fence(session)
        until(lambda: site.said_of(token) == [True, False], "gone")
        forged.undeclare()  # type: ignore[no-untyped-call]
        fence(session)
    assert key == OWN or site.said_of(key) == []


@pytest.mark.parametrize("key", ["nearfield/alpha/alive/**", "nearfield/**", "**", OWN])
@pytest.mark.parametrize("identity", ["cam-1", "detector", "screen-9", "stranger"])
def test_who_is_there_stays_hidden(site: Site, identity: str, key: str, token: str) -> None:
    asked = token if key == OWN else key
    with site.open("detector") as rightful, site.open(identity) as session:
        _token = rightful.liveliness().declare_token(token)
        until(lambda: site.said_of(token) == [True], "announced")
        seen = Heard()
        session.liveliness().declare_subscriber(asked, seen, history=True)
        fence(session)
        assert list(session.liveliness().get(asked, timeout=5.0)) == []
        assert seen.samples == []


def test_second_session_with_the_id_of_a_living_one_is_refused(site: Site) -> None:
    key = "nearfield/alpha/frames/16/line-1/cam-1/-"
    with site.open("cam-1") as session:
        with pytest.raises(zenoh.ZError), site.open("cam-2", id=str(session.info.zid())):
            pass
        session.put(key, b"still here")
        until(lambda: site.heard.payloads == [b"still here"], "the frame")


@contextmanager
def posing_as_router(site: Site, identity: str, port: int) -> Iterator[zenoh.Session]:
    settings = router_settings([], site.certificates.issue(identity), [f"quic/localhost:{port}"])
    with zenoh.open(config_of(settings | {"listen/endpoints": []})) as session:
        yield session


def test_client_that_opens_as_a_router_gets_no_more_rights(site: Site) -> None:
    # zenoh admits it as a router, though; who has no right of a zipper must be told apart by the links' names.
    other = "nearfield/alpha/frames/16/line-1/cam-2/-"
    with posing_as_router(site, "cam-1", site.port) as session, site.open("cam-2") as honest:
        until(lambda: list(site.session.info.routers_zid()), "admitted")
        heard = Heard()
        session.declare_subscriber("**", heard)
        _token = session.liveliness().declare_token("nearfield/alpha/zippers/line-3")
        fence(session)
        for key in (other, "nearfield/alpha/capacity/line-3", "nearfield/alpha/dispatch/line-1/detect/detect-1"):
            session.put(key, b"forged")
        honest.put(other, b"honest")
        until(lambda: b"honest" in site.heard.payloads, "the frame of another")
        site.publish("nearfield/alpha/frames/17/line-1/cam-2/detect", "nearfield/alpha/capacity/line-1")
        fence(session)
        names = {link.auth_identifier for link in site.session.info.links()}
    assert set(heard.payloads) == {b"forged"}  # its own, shared out within its session
    assert b"forged" not in site.heard.payloads
    assert site.said_of("nearfield/alpha/zippers/line-3") == []
    assert "cam-1" in names
