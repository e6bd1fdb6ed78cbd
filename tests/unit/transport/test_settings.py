"""What we set for the engine. That it knows every setting is shown by each session that opens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nearfield.transport import Identity, OpenAccess, Token, TokenAccess, Uncertified
from nearfield.transport.settings import client_settings, router_settings

IDENTITY = Identity(Path("/c/ca.pem"), Path("/c/one.pem"), Path("/c/one.key"))
ROUTER = router_settings(["quic/0.0.0.0:9900", "tls/0.0.0.0:9900"], IDENTITY)
CLIENT = client_settings(["quic/localhost:9900"], IDENTITY)


@pytest.mark.parametrize("settings", [ROUTER, CLIENT], ids=["router", "client"])
def test_both_sides_prove_who_they_are(settings: dict[str, Any]) -> None:
    assert settings["transport/link/tls/enable_mtls"] is True
    assert settings["transport/link/tls/verify_name_on_connect"] is True
    assert settings["transport/link/tls/root_ca_certificate"] == "/c/ca.pem"


@pytest.mark.parametrize("settings", [ROUTER, CLIENT], ids=["router", "client"])
def test_nothing_bypasses_the_addresses_that_were_given(settings: dict[str, Any]) -> None:
    assert settings["scouting/multicast/enabled"] is False
    assert settings["scouting/gossip/enabled"] is False
    assert settings["transport/shared_memory/enabled"] is False
    assert set(settings["transport/link/protocols"]) == {"quic", "tls"}


def test_router_connects_to_its_peers_with_the_clients_certificate() -> None:
    client = Identity(Path("/c/ca.pem"), Path("/c/two.pem"), Path("/c/two.key"))
    mesh = router_settings(["quic/0.0.0.0:9900"], IDENTITY, ["quic/b:9900"], client)
    assert mesh["connect/endpoints"] == ["quic/b:9900"]
    assert mesh["transport/link/tls/listen_certificate"] == "/c/one.pem"
    assert mesh["transport/link/tls/connect_certificate"] == "/c/two.pem"
    assert ROUTER["transport/link/tls/connect_certificate"] == "/c/one.pem"
    # It must not hold up the zipper when a peer is not there.
    assert (mesh["connect/timeout_ms"], mesh["connect/exit_on_failure"]) == (-1, False)


def test_router_only_listens_and_client_only_connects() -> None:
    assert (ROUTER["mode"], ROUTER["connect/endpoints"]) == ("router", [])
    assert ROUTER["listen/endpoints"] == ["quic/0.0.0.0:9900", "tls/0.0.0.0:9900"]
    assert (CLIENT["mode"], CLIENT["listen/endpoints"]) == ("client", [])
    assert CLIENT["connect/endpoints"] == ["quic/localhost:9900"]


def test_each_side_presents_its_own_certificate() -> None:
    assert ROUTER["transport/link/tls/listen_certificate"] == "/c/one.pem"
    assert ROUTER["transport/link/tls/listen_private_key"] == "/c/one.key"
    assert CLIENT["transport/link/tls/connect_certificate"] == "/c/one.pem"
    assert CLIENT["transport/link/tls/connect_private_key"] == "/c/one.key"


# ---- tokens, and nothing at all ----

TOKEN = Token("cam-1", "correct-horse-battery")
USER = {"transport/auth/usrpwd/user": "cam-1", "transport/auth/usrpwd/password": TOKEN.password}
CERTIFICATES = {"transport/link/tls/connect_certificate", "transport/link/tls/connect_private_key"}


def test_router_that_asks_for_tokens_asks_for_no_certificate_and_shows_its_own_token() -> None:
    access = TokenAccess((TOKEN,), own=TOKEN)
    router = router_settings(["quic/0.0.0.0:9900"], replace(IDENTITY, access=access), dictionary="/proc/self/fd/9")
    assert router["transport/link/tls/enable_mtls"] is False
    assert router["transport/auth/usrpwd/dictionary_file"] == "/proc/self/fd/9"
    assert router.items() >= USER.items()
    assert router["transport/link/tls/listen_certificate"] == "/c/one.pem"


def test_open_router_asks_for_nothing_and_encrypts() -> None:
    router = router_settings(["quic/0.0.0.0:9900"], replace(IDENTITY, access=OpenAccess()))
    assert router["transport/link/tls/enable_mtls"] is False
    assert router["transport/link/tls/listen_certificate"] == "/c/one.pem"
    assert set(router["transport/link/protocols"]) == {"quic", "tls"}
    assert not [path for path in router if path.startswith("transport/auth/")]


@pytest.mark.parametrize("credentials", [replace(IDENTITY, token=TOKEN), Uncertified(Path("/c/ca.pem"), TOKEN)])
def test_client_shows_its_token_in_place_of_a_certificate(credentials: Any) -> None:
    client = client_settings(["quic/localhost:9900"], credentials, by_token=True)
    assert client.items() >= USER.items()
    assert client["transport/link/tls/enable_mtls"] is False
    assert client["transport/link/tls/verify_name_on_connect"] is True
    assert client["transport/link/tls/root_ca_certificate"] == "/c/ca.pem"
    assert not CERTIFICATES & set(client)


def test_token_is_not_shown_beside_a_certificate() -> None:
    client = client_settings(["quic/localhost:9900"], replace(IDENTITY, token=TOKEN))
    assert set(client) >= CERTIFICATES
    assert not [path for path in client if path.startswith("transport/auth/")]
