"""What differs between the workflow that runs and another one, and what that asks for. Pure, but for `version_of`."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from nearfield.config import FunctionConfig, ModelConfig, Workflow, tenants_of
from nearfield.errors import ConfigError
from nearfield.signing import PublicKey
from nearfield.supervise.command import is_program

# Fields of the workflow that a running zipper cannot take on: sessions, certificates and names depend on them.
FIXED = ("name", "host", "port", "second_port", "namespace", "peers", "certificates", "auth", "insecure", "limits")
# What the dispatcher treats anew at once, and what more or fewer processes settle.
_WITHOUT_RESTART = frozenset({"delivery", "instances"})
# Fields that mean nothing to a program of Python's.
_OF_GUESTS = frozenset({"sandbox", "entry", "models"})

Kind = Literal["unchanged", "added", "removed", "restarted", "changed"]


@dataclass(frozen=True, slots=True)
class Version:
    """A workflow, and what its files held when it was read.

    Attributes:
        digests: sha256 of the files that functions and models are made of, in hexadecimal, by path. Files that could
            not be read are left out.
        signers: of whom one must have signed what is loaded; None: it need not be signed.
    """

    workflow: Workflow
    digests: Mapping[Path, str]
    signers: frozenset[PublicKey] | None = None


@dataclass(frozen=True, slots=True)
class FunctionChange:
    """One function, before and after.

    Attributes:
        namespace: where it is.
        name: of the function; in another namespace than the workflow's own, as `namespace/function`.
        before, after: its entry; None: it has none.
        what: what differs: fields, "code", "models"; "asked for" when it was named.
        starts: instances to start.
        stops: how many of the present ones end afterwards: the latest, or all.
    """

    namespace: str
    name: str
    before: FunctionConfig | None
    after: FunctionConfig | None
    what: tuple[str, ...]
    starts: int
    stops: int

    @property
    def function(self) -> str:
        """Its name within its namespace."""
        return self.name.rpartition("/")[2]

    @property
    def kind(self) -> Kind:
        """In one word. "restarted": all its instances are others afterwards."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        if not self.what:
            return "unchanged"
        return "restarted" if set(self.what) - _WITHOUT_RESTART and self.starts else "changed"

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {"function": self.name, "change": self.kind, "what": list(self.what)}


def version_of(workflow: Workflow, signers: frozenset[PublicKey] | None = None) -> Version:
    """Read the files of a workflow, each once."""
    digests = {}
    for path in files_of(workflow):
        try:
            with path.open("rb") as file:
                digests[path] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            continue  # its worker will say why
    return Version(workflow, digests, signers)


def files_of(workflow: Workflow) -> set[Path]:
    """The files that its functions and models are made of."""
    functions = [function for tenant in tenants_of(workflow) for function in tenant.functions]
    runs = {code_of(function.run) for function in functions if function.run is not None}
    return runs.union(*map(_model_files, workflow.models.values()))


def code_of(run: Path) -> Path:
    """The file that is run: of `app.py:name`, `app.py`."""
    file, colon, _ = run.name.partition(".py:")
    return run.with_name(f"{file}.py") if colon else run


def refuse_fixed(before: Workflow, after: Workflow, where: str) -> None:
    """Refuse changes that need another start.

    Raises:
        ConfigError: which fields they are in.
    """
    changed = [name for name in FIXED if getattr(before, name) != getattr(after, name)]
    if before.namespaces.keys() != after.namespaces.keys():
        changed.append("namespaces")
    if changed:
        fields = ", ".join(f"`{name}`" for name in changed)
        raise ConfigError(f"{fields}: cannot change while the zipper runs", where=where, hint="start `serve` again")


def compare(before: Version, after: Version, named: Collection[str] = ()) -> list[FunctionChange]:
    """Every function of both, in the order of the new workflow, those that are gone at the end.

    Args:
        named: these start anew though nothing differs.
    """
    old, new = functions_of(before.workflow), functions_of(after.workflow)
    return [
        *(
            _added(name, each) if name not in old else _kept(name, old[name].entry, each, before, after, named)
            for name, each in new.items()
        ),
        *(
            FunctionChange(each.namespace, name, each.entry, None, (), 0, _started_by_us(each.entry))
            for name, each in old.items()
            if name not in new
        ),
    ]


class Placed(NamedTuple):
    """A function, and the namespace that it is in."""

    namespace: str
    entry: FunctionConfig


def name_of(workflow: Workflow, namespace: str, function: str) -> str:
    """What a function is called among all: in another namespace than the workflow's own, `namespace/function`."""
    return function if namespace == workflow.namespace else f"{namespace}/{function}"


def functions_of(workflow: Workflow) -> dict[str, Placed]:
    """All functions, by `name_of`."""
    return {
        name_of(workflow, tenant.namespace, function.name): Placed(tenant.namespace, function)
        for tenant in tenants_of(workflow)
        for function in tenant.functions
    }


def _added(name: str, placed: Placed) -> FunctionChange:
    return FunctionChange(placed.namespace, name, None, placed.entry, (), _started_by_us(placed.entry), 0)


def _kept(
    name: str, old: FunctionConfig, placed: Placed, before: Version, after: Version, named: Collection[str]
) -> FunctionChange:
    namespace, new = placed
    what = tuple(_differences(old, new, before, after))
    if name in named:
        what = (*what, "asked for")
    has, wants = _started_by_us(old), _started_by_us(new)
    if set(what) - _WITHOUT_RESTART:
        return FunctionChange(namespace, name, old, new, what, wants, has)
    return FunctionChange(namespace, name, old, new, what, max(0, wants - has), max(0, has - wants))


def _differences(old: FunctionConfig, new: FunctionConfig, before: Version, after: Version) -> Iterator[str]:
    is_guest = new.run is not None and not is_program(new.run)
    for field in FunctionConfig.__struct_fields__:
        if (is_guest or field not in _OF_GUESTS) and field != "models" and getattr(old, field) != getattr(new, field):
            yield field
    if old.run is None or new.run is None:
        return
    if before.digests.get(code_of(old.run)) != after.digests.get(code_of(new.run)):
        yield "code"
    if is_guest and _models(old, before) != _models(new, after):
        yield "models"
    if before.signers != after.signers:
        yield "signers"


def _models(function: FunctionConfig, version: Version) -> list[tuple[str, ModelConfig, list[str | None]]]:
    """Those that a function may use, in order, since the first is the default one; with what is in their files."""
    models = version.workflow.models
    names = models if function.models is None else function.models
    return [
        (name, models[name], [version.digests.get(path) for path in sorted(_model_files(models[name]))])
        for name in names
    ]


def _model_files(model: ModelConfig) -> set[Path]:
    # OpenVINO's weights lie beside the XML.
    weights = {model.path.with_suffix(".bin")} if model.path.suffix == ".xml" else set()
    return {model.path, *weights, *([] if model.labels is None else [model.labels])}


def _started_by_us(function: FunctionConfig) -> int:
    """Instances that the zipper starts."""
    return 0 if function.run is None else function.instances
