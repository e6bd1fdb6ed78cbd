"""Who is let in: real sessions over QUIC, and the commands that make and use identities and tokens."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nearfield import Source, dial
from nearfield.errors import CertificateError, NearfieldError, RefusedError
from nearfield.transport import (
    Access,
    Address,
    Credentials,
    Identity,
    OpenAccess,
    Opening,
    Request,
    Session,
    StateDirectory,
    Token,
    TokenAccess,
    Uncertified,
    ensure_local_identity,
    ensure_server_certificate,
    issue,
    open_client,
    open_router,
)
from nearfield.transport.diagnosis import diagnose_endpoint
from tests.processes import UPPERCASE, Commands, Node, free_port, nearfield

NOW = datetime.now(UTC)
CAMERA = Token("cam-1", "the-token-of-camera-one")
OTHER = Token("cam-2", "the-token-of-camera-two")
# Generous; without an answer an attempt takes 1.5 s, and all of them together 5 s.
AT_ONCE_S = 4.0


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "authority")


@contextmanager
def router(state: StateDirectory, access: Access | None = None) -> Iterator[tuple[Address, Session]]:
    """A zipper's session on 127.0.0.1."""
    address = Address("127.0.0.1", free_port())
    identity = replace(ensure_server_certificate(state), access=access)
    with open_router(Opening("line-1", [address], identity)) as session:
        yield address, session


def opened(address: Address, credentials: Credentials) -> Session:
    return open_client([address], credentials, explain=lambda target: diagnose_endpoint(target, credentials))


def refusal(address: Address, credentials: Credentials) -> NearfieldError:
    """Why a client is not let in, told at once."""
    began = time.monotonic()
    with pytest.raises(NearfieldError) as caught:
        opened(address, credentials)
    assert time.monotonic() - began < AT_ONCE_S
    assert str(caught.value).startswith(f"{address}: ")
    return caught.value


def issued(state: StateDirectory, name: str = "cam-1", *, now: datetime = NOW) -> Identity:
    return issue(state, Request(name, ("source",)), now=now).identity


# ---- certificates ----


def test_issued_certificate_is_let_in_under_its_name(state: StateDirectory) -> None:
    identity = issued(state)
    with router(state) as (address, session), opened(address, identity) as client:
        assert len(client.router_ids()) == 1
        links = session._session.info.links()
        assert [link.auth_identifier for link in links] == [identity.name] == ["cam-1"]


def test_certificate_of_a_foreign_authority_is_refused(state: StateDirectory, tmp_path: Path) -> None:
    foreign = issued(StateDirectory(tmp_path / "foreign"))
    mixed = replace(foreign, ca_pem_path=ensure_local_identity(state).ca_pem_path)
    with router(state) as (address, _):
        assert "its certificate is signed by an authority" in str(refusal(address, foreign))
        error = refusal(address, mixed)
    assert isinstance(error, CertificateError)
    assert "refused our certificate: it does not know the authority that signed it" in str(error)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (NOW - timedelta(days=40), "refused our certificate: it holds it for expired"),
        # OpenSSL's alert for "not yet valid" is that for expired, too.
        (NOW + timedelta(days=2), "refused our certificate: it holds it for "),
    ],
    ids=["expired", "not yet valid"],
)
def test_certificate_out_of_its_time_is_refused(state: StateDirectory, made: datetime, message: str) -> None:
    ensure_local_identity(state, now=NOW - timedelta(days=50))  # the authority must be older than what it signs
    identity = issued(state, now=made)
    with router(state) as (address, _):
        error = refusal(address, identity)
    assert isinstance(error, CertificateError)
    assert message in str(error)


def test_client_with_nothing_or_only_a_token_is_refused_where_certificates_are_asked_for(
    state: StateDirectory,
) -> None:
    ca = ensure_local_identity(state).ca_pem_path
    with router(state) as (address, _):
        for credentials in (Uncertified(ca), Uncertified(ca, CAMERA)):
            error = refusal(address, credentials)
            assert isinstance(error, CertificateError)
            assert str(error) == (
                f"{address}: it asks for a certificate, and we have none; use --ca, --certificate and --key"
            )


def test_certificate_comes_before_a_token(state: StateDirectory) -> None:
    identity = replace(issued(state), token=CAMERA)
    with router(state) as (address, _), opened(address, identity) as client:
        assert len(client.router_ids()) == 1


# ---- tokens ----


def test_token_lets_in_with_and_without_a_certificate(state: StateDirectory) -> None:
    ca = ensure_local_identity(state).ca_pem_path
    with router(state, TokenAccess((CAMERA, OTHER), own=CAMERA)) as (address, _):
        for credentials in (Uncertified(ca, CAMERA), Uncertified(ca, OTHER), replace(issued(state), token=OTHER)):
            with opened(address, credentials) as client:
                assert len(client.router_ids()) == 1


def test_wrong_token_is_refused_at_once_and_said_to_be_the_reason(state: StateDirectory) -> None:
    ca = ensure_local_identity(state).ca_pem_path
    with router(state, TokenAccess((CAMERA,), own=CAMERA)) as (address, _):
        for wrong in (OTHER, Token("cam-1", OTHER.secret), Token("cam-2", CAMERA.secret)):
            error = refusal(address, Uncertified(ca, wrong))
            assert isinstance(error, RefusedError)
            assert str(error) == (
                f"{address}: refused our token: it has none of name `{wrong.name}`, or another one; "
                "does its workflow say `auth: {type: token}`?"
            )


def test_client_without_a_token_is_told_that_it_needs_one(state: StateDirectory) -> None:
    identity = issued(state)
    with router(state, TokenAccess((CAMERA,), own=CAMERA)) as (address, _):
        for credentials in (identity, Uncertified(identity.ca_pem_path)):
            error = refusal(address, credentials)
            assert isinstance(error, RefusedError)
            assert str(error) == (
                f"{address}: it asks for a token, and we have none; set NEARFIELD_TOKEN=NAME:TOKEN, or use --token-file"
            )


def test_server_is_checked_before_it_gets_a_token(state: StateDirectory, tmp_path: Path) -> None:
    ca = ensure_local_identity(StateDirectory(tmp_path / "foreign")).ca_pem_path
    with router(state, TokenAccess((CAMERA,), own=CAMERA)) as (address, _):
        error = refusal(address, Uncertified(ca, CAMERA))
    assert isinstance(error, CertificateError)
    assert "its certificate is signed by an authority" in str(error)


def test_zippers_with_the_same_tokens_form_a_mesh(state: StateDirectory, eventually: Callable[..., None]) -> None:
    access = TokenAccess((CAMERA, OTHER), own=OTHER)
    with router(state, access) as (address, session):
        identity = replace(ensure_server_certificate(state), access=access)
        with open_router(Opening("line-2", [Address("127.0.0.1", free_port())], identity, [address])) as other:
            eventually(lambda: len(session.router_ids()) == len(other.router_ids()) == 1, "connected")


# ---- insecure ----


def test_insecure_zipper_lets_in_whoever_comes_over_tls(state: StateDirectory) -> None:
    identity = issued(state)
    with router(state, OpenAccess()) as (address, _):
        for credentials in (identity, Uncertified(identity.ca_pem_path)):
            with opened(address, credentials) as client:
                assert len(client.router_ids()) == 1


# ---- commands ----


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For files of the test, beside the state directory."""
    made = tmp_path / "files"
    made.mkdir()
    return made


def lines(*arguments: str | Path) -> list[dict[str, object]]:
    """A `cert` command that succeeds: what it says, as JSON."""
    done = nearfield("cert", *arguments, "--json")
    assert done.status == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_identity_is_issued_used_renewed_and_revoked_by_commands(commands: Commands, folder: Path) -> None:
    node = commands.node([])
    (authority,) = lines("init")
    assert str(authority["ca"]).endswith("certificates/ca.pem")
    (made,) = lines("issue", "door-cam", "--role", "source,sink", "--days", "3", "--out", folder)
    assert (made["name"], made["roles"], made["namespace"]) == ("door-cam", ["source", "sink"], "default")
    files = [f"--{kind}={made[kind]}" for kind in ("ca", "certificate", "key")]
    with Source("door-cam", node.address, tag=0x10, mode="complete") as source:
        watch = node.watch("--tag", "0x10", "--count", "1", *files)
        source.send(b"hello")
        assert watch.finish() == 0
    refused = nearfield("cert", "issue", "door-cam", "--role", "source")
    assert refused.status == 2
    assert refused.error.startswith("`door-cam` was issued on ")
    (renewed,) = lines("renew", "door-cam", "--out", folder)
    assert renewed["serial"] != made["serial"]
    assert node.watch("--timeout", "0.1", *files).finish() == 0
    (revoked,) = lines("revoke", "door-cam")
    assert revoked["revoked"] is not None
    (listed,) = [line for line in lines("list") if line["name"] == "door-cam"]
    assert listed["standing"] == "revoked"


def test_people_are_told_what_to_do_next_and_see_no_key(folder: Path) -> None:
    out = folder / "with a space"
    done = nearfield("cert", "issue", "gate-cam", "--role", "source", "--out", out)
    assert done.status == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        "nearfield send VIDEO --tag 0x10 --name gate-cam --zipper HOST:9900 "
        f"--ca '{out}/ca.pem' --certificate '{out}/certificate.pem' --key '{out}/key.pem'"
    )
    zipper = nearfield("cert", "issue", "site-b", "--role", "zipper", "--host", "site-b.example")
    assert "next, in that zipper's workflow:\ncertificates: {ca: " in zipper.stdout
    renewed = nearfield("cert", "renew", "gate-cam")
    assert "next: copy " in renewed.stdout
    listed = nearfield("cert", "list")
    assert re.search(r"^gate-cam +source +default +\d{4}-\d\d-\d\d +29 +valid *$", listed.stdout, re.MULTILINE)
    revoked = nearfield("cert", "revoke", "gate-cam")
    assert revoked.stdout.startswith("`gate-cam` is revoked since ")
    key = (out / "key.pem").read_text().splitlines()[1]
    for said in (done, zipper, renewed, listed, revoked):
        assert key not in said.stdout + said.stderr
        assert "PRIVATE" not in said.stdout + said.stderr


SECRETS = {"cam-1": "SECRET-of-camera-one-0123456789", "cam-2": "SECRET-of-camera-two-0123456789"}


@pytest.fixture(scope="module")
def tokens(module_commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Node:
    """A zipper with an identity that was issued to it, which asks for tokens, and an instance that it starts itself."""
    folder = tmp_path_factory.mktemp("zipper")
    (made,) = lines("issue", "own-zipper", "--role", "zipper", "--host", "127.0.0.1", "--out", folder)
    certificates = {kind: str(made[kind]) for kind in ("ca", "certificate", "key")}
    upper = {"name": "upper", "observe": ["0x10"], "run": str(UPPERCASE)}
    node = module_commands.node([upper], auth={"type": "token", "tokens": SECRETS}, certificates=certificates)
    node.until_instances("upper", 1)
    return node


def test_tokens_work_for_devices_and_by_themselves_for_local_commands(
    tokens: Node, commands: Commands, folder: Path, state_directory: Path
) -> None:
    file = folder / "token"
    file.touch(mode=0o600)
    file.write_text(f"cam-1:{SECRETS['cam-1']}\n")
    ca = state_directory / "certificates" / "ca.pem"
    watch = commands.start(
        "watch", "--tag", "0x11", "--count", "1", "--zipper", tokens.address, "--ca", ca, "--token-file", file
    ).ready()
    credentials = Uncertified(ca)
    with (
        closing(dial(tokens.address, identity=credentials, token=f"cam-2:{SECRETS['cam-2']}")) as connection,
        Source("cam-2", connection, tag=0x10, mode="complete") as source,
    ):
        source.send(b"hello")
        assert source.flush(10.0)
    assert watch.finish() == 0
    variable = {"NEARFIELD_TOKEN": f"cam-2:{SECRETS['cam-2']}"}
    top = nearfield("top", "--once", "--json", "--zipper", tokens.address, "--ca", ca, environment=variable)
    assert json.loads(top.stdout)["groups"]["upper"]["completed"] == 1


def test_command_with_a_wrong_token_says_so_at_once(tokens: Node, state_directory: Path) -> None:
    ca = state_directory / "certificates" / "ca.pem"
    began = time.monotonic()
    wrong = {"NEARFIELD_TOKEN": f"cam-1:{SECRETS['cam-2']}"}
    done = nearfield("watch", "--zipper", tokens.address, "--ca", ca, environment=wrong)
    assert time.monotonic() - began < 2 * AT_ONCE_S
    assert done.status == 1
    assert done.error.startswith(f"{tokens.address}: refused our token: it has none of name `cam-1`, or another one")
    done = nearfield("watch", "--zipper", tokens.address, "--ca", ca)
    assert done.error.startswith(f"{tokens.address}: it asks for a token, and we have none; set NEARFIELD_TOKEN")


def test_insecure_zipper_warns_at_its_start_and_lets_everyone_in(commands: Commands, state_directory: Path) -> None:
    node = commands.node([], insecure=True)
    node.serve.says("insecure: everyone who reaches the port may send and receive everything")
    ca = state_directory / "certificates" / "ca.pem"
    assert node.watch("--timeout", "0.1", "--ca", ca).finish() == 0
    with closing(dial(node.address)) as connection:
        assert connection.zipper == "node"
