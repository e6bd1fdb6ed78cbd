"""What the authority issued by name, and what was revoked: one JSON file, and decisions about it that are pure.

A zipper's engine knows names only: it cannot tell two certificates of one name apart. So it is the name that is
revoked, and it stays so until the last certificate of that name has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import msgspec
from msgspec import Struct

from nearfield.errors import CertificateError
from nearfield.frame.rights import Role
from nearfield.transport.state_directory import StateDirectory, write_private

ROLES: tuple[Role, ...] = get_args(Role)

Standing: TypeAlias = Literal["valid", "ends soon", "expired", "revoked", "superseded"]
"""`superseded`: signed by an authority that was replaced since, so no zipper accepts it."""

Version: TypeAlias = tuple[int, int, int]

_FORMAT = 1
# Of a certificate's life: with the 30 days of most, in the last ten.
_SOON = 1 / 3


class IssuedIdentity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One certificate that was issued.

    Attributes:
        name: its common name, to which rights are given.
        roles: at least one.
        namespace: in which its roles give it rights, where a workflow says nothing else.
        hosts: names and addresses that a zipper with it is called by.
        serial: of the certificate, hexadecimal.
        authority: identifier of the key that signed it, hexadecimal.
        issued, expires, revoked: with a time zone.
    """

    name: str
    roles: tuple[Role, ...]
    namespace: str
    hosts: tuple[str, ...] = ()
    serial: str
    authority: str
    issued: datetime
    expires: datetime
    revoked: datetime | None = None


class _Index(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int = _FORMAT
    certificates: tuple[IssuedIdentity, ...] = ()


@dataclass(frozen=True, slots=True)
class Registry:
    """All certificates that matter still, in the order in which they were issued; several of one name, if renewed."""

    certificates: tuple[IssuedIdentity, ...] = ()

    def identities(self) -> list[IssuedIdentity]:
        """The latest certificate of each name, by name."""
        latest = {certificate.name: certificate for certificate in self.certificates}
        return [latest[name] for name in sorted(latest)]

    def find(self, name: str) -> IssuedIdentity | None:
        """The latest certificate of a name."""
        return next((certificate for certificate in reversed(self.certificates) if certificate.name == name), None)

    def last_end(self, name: str) -> datetime | None:
        """When the last of all certificates of a name ends; None: there is none."""
        return max((each.expires for each in self.certificates if each.name == name), default=None)

    def with_one_more(self, issued: IssuedIdentity, now: datetime) -> Registry:
        """Add a certificate, and forget earlier ones that have ended."""
        kept = [each for each in self.certificates if each.expires > now or each.name != issued.name]
        return Registry((*kept, issued))

    def with_revoked(self, name: str, now: datetime) -> Registry:
        """Revoke all certificates of a name that are not revoked yet."""
        return Registry(
            tuple(
                msgspec.structs.replace(each, revoked=now) if each.name == name and each.revoked is None else each
                for each in self.certificates
            )
        )


def standing(identity: IssuedIdentity, now: datetime, authority: str | None = None) -> Standing:
    """How an identity stands.

    Args:
        authority: identifier of the present authority's key; None: not compared.
    """
    if identity.revoked is not None:
        return "revoked"
    if now >= identity.expires:
        return "expired"
    if authority is not None and identity.authority != authority:
        return "superseded"
    left, life = identity.expires - now, identity.expires - identity.issued
    return "ends soon" if left < max(timedelta(days=1), life * _SOON) else "valid"


def revoked(identities: Iterable[IssuedIdentity]) -> frozenset[str]:
    """The names that may do nothing any more."""
    return frozenset(identity.name for identity in identities if identity.revoked is not None)


def registry_path(state: StateDirectory) -> Path:
    return state.path / "certificates" / "issued.json"


def read_registry(state: StateDirectory) -> Registry:
    """The registry at this moment; empty when nothing was issued. Needs no lock.

    Raises:
        CertificateError: unreadable, or not a registry.
    """
    path = registry_path(state)
    try:
        index = msgspec.json.decode(path.read_bytes(), type=_Index)
    except FileNotFoundError:
        return Registry()
    except OSError as error:
        raise CertificateError(f"cannot read: {(error.strerror or str(error)).lower()}", where=str(path)) from error
    except msgspec.MsgspecError as error:
        raise CertificateError(f"is no registry of certificates: {error}", where=str(path)) from error
    if index.version != _FORMAT:
        raise CertificateError(f"version: got {index.version}, expected {_FORMAT}", where=str(path))
    return Registry(index.certificates)


def write_registry(state: StateDirectory, registry: Registry) -> None:
    """Replace the registry, with the state directory locked.

    Raises:
        CertificateError: the disk refuses.
    """
    state.ensure("certificates")
    index = _Index(certificates=registry.certificates)
    write_private(registry_path(state), msgspec.json.format(msgspec.json.encode(index), indent=2))


def issued_identities(state: StateDirectory) -> Sequence[IssuedIdentity]:
    """The latest certificate of each name that was issued, revoked and expired ones included, by name.

    Raises:
        CertificateError: see `read_registry`.
    """
    return read_registry(state).identities()


def registry_version(state: StateDirectory) -> Version | None:
    """Something that differs after each change of the registry; None: there is none. Costs one look at one file."""
    try:
        status = registry_path(state).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
