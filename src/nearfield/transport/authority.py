"""A certificate authority of one's own: automatic for a single machine, and by `nearfield cert` for other devices.

Everything lies in `certificates/` of the state directory:

==============  =================================================================
``ca.pem``      the authority, valid 10 years; to be copied to devices that connect
``ca.key``      its key; never leaves this directory
``server.*``    a zipper's, for all names of this machine, valid 1 year
``client.*``    that of local sources, functions and sinks, valid 1 year
``issued*``     what was issued by name, to other devices (see `issuing`)
==============  =================================================================

A key stays the same when its certificate is renewed, so that the pair is never seen half replaced.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nearfield.errors import CertificateError
from nearfield.frame.names import name_from
from nearfield.transport.certificates import Identity, Purpose, load_identity, names_in, read_certificates
from nearfield.transport.local_names import local_identity_name, local_names, normalize_host, user_name
from nearfield.transport.state_directory import StateDirectory, read_private, write_private

CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
# Devices without a battery-backed clock lag behind; a new certificate must not lie in their future.
BACKDATED = timedelta(hours=1)
# Names of earlier requests are kept in a renewed server certificate, up to so many in all.
MAX_SERVER_NAMES = 64
# RFC 5280, appendix A: ub-common-name.
_MAX_COMMON_NAME = 64
_USAGES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


def ensure_local_identity(state: StateDirectory, *, now: datetime | None = None) -> Identity:
    """The client identity of this user on this machine, made or renewed where needed.

    Makes the authority and the server certificate as well. Safe when several processes call it at the same time.

    Args:
        now: with a time zone; the present by default.

    Raises:
        CertificateError: the state directory cannot be used, or a key in it is open to others.
    """
    with state.locked():
        authority = Authority.ensure(state.ensure("certificates"), now or datetime.now(UTC))
        authority.server(())
        return authority.client()


def ensure_server_certificate(
    state: StateDirectory, hosts: Iterable[str] = (), *, now: datetime | None = None
) -> Identity:
    """The identity of zippers on this machine, good for all its own names and addresses and for `hosts`.

    Renewed when it has less than 30 days left or does not cover a name.

    Args:
        hosts: further names or addresses that clients use; 0.0.0.0 and :: add nothing.
        now: with a time zone; the present by default.

    Raises:
        CertificateError: as `ensure_local_identity`; or one of `hosts` is neither a host name nor an address.
    """
    wanted = checked_hosts(hosts)
    with state.locked():
        authority = Authority.ensure(state.ensure("certificates"), now or datetime.now(UTC))
        authority.client()
        return authority.server(wanted)


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority, at one moment, with the state directory locked.

    Attributes:
        directory: where its files are.
    """

    directory: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    now: datetime

    @classmethod
    def ensure(cls, directory: Path, now: datetime) -> Authority:
        """Read it, or make it where there is none or its end is near."""
        key = _ensure_key(directory / "ca.key")
        path = directory / "ca.pem"
        certificate = _read_current(path, key, now)
        if certificate is None:
            certificate = _self_signed(key, now)
            write_private(path, certificate.public_bytes(Encoding.PEM))
        return cls(directory, certificate, key, now)

    @property
    def certificate_path(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def key_id(self) -> str:
        """Which authority it is: the identifier of its key, in hexadecimal digits."""
        return _key_identifier(self.certificate).digest.hex()

    def server(self, wanted: Iterable[str]) -> Identity:
        return self.leaf("server", name_from(socket.gethostname()), {*local_names(), *wanted})

    def client(self) -> Identity:
        return self.leaf("client", local_identity_name(), set())

    def leaf(self, kind: Purpose, common_name: str, names: set[str]) -> Identity:
        path = self.directory / f"{kind}.pem"
        key = _ensure_key(self.directory / f"{kind}.key")
        current = _read_current(path, key, self.now)
        if current is None or not _issued_by(current, self.certificate) or not names <= set(names_in(current)):
            earlier = [] if current is None else names_in(current)
            kept = [name for name in earlier if name not in names][: max(0, MAX_SERVER_NAMES - len(names))]
            subject = _name(common_name)
            signed = self.sign(subject, key.public_key(), [kind], [*sorted(names), *kept], LEAF_LIFETIME)
            write_private(path, signed.public_bytes(Encoding.PEM))
        return load_identity(self.certificate_path, path, self.directory / f"{kind}.key", now=self.now)

    def sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        purposes: Collection[Purpose],
        hosts: Sequence[str],
        lifetime: timedelta,
    ) -> x509.Certificate:
        """A certificate that is valid from now on, and no longer than the authority itself.

        Args:
            hosts: names and addresses that a server with it is called by.
        """
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            _key_identifier(self.certificate)
        )
        end = min(self.now + lifetime, self.certificate.not_valid_after_utc)
        builder = (
            _builder(subject, key, self.now - BACKDATED, end)
            .issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([_USAGES[purpose] for purpose in purposes]), critical=False)
            .add_extension(authority_key, critical=False)
        )
        if hosts:
            general = [_general_name(host) for host in hosts]
            builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
        return builder.sign(self.key, SHA256())


def checked_hosts(hosts: Iterable[str]) -> list[str]:
    """Host names and addresses as a certificate holds them; 0.0.0.0 and :: are left out.

    Raises:
        CertificateError: one of them is neither a host name nor an address.
    """
    return [name for host in hosts if (name := _checked(host)) is not None]


def new_key() -> ec.EllipticCurvePrivateKey:
    """A private key as all certificates here have one."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as its file holds it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _self_signed(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    common_name = f"nearfield local CA {user_name()}@{socket.gethostname()}"
    # Two authorities of one user need different names: verifiers look issuers up by name, and so do people.
    name = _name(common_name, x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:8])
    return (
        _builder(name, key.public_key(), now - BACKDATED, now + CA_LIFETIME)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .sign(key, SHA256())
    )


def _builder(
    name: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str, serial_number: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name[:_MAX_COMMON_NAME])]
    if serial_number is not None:
        attributes.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial_number))
    return x509.Name(attributes)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _checked(host: str) -> str | None:
    name = normalize_host(host)
    if name is None and host.strip("[]") not in ("0.0.0.0", "::"):
        raise CertificateError(f"got `{host}`, expected a host name or address to make a certificate for")
    return name


def _ensure_key(path: Path) -> ec.EllipticCurvePrivateKey:
    if not path.exists():
        key = new_key()
        write_private(path, key_pem(key))
        return key
    hint = "delete it, and a new one is made"
    try:
        loaded = load_pem_private_key(read_private(path), password=None)
    except (ValueError, TypeError) as error:
        raise CertificateError("got no readable private key, expected PEM", where=str(path), hint=hint) from error
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise CertificateError("got a key of another kind, expected elliptic curve", where=str(path), hint=hint)
    return loaded


def _read_current(path: Path, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate | None:
    """The certificate in a file, or None if a new one is due: absent, damaged, for another key, or near its end.

    One from the future is kept: the clock is wrong, and a new authority would cut off every device that has the old.
    """
    try:
        certificate = read_certificates(path)[0]
    except CertificateError:
        return None
    fresh = now < certificate.not_valid_after_utc - RENEW_BEFORE
    return certificate if fresh and certificate.public_key() == key.public_key() else None


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether it names this authority and its key; who can write here is trusted, so the signature is not the point."""
    try:
        identifier = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return False
    return certificate.issuer == authority.subject and identifier.key_identifier == _key_identifier(authority).digest


def _key_identifier(authority: x509.Certificate) -> x509.SubjectKeyIdentifier:
    return authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
