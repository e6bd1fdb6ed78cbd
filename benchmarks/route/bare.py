"""The same roles in bare zenoh: the settings of our sessions and of our frames, and nothing else of ours."""

from __future__ import annotations

import json
from typing import Any

import zenoh

from benchmarks.route.traffic import Arrivals, flood, pace
from nearfield.transport import Address, StateDirectory, ensure_local_identity, ensure_server_certificate, parse_address
from nearfield.transport.settings import client_settings, router_settings

DIRECT = "bare/out"
"""What the sink subscribes to."""
RELAYED = "bare/in"
"""What the relay subscribes to; it sends on to the sink."""


class Router:
    """A router that does nothing but route."""

    def __init__(self, address: str, shm: bool = False) -> None:
        place: Address = parse_address(address)
        identity = ensure_server_certificate(StateDirectory.from_environment(), [place.host])
        self._session = _open(router_settings([place.quic], identity), shm)

    def close(self) -> None:
        self._session.close()  # type: ignore[no-untyped-call]


class BareSource:
    """Sends to the sink or to the relay."""

    def __init__(self, address: str, shm: bool = False) -> None:
        self._session = _client(address, shm)
        self._publishers = {key: _publisher(self._session, key) for key in (DIRECT, RELAYED)}

    def flood(self, key: str, **run: Any) -> int:
        """See `traffic.flood`."""
        return flood(self._publishers[key].put, **run)

    def pace(self, key: str, **run: Any) -> int:
        """See `traffic.pace`."""
        return pace(self._publishers[key].put, **run)

    def close(self) -> None:
        self._session.close()  # type: ignore[no-untyped-call]


class Relay:
    """Stands where a function stands: takes each payload as bytes and sends it on."""

    def __init__(self, address: str, shm: bool = False) -> None:
        self._session = _client(address, shm)
        put = _publisher(self._session, DIRECT).put
        self._session.declare_subscriber(RELAYED, lambda sample: put(sample.payload.to_bytes()))

    def close(self) -> None:
        self._session.close()  # type: ignore[no-untyped-call]


class BareSink(Arrivals):
    """Takes each payload as bytes."""

    def __init__(self, address: str, shm: bool = False) -> None:
        super().__init__()
        self._session = _client(address, shm)
        self._session.declare_subscriber(DIRECT, lambda sample: self.note(sample.payload.to_bytes()))

    def close(self) -> None:
        self._session.close()  # type: ignore[no-untyped-call]


def _publisher(session: zenoh.Session, key: str) -> zenoh.Publisher:
    """Sends as nearfield sends frames."""
    return session.declare_publisher(
        key, priority=zenoh.Priority.DATA, congestion_control=zenoh.CongestionControl.BLOCK_FIRST, express=False
    )


def _client(address: str, shm: bool) -> zenoh.Session:
    identity = ensure_local_identity(StateDirectory.from_environment())
    return _open(client_settings([parse_address(address).quic], identity), shm)


def _open(settings: dict[str, Any], shm: bool) -> zenoh.Session:
    config = zenoh.Config()
    for path, value in {**settings, "transport/shared_memory/enabled": shm}.items():
        config.insert_json5(path, json.dumps(value))
    return zenoh.open(config)
