"""Identities for other devices: issued, renewed and revoked by the local authority.

In `certificates/` of the state directory:

==================================  ===============================================================
``issued.json``                     the registry: who has which role, until when, who was revoked
``issued/<name>/certificate.pem``   the latest certificate
``issued/<name>/ca.pem``            the authority, so that the folder is all that a device needs
``issued/<name>/key.pem``           its key, unless it was written to a folder of the caller's choice
==================================  ===============================================================

All files are 0600. No function returns, logs or prints a key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from nearfield.errors import CertificateError, UsageError
from nearfield.frame.names import LOCAL_PREFIX, check_name
from nearfield.frame.rights import Role
from nearfield.transport.authority import Authority, checked_hosts, key_pem, new_key
from nearfield.transport.certificates import Identity, Purpose, load_identity, read_certificates
from nearfield.transport.registry import ROLES, IssuedIdentity, Registry, read_registry, write_registry
from nearfield.transport.state_directory import StateDirectory, write_private

DEFAULT_LIFETIME = timedelta(days=30)
DEFAULT_NAMESPACE = "default"
CERTIFICATE_FILE, CA_FILE, KEY_FILE = "certificate.pem", "ca.pem", "key.pem"


@dataclass(frozen=True, slots=True)
class Request:
    """What someone wants a certificate for.

    Attributes:
        hosts: names and addresses that a zipper is called by; empty for all others.
    """

    name: str
    roles: tuple[Role, ...]
    namespace: str = DEFAULT_NAMESPACE
    lifetime: timedelta = DEFAULT_LIFETIME
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Issued:
    """What was issued, and the files that a device needs."""

    entry: IssuedIdentity
    identity: Identity


@dataclass(frozen=True, slots=True)
class AuthorityStatus:
    """The authority, for people.

    Attributes:
        key_id: identifier of its key, hexadecimal.
    """

    certificate_path: Path
    key_id: str
    expires: datetime


def ensure_authority(state: StateDirectory, *, now: datetime | None = None) -> AuthorityStatus:
    """The authority of this state directory, made when there is none.

    Raises:
        CertificateError: see `ensure_local_identity`.
    """
    with _opened(state, now) as authority:
        expires = authority.certificate.not_valid_after_utc
        return AuthorityStatus(authority.certificate_path, authority.key_id, expires)


def issue(
    state: StateDirectory,
    request: Request,
    *,
    folder: Path | None = None,
    replace: bool = False,
    now: datetime | None = None,
) -> Issued:
    """Make a key and a certificate for a device.

    Args:
        folder: where its three files go; None: into the state directory.
        replace: although the name was issued before. The earlier certificate stays good until its end.

    Raises:
        UsageError: an ill-formed or reserved name, or that of this machine; no role; a zipper without hosts, hosts for
            anything else.
        CertificateError: the name was issued, or revoked; `folder` holds an identity; the disk refuses.
    """
    _check(request)
    hosts = tuple(checked_hosts(request.hosts))
    with _opened(state, now) as authority:
        registry = read_registry(state)
        _refuse_taken(registry, request.name, authority.now, replace=replace)
        if request.name == authority.server(()).name:
            raise UsageError("is what this machine's own zippers are known by", where=f"identity `{request.name}`")
        kept = state.ensure("certificates", "issued", request.name)
        target = kept if folder is None else _folder(folder, replace=replace)
        key = new_key()
        certificate = authority.sign(
            _subject(request), key.public_key(), _purposes(request.roles), hosts, request.lifetime
        )
        entry = _entry(request, hosts, certificate, authority)
        # What is signed but not registered could not be revoked.
        write_registry(state, registry.with_one_more(entry, authority.now))
        (kept / KEY_FILE).unlink(missing_ok=True)
        write_private(target / KEY_FILE, key_pem(key))
        _write_certificates({kept, target}, certificate, authority)
        return Issued(entry, _load(target, authority.now))


def renew(
    state: StateDirectory,
    name: str,
    *,
    lifetime: timedelta | None = None,
    folder: Path | None = None,
    now: datetime | None = None,
) -> Issued:
    """A new certificate for the key that a device has. Only the certificate has to be copied there.

    Args:
        lifetime: None: as long as the earlier one.
        folder: written to as well, beside the state directory.

    Returns:
        Files of which the key may be elsewhere.

    Raises:
        CertificateError: the name was never issued, or is revoked; the earlier certificate is lost; the disk refuses.
    """
    with _opened(state, now) as authority:
        registry = read_registry(state)
        earlier = _find(registry, name)
        if earlier.revoked is not None:
            raise CertificateError(f"`{name}` was revoked on {_day(earlier.revoked)}", hint="issue another name")
        kept = state.ensure("certificates", "issued", name)
        key = read_certificates(kept / CERTIFICATE_FILE)[0].public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise CertificateError("got a key of another kind, expected elliptic curve", where=str(kept))
        life = lifetime or earlier.expires - earlier.issued
        request = Request(name, earlier.roles, earlier.namespace, life, earlier.hosts)
        certificate = authority.sign(_subject(request), key, _purposes(request.roles), earlier.hosts, life)
        entry = _entry(request, earlier.hosts, certificate, authority)
        target = kept if folder is None else _made(folder)
        write_registry(state, registry.with_one_more(entry, authority.now))
        _write_certificates({kept, target}, certificate, authority)
        return Issued(entry, _files_in(target))


def revoke(state: StateDirectory, name: str, *, now: datetime | None = None) -> IssuedIdentity:
    """Take all rights from a name, for good. Does nothing to one that is revoked already.

    Raises:
        CertificateError: the name was never issued.
    """
    with _opened(state, now) as authority:
        registry = read_registry(state)
        _find(registry, name)
        changed = registry.with_revoked(name, authority.now)
        if changed != registry:
            write_registry(state, changed)
        return _find(changed, name)


def roles_of(certificate: x509.Certificate) -> tuple[Role, ...]:
    """The roles in a certificate that was issued here; none in others."""
    units = {str(unit.value) for unit in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)}
    return tuple(role for role in ROLES if role in units)


@contextmanager
def _opened(state: StateDirectory, now: datetime | None) -> Iterator[Authority]:
    with state.locked():
        # Whole seconds: certificates have no others.
        moment = (now or datetime.now(UTC)).replace(microsecond=0)
        yield Authority.ensure(state.ensure("certificates"), moment)


def _check(request: Request) -> None:
    check_name("identity", request.name)
    check_name("namespace", request.namespace)
    where = f"identity `{request.name}`"
    if request.name.lower().startswith(LOCAL_PREFIX):
        raise UsageError(f"names that begin with `{LOCAL_PREFIX}` are those of this machine's users", where=where)
    if not request.roles:
        raise UsageError(f"got no role, expected at least one of {', '.join(ROLES)}", where=where)
    if request.lifetime <= timedelta(0):
        raise UsageError("got a lifetime of nothing, expected more", where=where)
    if "zipper" in request.roles and not request.hosts:
        raise UsageError("a zipper needs the names and addresses it is called by", where=where, hint="use --host")
    if "zipper" not in request.roles and request.hosts:
        raise UsageError("hosts are for zippers: nobody connects to anything else", where=where)


def _refuse_taken(registry: Registry, name: str, now: datetime, *, replace: bool) -> None:
    earlier, end = registry.find(name), registry.last_end(name)
    if earlier is None or end is None:
        return
    if earlier.revoked is not None and end > now:
        # The engine knows names only: with a new certificate, the revoked one would work again.
        hint = "choose another name"
        raise CertificateError(f"`{name}` is revoked, and its certificates end on {_day(end)} only", hint=hint)
    if not replace and end > now:
        hint = f"`nearfield cert renew {name}` for the same key, or --replace for a new one"
        raise CertificateError(f"`{name}` was issued on {_day(earlier.issued)} already", hint=hint)


def _find(registry: Registry, name: str) -> IssuedIdentity:
    found = registry.find(name)
    if found is None:
        known = ", ".join(f"`{identity.name}`" for identity in registry.identities()) or "none"
        raise CertificateError(f"`{name}` was never issued; issued: {known}")
    return found


def _subject(request: Request) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, request.name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, request.namespace),
            *(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role) for role in request.roles),
        ]
    )


def _purposes(roles: Sequence[Role]) -> list[Purpose]:
    # A zipper connects to other zippers as well.
    return ["server", "client"] if "zipper" in roles else ["client"]


def _entry(
    request: Request, hosts: tuple[str, ...], certificate: x509.Certificate, authority: Authority
) -> IssuedIdentity:
    return IssuedIdentity(
        name=request.name,
        roles=request.roles,
        namespace=request.namespace,
        hosts=hosts,
        serial=f"{certificate.serial_number:x}",
        authority=authority.key_id,
        issued=authority.now,
        expires=certificate.not_valid_after_utc,
    )


def _folder(folder: Path, *, replace: bool) -> Path:
    if (folder / KEY_FILE).exists() and not replace:
        hint = "choose another folder, or use --replace"
        raise CertificateError("there is a key already", where=str(folder / KEY_FILE), hint=hint)
    return _made(folder)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CertificateError(f"cannot make the folder: {reason}", where=str(folder)) from error
    return folder


def _write_certificates(folders: Collection[Path], certificate: x509.Certificate, authority: Authority) -> None:
    for folder in folders:
        write_private(folder / CA_FILE, authority.certificate.public_bytes(Encoding.PEM))
        write_private(folder / CERTIFICATE_FILE, certificate.public_bytes(Encoding.PEM))


def _files_in(folder: Path) -> Identity:
    return Identity(folder / CA_FILE, folder / CERTIFICATE_FILE, folder / KEY_FILE)


def _load(folder: Path, now: datetime) -> Identity:
    return load_identity(*_files_in(folder).files, now=now)


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
