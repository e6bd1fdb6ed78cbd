"""Who may do what, from the workflow and from what was issued. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from nearfield.config.schema import FunctionConfig, RightConfig, Workflow
from nearfield.frame.rights import ALL, FunctionRight, Right, Role, Tags, every_right


class IssuedIdentity(NamedTuple):
    """A certificate or a token that is good at this moment.

    Attributes:
        name: the common name, or the one that belongs to the token.
        roles: for what it was issued.
        namespace: for which.
    """

    name: str
    roles: Collection[Role]
    namespace: str = "default"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A namespace of the zipper, as the workflow describes it.

    Attributes:
        rights: by identity; None: what the roles say.
        is_first: whether it is described by the workflow's own `functions` and `rights`.
    """

    namespace: str
    functions: tuple[FunctionConfig, ...]
    rights: Mapping[str, RightConfig] | None
    is_first: bool


def tenants_of(workflow: Workflow) -> list[Tenant]:
    """Every namespace, the workflow's own one first."""
    first = Tenant(workflow.namespace, workflow.functions, workflow.rights, is_first=True)
    others = workflow.namespaces.items()
    return [first, *(Tenant(name, other.functions, other.rights, is_first=False) for name, other in others)]


def rights_of(
    workflow: Workflow, issued: Iterable[IssuedIdentity], local: Iterable[str] = (), *, revoked: Collection[str] = ()
) -> list[Right]:
    """All rights at the workflow's zipper; who is not in the list has none.

    Args:
        issued: identities that the local authority knows. Where the workflow says who has rights, they add none.
        local: identities of the user that the zipper runs for: they may do everything.
        revoked: names that have no right any more, whatever the workflow says.

    Returns:
        By namespace, in the order of the workflow; each identity once in a namespace.
    """
    known, own = list(issued), list(dict.fromkeys(local))
    found = [right for tenant in tenants_of(workflow) for right in _rights_in(tenant, known, own)]
    return [right for right in found if right.identity not in revoked]


def _rights_in(tenant: Tenant, issued: Iterable[IssuedIdentity], local: Collection[str]) -> Iterator[Right]:
    for identity in local:
        yield every_right(tenant.namespace, identity)
    if tenant.rights is not None:
        for identity, right in tenant.rights.items():
            if identity not in local:
                yield right_of(tenant, identity, right)
        return
    for each in issued:
        if each.namespace == tenant.namespace and each.name not in local:
            yield right_by_role(tenant, each.name, each.roles)


def right_of(tenant: Tenant, identity: str, right: RightConfig) -> Right:
    """What the workflow gives an identity."""
    names = functions_named(right)
    return Right(
        namespace=tenant.namespace,
        identity=identity,
        send=_tags(right.send),
        origins=(right.origins or (identity,)) if right.send else (),
        functions=tuple(function_right(each) for each in tenant.functions if each.name in names),
        observe=_tags(right.observe),
        is_zipper=right.zipper,
        reads_ledger=right.ledger,
        max_payload_bytes=right.max_payload_bytes,
    )


def right_by_role(tenant: Tenant, identity: str, roles: Collection[Role]) -> Right:
    """What the role gives with which an identity was issued."""
    return Right(
        namespace=tenant.namespace,
        identity=identity,
        send=ALL if "source" in roles else frozenset(),
        origins=(identity,) if "source" in roles else (),
        functions=tuple(map(function_right, tenant.functions)) if "function" in roles else (),
        observe=ALL if "sink" in roles else frozenset(),
        is_zipper="zipper" in roles,
    )


def functions_named(right: RightConfig) -> tuple[str, ...]:
    """Functions of which the workflow lets an identity be an instance."""
    return (right.function,) if isinstance(right.function, str) else right.function


def function_right(function: FunctionConfig) -> FunctionRight:
    """What instances of a function see and make; without tags in the workflow, what they say themselves."""
    return FunctionRight(function.name, _any_if_empty(function.observe), _any_if_empty(function.emit))


def _any_if_empty(tags: tuple[int, ...]) -> Tags:
    return frozenset(tags) if tags else ALL


def _tags(tags: tuple[int, ...] | Literal["all"]) -> Tags:
    return ALL if isinstance(tags, str) else frozenset(tags)
