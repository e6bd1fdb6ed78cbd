from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nearfield.sandbox import Directory, Grants


def test_the_default_is_clocks_and_randomness_alone() -> None:
    grants = Grants()
    assert (dict(grants.environment), grants.directories, grants.http_hosts) == ({}, (), ())
    assert (grants.clock_resolution_ns, grants.random_seed) == (1000, None)
    assert not grants.may_reach("localhost", 80)
    assert grants.http_ports() == ()


@pytest.mark.parametrize(
    ("granted", "host", "port", "allowed"),
    [
        ("api.example.org", "api.example.org", 443, True),
        ("api.example.org", "API.Example.org.", 80, True),
        ("api.example.org", "api.example.org", 8080, False),
        ("api.example.org", "evil.api.example.org", 443, False),
        ("api.example.org", "example.org", 443, False),
        ("api.example.org:8080", "api.example.org", 8080, True),
        ("api.example.org:8080", "api.example.org", 443, False),
        ("10.0.0.7", "10.0.0.7", 80, True),
        ("10.0.0.7", "10.0.0.70", 80, False),
        ("[fd00::7]", "fd00:0:0::7", 443, True),
        ("fd00::7", "fd00::7", 443, True),
        ("[fd00::7]:81", "fd00::7", 81, True),
        ("[fd00::7]:81", "fd00::7", 80, False),
        ("x", "not:an:address", 80, False),
    ],
)
def test_a_host_may_be_reached_as_granted(granted: str, host: str, port: int, allowed: bool) -> None:
    assert Grants(http_hosts=("other", granted)).may_reach(host, port) is allowed


def test_ports_of_granted_hosts() -> None:
    assert Grants(http_hosts=("a", "b:8080", "[::1]:81")).http_ports() == (80, 81, 443, 8080)


@pytest.mark.parametrize(
    "host",
    ["", "a b", "x:", "x:0", "x:65536", "x:http", "[::1", "[::1]x", "[x]", "::1:x", "http://x", "*.x", "-x", "x/y"],
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"^http host: got `.*`, expected a host such as `api\.example\.org`"):
        Grants(http_hosts=(host,))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"environment": {"A B": "1"}}, "environment: got `A B`"),
        ({"environment": {"A": "1\0"}}, "environment: got `A`"),
        ({"clock_resolution_ns": 0}, "clock resolution: got 0 ns"),
        (
            {"directories": (Directory(Path("/x"), "/a"), Directory(Path("/y"), "/a/"))},
            "directories: got guest path `/a` twice",
        ),
    ],
)
def test_a_grant_that_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Grants(**given)


@pytest.mark.parametrize("path", ["", "data", "/a/../b", "/a\0"])
def test_a_guest_path_is_absolute(path: str) -> None:
    with pytest.raises(ValueError, match="directory: got guest path"):
        Directory(Path("/x"), path)
