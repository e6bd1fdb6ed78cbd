"""Rules for `rights` and `namespaces`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import combinations
from typing import Literal, TypeAlias

from nearfield.config.findings import DataPath
from nearfield.config.quantities import format_size
from nearfield.config.rights import Tenant, functions_named, tenants_of
from nearfield.config.schema import NAME_EXPECTED, RightConfig, Workflow
from nearfield.frame.names import is_name
from nearfield.frame.rights import ALL, ANY_NAME
from nearfield.frame.tag import RESERVED_TAGS, format_tag

#: Level, place, text.
Problem: TypeAlias = tuple[Literal["error", "warning"], DataPath, str]

TagsOrAll: TypeAlias = Collection[int] | Literal["all"]

ORIGIN_EXPECTED = f"a name or the beginning of one with `*`, such as `cam-*`; names have {NAME_EXPECTED}"


def rights_problems(workflow: Workflow) -> Iterator[Problem]:
    """What is wrong or doubtful with who may do what."""
    tenants = tenants_of(workflow)
    if workflow.namespace in workflow.namespaces:
        text = f"`{workflow.namespace}` is the namespace of the workflow's own functions; choose another name"
        yield "error", ("namespaces", workflow.namespace), text
    for tenant in tenants:
        for identity, right in (tenant.rights or {}).items():
            path = (*path_of(tenant), "rights", identity)
            yield from _of_identity(right, tenant, path)
            yield from _of_size(right, workflow, path)
        yield from _who_shares_origins(tenant)
        yield from _who_runs(tenant)
    yield from _who_has_two_namespaces(tenants)


def path_of(tenant: Tenant) -> DataPath:
    """Where a namespace's `functions` and `rights` stand in the workflow."""
    return () if tenant.is_first else ("namespaces", tenant.namespace)


def _of_identity(right: RightConfig, tenant: Tenant, path: DataPath) -> Iterator[Problem]:
    if not (right.send or right.function or right.observe or right.zipper or right.ledger):
        yield "error", path, f"`{path[-1]}` may do nothing; give it a right, or leave it out"
    yield from _of_functions(right, tenant, path)
    yield from _of_origins(right, path)
    yield from _of_tags("send", right.send, path)
    yield from _of_tags("observe", right.observe, path)
    yield from _of_use("send", right.send, _received(tenant), "observed by no function and no sink", path)
    yield from _of_use("observe", right.observe, _sent(tenant), "sent by no source and emitted by no function", path)


def _of_use(key: str, tags: TagsOrAll, known: TagsOrAll, fate: str, path: DataPath) -> Iterator[Problem]:
    if isinstance(tags, str) or isinstance(known, str):
        return
    for position, tag in enumerate(tags):
        if tag not in known:
            yield "warning", (*path, key, position), f"tag {format_tag(tag)} is {fate} of this namespace"


def _of_functions(right: RightConfig, tenant: Tenant, path: DataPath) -> Iterator[Problem]:
    known = [function.name for function in tenant.functions]
    names = functions_named(right)
    for position, name in enumerate(names):
        place = (*path, "function") if isinstance(right.function, str) else (*path, "function", position)
        if name not in known:
            listed = ", ".join(f"`{each}`" for each in known) or "none"
            yield "error", place, f"namespace `{tenant.namespace}` has no function `{name}`; it has: {listed}"
        elif name in names[:position]:
            yield "error", place, f"`{name}` stands at function[{names.index(name)}] already"


def _of_origins(right: RightConfig, path: DataPath) -> Iterator[Problem]:
    for position, origin in enumerate(right.origins):
        place = (*path, "origins", position)
        if not is_origin_pattern(origin):
            yield "error", place, f"got `{origin}`, expected {ORIGIN_EXPECTED}"
        elif origin in right.origins[:position]:
            yield "error", place, f"`{origin}` stands at origins[{right.origins.index(origin)}] already"
    if right.origins and not right.send:
        yield "warning", (*path, "origins"), "has no effect without `send`"


def is_origin_pattern(text: str) -> bool:
    """Whether it is a name, the beginning of one with `*`, or `*` alone."""
    return text == ANY_NAME or is_name(text[:-1] if text.endswith("*") else text)


def _of_tags(key: str, tags: TagsOrAll, path: DataPath) -> Iterator[Problem]:
    if isinstance(tags, str):
        return
    seen: dict[int, int] = {}
    for position, tag in enumerate(tags):
        if tag in seen:
            text = f"tag {format_tag(tag)} stands at {key}[{seen[tag]}] already"
            yield "error", (*path, key, position), text
        elif key == "send" and tag in RESERVED_TAGS:
            low, high = format_tag(RESERVED_TAGS[0]), format_tag(RESERVED_TAGS[-1])
            text = f"tag {format_tag(tag)} is reserved; {low} to {high} cannot be sent"
            yield "error", (*path, key, position), text
        seen.setdefault(tag, position)


def _of_size(right: RightConfig, workflow: Workflow, path: DataPath) -> Iterator[Problem]:
    size, most = right.max_payload_bytes, workflow.limits.max_payload_bytes
    if size is None:
        return
    if size > most:
        text = f"got {format_size(size)}, expected at most `limits.max_payload`, {format_size(most)}"
        yield "error", (*path, "max_payload"), text
    elif not (right.send or right.function):
        yield "warning", (*path, "max_payload"), "has no effect without `send` or `function`"


def _who_shares_origins(tenant: Tenant) -> Iterator[Problem]:
    claims = [
        (identity, origin)
        for identity, right in (tenant.rights or {}).items()
        if right.send
        for origin in right.origins or (identity,)
    ]
    warned = set()
    for (first, one), (second, other) in combinations(claims, 2):
        if first != second and (first, second) not in warned and _overlap(one, other):
            warned.add((first, second))
            shared = max(one, other, key=lambda origin: (not origin.endswith("*"), len(origin)))
            text = f"`{first}` may send as `{shared}` too, so what comes from there may be of either"
            yield "warning", (*path_of(tenant), "rights", second), text


def _overlap(one: str, other: str) -> bool:
    """Whether some name matches both."""
    if one.endswith("*") and other.endswith("*"):
        return one[:-1].startswith(other[:-1]) or other[:-1].startswith(one[:-1])
    if one.endswith("*") or other.endswith("*"):
        pattern, name = (one, other) if one.endswith("*") else (other, one)
        return name.startswith(pattern[:-1])
    return one == other


def _who_runs(tenant: Tenant) -> Iterator[Problem]:
    if tenant.rights is None:
        return
    named = {name for right in tenant.rights.values() for name in functions_named(right)}
    for index, function in enumerate(tenant.functions):
        if function.run is None and function.name not in named:
            text = f"nobody in `rights` may be function `{function.name}`, which is not started here (`run`)"
            yield "warning", (*path_of(tenant), "functions", index), text


def _who_has_two_namespaces(tenants: Collection[Tenant]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for tenant in tenants:
        for identity, right in (tenant.rights or {}).items():
            if identity in first and not right.zipper:
                text = f"`{identity}` has rights in namespace `{first[identity]}` too, and joins what they keep apart"
                yield "warning", (*path_of(tenant), "rights", identity), text
            first.setdefault(identity, tenant.namespace)


def _received(tenant: Tenant) -> TagsOrAll:
    """Tags that somebody receives."""
    rights: Mapping[str, RightConfig] = tenant.rights or {}
    if any(not function.observe for function in tenant.functions) or any(
        right.observe == ALL for right in rights.values()
    ):
        return ALL
    by_functions = {tag for function in tenant.functions for tag in function.observe}
    return by_functions | {tag for right in rights.values() for tag in right.observe if isinstance(tag, int)}


def _sent(tenant: Tenant) -> TagsOrAll:
    """Tags that somebody sends or emits."""
    rights: Mapping[str, RightConfig] = tenant.rights or {}
    if any(not function.emit for function in tenant.functions) or any(right.send == ALL for right in rights.values()):
        return ALL
    letters = {function.delivery.dead_letter for function in tenant.functions} - {None}
    emitted = {tag for function in tenant.functions for tag in function.emit}
    by_sources = {tag for right in rights.values() for tag in right.send if isinstance(tag, int)}
    return {tag for tag in emitted | by_sources | letters if tag is not None}
