"""Whom a zipper lets in and what they may do: from its workflow, and from what this user's authority has issued."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from nearfield.config import Workflow
from nearfield.config.rights import IssuedIdentity, rights_of
from nearfield.frame import name_from
from nearfield.frame.rights import ANY_NAME, Right, every_right
from nearfield.transport import (
    Access,
    Identity,
    OpenAccess,
    StateDirectory,
    Token,
    TokenAccess,
    ensure_local_identity,
    ensure_local_token,
    ensure_server_certificate,
    issued_identities,
    load_identity,
    local_token_path,
    registry_version,
    revoked,
)


@dataclass(frozen=True, slots=True)
class Admission:
    """What a zipper is known by, and whom it lets in. Certificates and tokens stay the same while it runs.

    Attributes:
        identity: of the zipper, with whom it lets in.
        client: what it shows to other zippers.
        configured: the certificates that the workflow names; None: those of this user's authority.
        token_file: where workers find their token; None: they need none.
        own: names of this user's own commands and workers, which may do everything.
        peer_names: common names of certificates that other zippers of this user on this machine show.
        issued_here: whether certificates are those that this user's authority issues.
    """

    identity: Identity
    client: Identity
    configured: Identity | None
    token_file: Path | None
    own: Collection[str]
    peer_names: tuple[str, ...]
    issued_here: bool
    state: StateDirectory

    def rights(self, workflow: Workflow) -> list[Right] | None:
        """Who may do what at this moment; None: everyone who is let in may do everything.

        Raises:
            CertificateError: the registry of issued identities cannot be read.
        """
        access = self.identity.access
        if isinstance(access, OpenAccess):
            return None
        if isinstance(access, TokenAccess):
            return self._rights_of_tokens(workflow, access)
        if not self.issued_here:
            says_who = workflow.rights is not None or workflow.namespaces
            return rights_of(workflow, (), self.own) if says_who else None
        identities = issued_identities(self.state)
        issued = [IssuedIdentity(each.name, each.roles, each.namespace) for each in identities]
        return rights_of(workflow, issued, self.own, revoked=revoked(identities))

    def _rights_of_tokens(self, workflow: Workflow, access: TokenAccess) -> list[Right]:
        rights = rights_of(workflow, (), self.own)
        if workflow.rights is None:  # as in the original: who has a token may do everything
            tenants = {right.identity for right in rights}  # but not at the other tenants' side
            names = [token.name for token in access.tokens if token.name not in tenants]
            rights += [every_right(workflow.namespace, name) for name in names]
            if not workflow.namespaces:
                # Zippers that we go to show no token, and their certificates may have any name.
                rights.append(Right(workflow.namespace, ANY_NAME, is_zipper=True))
        return rights

    def version(self) -> object:
        """Differs after each change of what was issued and revoked. Costs one look at one file."""
        return registry_version(self.state) if self.issued_here else None


def admission_of(workflow: Workflow, state: StateDirectory, host: str) -> Admission:
    """Read or make the certificates and tokens that a zipper needs.

    Args:
        host: where it listens.

    Raises:
        CertificateError: a file cannot be used.
    """
    configured = configured_identity(workflow)
    local = ensure_local_identity(state)
    identity = configured or ensure_server_certificate(state, [host])
    access = access_of(workflow, state)
    issued_here = configured is None or _is_same_file(configured.ca_pem_path, local.ca_pem_path)
    own = {*([configured.name] if configured else []), *([local.name] if issued_here else [])}
    if isinstance(access, TokenAccess):
        own = {ensure_local_token(state).name}
    return Admission(
        identity=replace(identity, access=access),
        client=configured or local,
        configured=configured,
        token_file=local_token_path(state) if isinstance(access, TokenAccess) else None,
        own=sorted(own),
        peer_names=(identity.name,),
        issued_here=issued_here,
        state=state,
    )


def configured_identity(workflow: Workflow) -> Identity | None:
    """The certificates that a workflow names.

    Raises:
        CertificateError: they cannot be used.
    """
    files = workflow.certificates
    if files is None:
        return None
    # The workers that we start present the same certificate, as clients; and so do we to other zippers.
    is_client = bool(workflow.peers) or any(function.run is not None for function in workflow.functions)
    return load_identity(
        files.ca, files.certificate, files.key, purposes=["server", "client"] if is_client else ["server"]
    )


def access_of(workflow: Workflow, state: StateDirectory) -> Access | None:
    """Whom the zipper lets in; None: those with a certificate.

    Where tokens are asked for, this user's own commands have one that is made for them. To other zippers the node shows
    the token that has its own name, else that one too, which zippers of the same user on the same machine know.

    Raises:
        CertificateError: see `ensure_local_token`.
    """
    if workflow.insecure:
        return OpenAccess()
    if workflow.auth.type != "token":
        return None
    local = ensure_local_token(state)
    given = {name: Token(name, secret) for name, secret in workflow.auth.by_name().items()}
    return TokenAccess((local, *given.values()), own=given.get(name_from(workflow.name), local))


def _is_same_file(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):
        return one.read_bytes() == other.read_bytes()
    return False
