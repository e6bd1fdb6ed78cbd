"""Identities for mutual TLS: the three PEM files, and checks whose failures a person can act on.

The engine itself reports every certificate problem as "Unable to connect"; so each is looked for here, before it is
given the files.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nearfield.errors import CertificateError
from nearfield.transport.access import Access
from nearfield.transport.state_directory import read_private
from nearfield.transport.tokens import Token

Purpose: TypeAlias = Literal["server", "client"]

_USAGES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
# A chain longer than this is a loop or a mistake; public ones have two or three certificates.
_MAX_CHAIN = 8


@dataclass(frozen=True, slots=True)
class Identity:
    """PEM files: whom we trust, who we are, and the proof of it.

    Attributes:
        ca_pem_path: authorities whose signature we accept on the other side's certificate.
        certificate_path: ours, first in the file, then intermediate ones if there are any.
        key_path: the private key of that certificate.
        token: what a client shows in their place to a zipper that asks for tokens; None: nothing.
        access: whom a zipper lets in; None: those with a certificate of `ca_pem_path`. Means nothing to clients.
    """

    ca_pem_path: Path
    certificate_path: Path
    key_path: Path
    token: Token | None = None
    access: Access | None = None

    @property
    def name(self) -> str:
        """The certificate's common name: what rights are given to. Reads the file.

        Raises:
            CertificateError: it cannot be read, or has no common name.
        """
        name = common_name(read_certificates(self.certificate_path)[0])
        if name is None:
            raise CertificateError("the certificate has no common name", where=str(self.certificate_path))
        return name

    @property
    def files(self) -> tuple[Path, ...]:
        """All that connecting with it reads."""
        return self.ca_pem_path, self.certificate_path, self.key_path


@dataclass(frozen=True, slots=True)
class Uncertified:
    """A client without a certificate of its own.

    Attributes:
        ca_pem_path: authorities whose signature we accept on the zipper's certificate.
        token: shown to zippers that ask for one; None: only zippers that let in everyone can be used.
    """

    ca_pem_path: Path
    token: Token | None = None

    @property
    def name(self) -> str | None:
        """What rights are given to; None: nobody in particular."""
        return None if self.token is None else self.token.name

    @property
    def files(self) -> tuple[Path, ...]:
        """All that connecting with it reads."""
        return (self.ca_pem_path,)


Credentials: TypeAlias = Identity | Uncertified
"""Whom a client trusts, and how it says who it is."""


def load_identity(
    ca: Path, certificate: Path, key: Path, *, purposes: Collection[Purpose] = (), now: datetime | None = None
) -> Identity:
    """Check three files against each other and return them as an identity.

    Args:
        purposes: what the certificate must be good for, by its extended key usage: a zipper's `server`, all others
            `client`. One that names no usage is good for both.
        now: with a time zone; the present by default.

    Raises:
        CertificateError: one of them is missing, unreadable or ill-formed, or out of its time; the key is another
            certificate's, or open to others; the certificate was not signed by the authority.
    """
    moment = now or datetime.now(UTC)
    authorities = read_certificates(ca)
    chain = read_certificates(certificate)
    check_time(chain[0], certificate, moment)
    _check_key(chain[0], certificate, key)
    issuer = _find_authority(chain, authorities)
    if issuer is None:
        what = f"not signed by the authority in `{ca}`: issued by {describe_name(chain[0].issuer)}"
        known = ", ".join(describe_name(authority.subject) for authority in authorities)
        raise CertificateError(f"{what}, expected {known}", where=str(certificate))
    check_time(issuer, ca, moment)
    for purpose in purposes:
        _check_purpose(chain[0], certificate, purpose)
    return Identity(ca, certificate, key)


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Read the certificates of a PEM file, at least one.

    Raises:
        CertificateError: missing, unreadable, or not PEM.
    """
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise CertificateError(f"cannot read: {(error.strerror or str(error)).lower()}", where=str(path)) from error
    except ValueError as error:
        raise CertificateError("got no readable certificate, expected PEM", where=str(path)) from error


def check_time(certificate: x509.Certificate, path: Path, now: datetime) -> None:
    """Raise CertificateError, with the dates, if `certificate` is not valid at `now`."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        raise CertificateError(f"expired on {end:%Y-%m-%d %H:%M} UTC", where=str(path))
    if now < start:
        what = f"not valid before {start:%Y-%m-%d %H:%M} UTC, and it is {now.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        raise CertificateError(what, where=str(path), hint="check the clock of this machine")


def names_in(certificate: x509.Certificate) -> list[str]:
    """The host names and addresses that a server with this certificate may be called by."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def common_name(certificate: x509.Certificate) -> str | None:
    """The identity that a certificate stands for: its first common name."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else None


def describe_name(name: x509.Name) -> str:
    """A subject or issuer as a person knows it: its common name and serial number, else all of it."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    serial = name.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
    if not common:
        return f"`{name.rfc4514_string()}`"
    return f"`{common[0].value!s} {serial[0].value!s}`" if serial else f"`{common[0].value!s}`"


def _check_key(certificate: x509.Certificate, path: Path, key_path: Path) -> None:
    pem = read_private(key_path)
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise CertificateError("the key is encrypted", where=str(key_path), hint="store it without password") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError("got no readable private key, expected PEM", where=str(key_path)) from error
    if not isinstance(key, (ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, rsa.RSAPrivateKey)):
        what = f"got a key of type {type(key).__name__.removesuffix('PrivateKey')}, expected EC, Ed25519 or RSA"
        raise CertificateError(what, where=str(key_path))
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise CertificateError(f"the key does not belong to the certificate in `{path}`", where=str(key_path))


def _find_authority(
    chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate]
) -> x509.Certificate | None:
    """The authority at the end of the chain, or None if the chain does not lead to one."""
    current = chain[0]
    for _ in range(_MAX_CHAIN):
        for authority in authorities:
            if _issued(authority, current):
                return authority
        above = next((other for other in chain[1:] if other != current and _issued(other, current)), None)
        if above is None:
            return None
        current = above
    return None


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _check_purpose(certificate: x509.Certificate, path: Path, purpose: Purpose) -> None:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if _USAGES[purpose] not in usages and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in usages:
        what = f"not for use by a {purpose}: its extended key usage lacks {purpose}Auth"
        raise CertificateError(what, where=str(path))
