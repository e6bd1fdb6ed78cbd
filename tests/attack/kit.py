"""A zipper's router with compiled rights, and sessions of others that try things. Real QUIC, real certificates.

The zipper stands in as a bare router session that answers what a zipper answers and counts what reaches it: these
tests are about what gets that far.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import zenoh
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from nearfield.frame.rights import Right
from nearfield.transport import Identity
from nearfield.transport.access_control import access_settings
from nearfield.transport.settings import client_settings, router_settings
from tests.processes import free_port

DEADLINE_S = 10.0
POLL_S = 0.01
ZIPPER = "line-1"
MAX_PAYLOAD_BYTES = 1_048_576


class Certificates:
    """An authority that issues certificates for any common name into a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign("authority", self._key, is_authority=True)
        (directory / "ca.pem").write_bytes(self._certificate.public_bytes(Encoding.PEM))
        self._issued: dict[str, Identity] = {}

    def issue(self, common_name: str) -> Identity:
        """The files of an identity, good for server and client."""
        if common_name not in self._issued:
            key = ec.generate_private_key(ec.SECP256R1())
            certificate, private = (self._directory / f"{common_name}.{kind}" for kind in ("pem", "key"))
            certificate.write_bytes(self._sign(common_name, key).public_bytes(Encoding.PEM))
            private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            private.chmod(0o600)
            self._issued[common_name] = Identity(self._directory / "ca.pem", certificate, private)
        return self._issued[common_name]

    def _sign(self, common_name: str, key: ec.EllipticCurvePrivateKey, *, is_authority: bool = False) -> Any:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if is_authority else self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if not is_authority:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        return builder.sign(self._key, SHA256())


def config_of(settings: Mapping[str, Any]) -> zenoh.Config:
    config = zenoh.Config()
    for path, value in settings.items():
        config.insert_json5(path, json.dumps(value))
    return config


@dataclass
class Heard:
    """What a session received, as (key, payload, kind), from zenoh's threads."""

    samples: list[tuple[str, bytes, str]] = field(default_factory=list)

    def __call__(self, sample: zenoh.Sample) -> None:
        kind = "put" if sample.kind == zenoh.SampleKind.PUT else "delete"
        self.samples.append((str(sample.key_expr), sample.payload.to_bytes(), kind))

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload, _ in list(self.samples)]

    @property
    def keys(self) -> list[str]:
        return [key for key, _, _ in list(self.samples)]


def until(condition: Callable[[], object], expected: str) -> None:
    give_up_at = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < give_up_at, f"not within {DEADLINE_S:g} s: {expected}"
        time.sleep(POLL_S)


class Site:
    """A router with rights, which answers what a zipper answers, and hears what gets through to it.

    Args:
        rights: None: it lets everything through.
        peer: another one to form a mesh with.
    """

    def __init__(
        self,
        certificates: Certificates,
        rights: Iterable[Right] | None,
        *,
        name: str = ZIPPER,
        peer: Site | None = None,
    ) -> None:
        self.certificates = certificates
        self.port = free_port()
        self.heard = Heard()
        self.asked: list[str] = []
        self.announced: list[tuple[str, bool]] = []
        peers = [] if peer is None else [f"quic/localhost:{peer.port}"]
        settings = router_settings([f"quic/127.0.0.1:{self.port}"], certificates.issue(name), peers)
        if rights is not None:
            settings |= access_settings(rights, name, max_payload_bytes=MAX_PAYLOAD_BYTES)
        self.session = zenoh.open(config_of(settings))
        # `**` is not told to other zippers, which have no right to it; what a zipper subscribes to is.
        self.session.declare_subscriber("**", self.heard)
        for namespace in ("alpha", "beta"):
            for key in ("capacity/*", f"forward/{name}/*/*", f"forwarded/{name}/*", f"reports/{name}/*/*"):
                self.session.declare_subscriber(f"nearfield/{namespace}/{key}", lambda _: None)
            self.session.liveliness().declare_subscriber(f"nearfield/{namespace}/zippers/*", lambda _: None)
        self.session.declare_queryable("nearfield/**", self._answer)
        self.session.liveliness().declare_subscriber("**", self._on_token, history=True)

    @contextmanager
    def open(self, identity: str, **settings: Any) -> Iterator[zenoh.Session]:
        """A client's session with the certificate of `identity`."""
        ours = client_settings([f"quic/localhost:{self.port}"], self.certificates.issue(identity))
        with zenoh.open(config_of(ours | settings)) as session:
            yield session

    def said_of(self, token: str) -> list[bool]:
        """Whether it is there, each time that this was told."""
        return [is_alive for key, is_alive in list(self.announced) if key == token]

    def publish(self, *keys: str) -> None:
        """Publish on each key, with the key as payload."""
        for key in keys:
            self.session.put(key, key)

    def close(self) -> None:
        self.session.close()  # type: ignore[no-untyped-call]

    def _answer(self, query: zenoh.Query) -> None:
        self.asked.append(str(query.key_expr))
        with query:
            query.reply(query.key_expr if "*" not in str(query.key_expr) else "nearfield/answer", b"the zipper's")

    def _on_token(self, sample: zenoh.Sample) -> None:
        self.announced.append((str(sample.key_expr), sample.kind == zenoh.SampleKind.PUT))


def fence(session: zenoh.Session) -> None:
    """Wait until the router is through with all that this session sent, and this session with all it was sent.

    A question that is denied is answered with an end at once; either way the answer comes behind what was before it.
    """
    began_at = time.monotonic()
    for _ in session.get("nearfield/fence", timeout=DEADLINE_S):
        pass
    settle(session)
    assert time.monotonic() - began_at < DEADLINE_S, "no answer"


def settle(session: zenoh.Session) -> None:
    """Wait until the router took in what was declared: as `Session.settle` does."""
    for _ in session.liveliness().get("nearfield/settled", timeout=DEADLINE_S):
        pass


def answers(session: zenoh.Session, key: str) -> list[bytes]:
    """What is answered to a question."""
    replies = list(session.get(key, timeout=DEADLINE_S))
    return [reply.ok.payload.to_bytes() for reply in replies if reply.ok is not None]
