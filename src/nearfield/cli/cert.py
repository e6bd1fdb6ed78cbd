"""`nearfield cert`: identities for devices and for other developers, from this user's authority."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from nearfield.cli import options
from nearfield.cli.output import say, say_json, terminal
from nearfield.errors import UsageError
from nearfield.transport import (
    ROLES,
    Identity,
    IssuedIdentity,
    Request,
    Role,
    Standing,
    StateDirectory,
    ensure_authority,
    issued_identities,
    renew,
    revoke,
    standing,
)
from nearfield.transport import issue as issue_identity

MAX_DAYS = 3650

Name = Annotated[str, typer.Argument(metavar="NAME", help="The identity: letters, digits, `-`, `_`, `.`.")]
Roles = Annotated[
    list[str], typer.Option("--role", "-r", metavar="|".join(ROLES), help="What it is for; repeat for more.")
]
Namespace = Annotated[str, typer.Option(metavar="NAME", help="Where its role gives it rights.")]
Days = Annotated[int, typer.Option(metavar="N", min=1, max=MAX_DAYS, help="How long it is valid.")]
RenewedDays = Annotated[
    int | None, typer.Option("--days", metavar="N", min=1, max=MAX_DAYS, help="How long; default: as before.")
]
Hosts = Annotated[
    list[str] | None,
    typer.Option("--host", metavar="HOST", help="Name or address that a zipper is called by; repeat for more."),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for the files.")]
Replace = Annotated[bool, typer.Option("--replace", help="Although the name was issued: a new key and certificate.")]

cert = typer.Typer(
    name="cert",
    help="Issue, renew and revoke identities for other devices, signed by this user's authority.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@cert.command()
def init(json: options.Json = False) -> None:
    """Make the authority, unless there is one, and say where it is. Other commands do this by themselves."""
    authority = ensure_authority(StateDirectory.from_environment())
    if json:
        path, expires = str(authority.certificate_path), authority.expires.isoformat()
        say_json({"event": "authority", "ca": path, "key_id": authority.key_id, "expires": expires})
        return
    say(f"authority {authority.key_id[:16]}, valid until {_day(authority.expires)}: {authority.certificate_path}")
    say("next: nearfield cert issue NAME --role source")


@cert.command()
def issue(
    name: Name,
    role: Roles,
    namespace: Namespace = "default",
    days: Days = 30,
    host: Hosts = None,
    out: Out = None,
    replace: Replace = False,
    json: options.Json = False,
) -> None:
    """Issue an identity: a folder with ca.pem, certificate.pem and key.pem, to be copied to a device."""
    request = Request(name, _roles(role), namespace, timedelta(days=days), tuple(host or ()))
    folder = None if out is None else out.absolute()
    issued = issue_identity(StateDirectory.from_environment(), request, folder=folder, replace=replace)
    _show(issued.entry, issued.identity, "issued", json=json)
    if not json:
        say("the folder is a secret: whoever has it is this identity")
        for line in _next_steps(issued.entry, issued.identity):
            say(line)


@cert.command("list")
def list_(json: options.Json = False) -> None:
    """Show what was issued, until when it is valid, and what was revoked."""
    state, now = StateDirectory.from_environment(), datetime.now(UTC)
    identities = issued_identities(state)
    authority = ensure_authority(state).key_id
    rows = [(identity, standing(identity, now, authority)) for identity in identities]
    if json:
        for identity, state_of in rows:
            say_json({**_as_json(identity), "standing": state_of})
    elif rows:
        terminal().print(_table(rows, now))
    else:
        say("nothing was issued yet; next: nearfield cert issue NAME --role source")


@cert.command("revoke")
def revoke_(name: Name, json: options.Json = False) -> None:
    """Take all rights from an identity, for good."""
    entry = revoke(StateDirectory.from_environment(), name)
    if json:
        say_json({"event": "revoked", **_as_json(entry)})
        return
    assert entry.revoked is not None
    say(f"`{name}` is revoked since {_day(entry.revoked)}, and cannot be issued again before {_day(entry.expires)}")


@cert.command("renew")
def renew_(name: Name, days: RenewedDays = None, out: Out = None, json: options.Json = False) -> None:
    """Issue a new certificate for the key that a device has; nothing secret has to travel."""
    lifetime = None if days is None else timedelta(days=days)
    folder = None if out is None else out.absolute()
    issued = renew(StateDirectory.from_environment(), name, lifetime=lifetime, folder=folder)
    _show(issued.entry, issued.identity, "renewed", json=json)
    if not json:
        files = f"{_quoted(issued.identity.certificate_path)} {_quoted(issued.identity.ca_pem_path)}"
        say(f"next: copy {files} to the device, over the old ones")


def _roles(given: list[str]) -> tuple[Role, ...]:
    texts = [part for text in given for part in text.split(",")]
    for text in texts:
        if text not in ROLES:
            raise UsageError(f"got `{text}`, expected {', '.join(ROLES[:-1])} or {ROLES[-1]}", where="--role")
    return tuple(role for role in ROLES if role in texts)


def _show(entry: IssuedIdentity, identity: Identity, event: str, *, json: bool) -> None:
    if json:
        names = ("ca", "certificate", "key")
        files = {name: str(path) for name, path in zip(names, identity.files, strict=True) if path.exists()}
        say_json({"event": event, **_as_json(entry), **files})
        return
    roles = ", ".join(entry.roles)
    say(f"{event} `{entry.name}` ({roles}; namespace `{entry.namespace}`), valid until {_day(entry.expires)}")
    say(f"  {identity.certificate_path.parent}")


def _next_steps(entry: IssuedIdentity, identity: Identity) -> list[str]:
    """What a person does next, as lines to copy."""
    ca, certificate, key = identity.files
    if "zipper" in entry.roles:
        return [
            "next, in that zipper's workflow:",
            f"certificates: {{ca: {ca}, certificate: {certificate}, key: {key}}}",
        ]
    namespace = "" if entry.namespace == "default" else f" --namespace {entry.namespace}"
    files = f"--ca {_quoted(ca)} --certificate {_quoted(certificate)} --key {_quoted(key)}"
    command = f"nearfield {_command(entry)}{namespace} --zipper HOST:9900 {files}"
    return ["next, with the folder's place on the device:", command]


def _command(entry: IssuedIdentity) -> str:
    if "source" in entry.roles:
        return f"send VIDEO --tag 0x10 --name {entry.name}"
    return "run APP.py" if "function" in entry.roles else "watch"


def _table(rows: list[tuple[IssuedIdentity, Standing]], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "roles", "namespace", "ends", "days left", "standing"):
        table.add_column(heading, justify="right" if heading == "days left" else "left", no_wrap=True)
    for identity, state_of in rows:
        left = max(0, (identity.expires - now).days)
        colour = {"valid": "green", "ends soon": "yellow"}.get(state_of, "red")
        roles = ", ".join(identity.roles)
        ends = f"{identity.expires:%Y-%m-%d}"
        table.add_row(identity.name, roles, identity.namespace, ends, str(left), Text(state_of, style=colour))
    return table


def _as_json(entry: IssuedIdentity) -> dict[str, Any]:
    return {
        "name": entry.name,
        "roles": entry.roles,
        "namespace": entry.namespace,
        "hosts": entry.hosts,
        "serial": entry.serial,
        "issued": entry.issued.isoformat(),
        "expires": entry.expires.isoformat(),
        "revoked": None if entry.revoked is None else entry.revoked.isoformat(),
    }


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
