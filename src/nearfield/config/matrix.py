"""Who may do what, as rows for people and programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nearfield.config.rights import Tenant, right_by_role, right_of, tenants_of
from nearfield.config.schema import Workflow
from nearfield.frame.rights import Right, Role, Tags, every_right, union_of

#: Stand for identities that a workflow does not name.
THIS_USER = "(this user)"
ANYBODY = "(anybody)"
ANY_TOKEN = "(any token)"
BY_ROLE: dict[Role, str] = {
    "source": "(any source)",
    "function": "(any function)",
    "sink": "(any sink)",
    "zipper": "(any zipper)",
}


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """What one identity may do in one namespace.

    Attributes:
        identity: a name, `THIS_USER`, `ANYBODY`, `ANY_TOKEN` (but for those whom another namespace's rights name), or
            one of `BY_ROLE`, where the role decides with which it was issued.
        sends: tags, as a source.
        origins: names under which it sends, or their beginnings.
        runs: functions of which it may be an instance; `*`: any.
        observes: tags of frames that it sees, as a sink or handed to an instance of these functions.
        emits: tags, as an instance.
        zipper: whether it may be another zipper of the mesh.
        ledger: whether it may ask for the ledger.
        max_payload_bytes: None: as everyone.
    """

    namespace: str
    identity: str
    sends: Tags
    origins: tuple[str, ...]
    runs: tuple[str, ...]
    observes: Tags
    emits: Tags
    zipper: bool
    ledger: bool
    max_payload_bytes: int | None


def matrix_of(workflow: Workflow) -> list[MatrixRow]:
    """The rows of each namespace, in the order of the workflow."""
    return [row_of(right) for tenant in tenants_of(workflow) for right in _rights_in(tenant, workflow)]


def row_of(right: Right) -> MatrixRow:
    """One row."""
    return MatrixRow(
        namespace=right.namespace,
        identity=right.identity,
        sends=right.send,
        origins=right.origins,
        runs=tuple(function.name for function in right.functions),
        observes=union_of([right.observe, *(function.observe for function in right.functions)]),
        emits=union_of(function.emit for function in right.functions),
        zipper=right.is_zipper,
        ledger=right.reads_ledger,
        max_payload_bytes=right.max_payload_bytes,
    )


def _rights_in(tenant: Tenant, workflow: Workflow) -> Iterator[Right]:
    yield every_right(tenant.namespace, THIS_USER)
    if workflow.insecure:
        yield every_right(tenant.namespace, ANYBODY)
    elif tenant.rights is None and workflow.auth.type == "token":
        if tenant.is_first:
            yield every_right(tenant.namespace, ANY_TOKEN)
    elif tenant.rights is None:
        for role, name in BY_ROLE.items():
            yield right_by_role(tenant, name, [role])
    else:
        for identity, config in tenant.rights.items():
            yield right_of(tenant, identity, config)
