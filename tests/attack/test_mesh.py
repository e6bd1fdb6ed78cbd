"""Two zippers with rights of their own: what passes between them, and what a peer cannot do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from nearfield.frame.rights import Right
from tests.attack.kit import Certificates, Heard, Site, fence, settle, until

AT_LINE_2 = (
    Right("alpha", "line-1", is_zipper=True),
    Right("alpha", "screen", observe=frozenset({17})),
    Right("beta", "screen-9", observe=frozenset({17})),
)
RESULT = "nearfield/{}/frames/17/line-1/cam-1/detect"


@pytest.fixture
def peer(site: Site, certificates: Certificates) -> Iterator[Site]:
    """Another zipper, that has a right to namespace alpha here, and none to beta."""
    with closing(Site(certificates, AT_LINE_2, name="line-2", peer=site)) as peer:
        until(lambda: list(site.session.info.routers_zid()) and list(peer.session.info.routers_zid()), "a mesh")
        yield peer


def test_sinks_at_another_zipper_receive_what_is_of_their_namespace(site: Site, peer: Site) -> None:
    with peer.open("screen") as sink, peer.open("screen-9") as foreign:
        heard, by_foreign = Heard(), Heard()
        sink.declare_subscriber("nearfield/alpha/frames/17/*/*/*", heard)
        foreign.declare_subscriber("nearfield/beta/frames/17/*/*/*", by_foreign)
        settle(sink)
        settle(foreign)
        # What was declared there is known here only a moment later, and nothing tells when.
        until(lambda: site.publish(RESULT.format("beta"), RESULT.format("alpha")) or heard.samples, "a result")
        fence(foreign)
    assert set(heard.keys) == {RESULT.format("alpha")}
    assert by_foreign.samples == []


def test_zippers_see_each_other_and_talk(site: Site, peer: Site) -> None:
    _token = peer.session.liveliness().declare_token("nearfield/alpha/zippers/line-2")
    until(lambda: site.said_of("nearfield/alpha/zippers/line-2")[-1:] == [True], "announced")
    for key in (
        "nearfield/alpha/capacity/line-2",
        "nearfield/alpha/forward/line-1/line-2/detect",
        "nearfield/alpha/forwarded/line-1/line-2",
    ):
        until(lambda key=key: peer.publish(key) or key in site.heard.keys, key)


def test_a_peer_cannot_be_an_instance_or_reach_another_namespace(certificates: Certificates, site: Site) -> None:
    # One that lets everything through itself.
    with closing(Site(certificates, None, name="line-2", peer=site)) as peer:
        forge_what_a_peer_may_not(site, peer)


def forge_what_a_peer_may_not(site: Site, peer: Site) -> None:
    until(lambda: peer.publish("nearfield/alpha/capacity/line-2") or site.heard.samples, "it is heard")
    forged = (
        "nearfield/alpha/reports/line-1/detect/detect-1",
        "nearfield/alpha/dispatch/line-1/detect/detect-1",
        "nearfield/alpha/state/line-1",
        "nearfield/beta/capacity/line-2",
        "nearfield/beta/frames/17/line-2/cam-9/detect",
    )
    tokens = "nearfield/alpha/alive/line-1/detect/forged", "nearfield/beta/zippers/line-2"
    _held = [peer.session.liveliness().declare_token(key) for key in tokens]
    peer.publish(*forged, "nearfield/alpha/capacity/last")
    until(lambda: "nearfield/alpha/capacity/last" in site.heard.keys, "the last one")
    assert set(site.heard.keys) & set(forged) == set()
    assert [site.said_of(key) for key in tokens] == [[], []]


def test_settling_takes_no_longer_in_a_mesh(site: Site, peer: Site) -> None:
    # The question for tokens is not passed on to peers, where nobody has a right to it.
    with site.open("cam-1") as session:
        began_at = time.monotonic()
        settle(session)
        assert time.monotonic() - began_at < 2.0


def test_who_is_no_zipper_gets_nothing_from_a_router_it_connects_to(certificates: Certificates, site: Site) -> None:
    # The other way round: a zipper connects to what answers at a peer's address, with another's certificate.
    with closing(Site(certificates, None, name="stranger", peer=site)) as stranger:
        until(lambda: list(site.session.info.routers_zid()), "connected")
        with site.open("cam-1") as source:
            own = "nearfield/alpha/frames/16/line-1/cam-1/-"
            source.put(own, b"frame")
            until(lambda: own in site.heard.keys, "the frame here")
            fence(source)
        _token = stranger.session.liveliness().declare_token("nearfield/alpha/zippers/line-3")
        stranger.publish(own, "nearfield/alpha/capacity/line-3")
        fence(stranger.session)
        until(lambda: len(stranger.heard.keys) >= 2, "what it says to itself")
        assert stranger.heard.keys == [own, "nearfield/alpha/capacity/line-3"]
        assert site.heard.keys == [own]
        assert site.said_of("nearfield/alpha/zippers/line-3") == []
