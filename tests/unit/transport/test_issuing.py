"""Identities that the local authority issues by name: files, the registry, renewal, revocation."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nearfield.errors import CertificateError, NearfieldError, UsageError
from nearfield.transport.authority import ensure_local_identity, ensure_server_certificate
from nearfield.transport.certificates import Identity, load_identity, names_in, read_certificates
from nearfield.transport.issuing import Request, ensure_authority, issue, renew, revoke, roles_of
from nearfield.transport.registry import (
    issued_identities,
    read_registry,
    registry_path,
    registry_version,
    revoked,
    standing,
)
from nearfield.transport.state_directory import StateDirectory

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CAMERA = Request("cam-1", ("source",))
ZIPPER = Request("site-b", ("zipper",), hosts=("Site-B.example.", "192.0.2.7"))


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


def first(identity: Identity) -> x509.Certificate:
    return read_certificates(identity.certificate_path)[0]


def usages(identity: Identity) -> list[x509.ObjectIdentifier]:
    return list(first(identity).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


# ---- issuing ----


def test_issued_folder_is_all_that_a_device_needs_and_only_for_its_owner(state: StateDirectory) -> None:
    identity = issue(state, CAMERA, now=NOW).identity
    folder = identity.key_path.parent
    assert sorted(path.name for path in folder.iterdir()) == ["ca.pem", "certificate.pem", "key.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert load_identity(*identity.files, purposes=["client"], now=NOW) == identity
    assert identity.ca_pem_path.read_bytes() == ensure_local_identity(state, now=NOW).ca_pem_path.read_bytes()


def test_certificate_says_who_it_is_and_what_for(state: StateDirectory) -> None:
    request = Request("cam-1", ("source", "sink"), "line-1", timedelta(days=7))
    issued = issue(state, request, now=NOW)
    assert issued.identity.name == "cam-1"
    assert first(issued.identity).subject.rfc4514_string() == "OU=sink,OU=source,O=line-1,CN=cam-1"
    assert roles_of(first(issued.identity)) == ("source", "sink")
    assert usages(issued.identity) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert first(issued.identity).not_valid_after_utc == NOW + timedelta(days=7)


def test_zipper_may_listen_and_connect_under_its_names(state: StateDirectory) -> None:
    identity = issue(state, ZIPPER, now=NOW).identity
    assert usages(identity) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    assert names_in(first(identity)) == ["site-b.example", "192.0.2.7"]
    load_identity(*identity.files, purposes=["server", "client"], now=NOW)


def test_automatic_certificates_have_no_role(state: StateDirectory) -> None:
    for identity in (ensure_local_identity(state), ensure_server_certificate(state)):
        assert roles_of(first(identity)) == ()
    assert ensure_local_identity(state).name.startswith("local-")


def test_thirty_days_are_the_default_and_the_authority_s_end_the_limit(state: StateDirectory) -> None:
    assert issue(state, CAMERA, now=NOW).entry.expires == NOW + 30 * DAY
    authority = ensure_authority(state, now=NOW)
    long = Request("cam-2", ("source",), lifetime=timedelta(days=36_500))
    assert issue(state, long, now=NOW).entry.expires == authority.expires == NOW + 3650 * DAY


def test_key_goes_to_the_folder_of_choice_and_nowhere_else(state: StateDirectory, tmp_path: Path) -> None:
    out = tmp_path / "usb" / "cam-1"
    identity = issue(state, CAMERA, folder=out).identity
    assert identity.key_path == out / "key.pem"
    assert stat.S_IMODE(identity.key_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    key = identity.key_path.read_bytes()
    assert not [path for path in state.path.rglob("*") if path.is_file() and path.read_bytes() == key]


def test_folder_with_a_key_is_not_overwritten(state: StateDirectory, tmp_path: Path) -> None:
    key = issue(state, CAMERA, folder=tmp_path / "out").identity.key_path
    before = key.read_bytes()
    with pytest.raises(CertificateError, match=r"key\.pem: there is a key already; choose another folder"):
        issue(state, Request("cam-2", ("source",)), folder=tmp_path / "out")
    assert key.read_bytes() == before
    assert [identity.name for identity in issued_identities(state)] == ["cam-1"]


def test_folder_that_cannot_be_made_is_named(state: StateDirectory, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CertificateError, match=r"file/out: cannot make the folder: not a directory$"):
        issue(state, CAMERA, folder=tmp_path / "file" / "out")
    assert issued_identities(state) == []


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request("a/b", ("source",)), "identity name: got 'a/b', expected"),
        (Request("", ("source",)), "identity name: got '', expected"),
        (Request("*", ("source",)), r"identity name: got '\*', expected"),
        (Request("a", ("source",), namespace="a b"), "namespace name: got 'a b', expected"),
        (Request("local-ada", ("source",)), "identity `local-ada`: names that begin with `local-` are those of"),
        (Request("LOCAL-ada", ("source",)), "identity `LOCAL-ada`: names that begin with `local-` are those of"),
        (Request("a", ()), "identity `a`: got no role, expected at least one of source, function, sink, zipper"),
        (Request("a", ("source",), lifetime=timedelta(0)), "identity `a`: got a lifetime of nothing"),
        (Request("a", ("zipper",)), "identity `a`: a zipper needs the names and addresses it is called by; use --host"),
        (Request("a", ("sink",), hosts=("b",)), "identity `a`: hosts are for zippers"),
    ],
)
def test_request_that_makes_no_sense_is_refused(state: StateDirectory, request_: Request, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        issue(state, request_)
    assert issued_identities(state) == []


def test_name_of_this_machine_s_zippers_is_not_issued(state: StateDirectory) -> None:
    name = ensure_server_certificate(state, now=NOW).name
    with pytest.raises(UsageError) as caught:
        issue(state, Request(name, ("source",)), now=NOW)
    assert str(caught.value) == f"identity `{name}`: is what this machine's own zippers are known by"
    assert issued_identities(state) == []


def test_host_that_is_none_is_refused(state: StateDirectory) -> None:
    with pytest.raises(CertificateError, match="got `a b`, expected a host name or address"):
        issue(state, Request("a", ("zipper",), hosts=("a b",)))


def test_name_is_issued_once_unless_it_is_to_be_replaced(state: StateDirectory) -> None:
    one = issue(state, CAMERA, now=NOW)
    key = one.identity.key_path.read_bytes()
    with pytest.raises(CertificateError) as caught:
        issue(state, CAMERA, now=NOW)
    assert str(caught.value) == (
        "`cam-1` was issued on 2026-03-01 00:00 UTC already; "
        "`nearfield cert renew cam-1` for the same key, or --replace for a new one"
    )
    assert one.identity.key_path.read_bytes() == key
    two = issue(state, CAMERA, replace=True, now=NOW + DAY)
    assert two.identity.key_path.read_bytes() != key
    assert [identity.serial for identity in issued_identities(state)] == [two.entry.serial]


def test_key_that_was_replaced_elsewhere_is_not_left_behind(state: StateDirectory, tmp_path: Path) -> None:
    kept = issue(state, CAMERA).identity.key_path
    issue(state, CAMERA, folder=tmp_path / "out", replace=True)
    assert not kept.exists()
    assert kept.with_name("certificate.pem").exists()


def test_name_whose_certificates_have_ended_can_be_issued_again(state: StateDirectory) -> None:
    issue(state, CAMERA, now=NOW)
    later = NOW + 31 * DAY
    assert issue(state, CAMERA, now=later).entry.issued == later
    assert len(read_registry(state).certificates) == 1


# ---- renewing ----


def test_renewed_certificate_is_for_the_same_key_and_just_as_long(state: StateDirectory) -> None:
    one = issue(state, Request("site-b", ("zipper",), "line-1", 5 * DAY, ("b.example",)), now=NOW)
    key = one.identity.key_path.read_bytes()
    two = renew(state, "site-b", now=NOW + 4 * DAY)
    assert two.identity.key_path.read_bytes() == key
    assert two.entry.expires == NOW + 9 * DAY
    assert two.entry.serial != one.entry.serial
    assert (two.entry.roles, two.entry.namespace, two.entry.hosts) == (("zipper",), "line-1", ("b.example",))
    load_identity(*two.identity.files, purposes=["server", "client"], now=NOW + 8 * DAY)


def test_certificate_can_be_renewed_without_its_key_and_after_its_end(state: StateDirectory, tmp_path: Path) -> None:
    device = issue(state, CAMERA, folder=tmp_path / "device", now=NOW).identity
    later = NOW + 40 * DAY
    renewed = renew(state, "cam-1", lifetime=2 * DAY, folder=tmp_path / "usb", now=later)
    assert sorted(path.name for path in (tmp_path / "usb").iterdir()) == ["ca.pem", "certificate.pem"]
    load_identity(renewed.identity.ca_pem_path, renewed.identity.certificate_path, device.key_path, now=later)
    assert renewed.entry.expires == later + 2 * DAY


def test_renewal_after_the_authority_was_replaced_brings_the_new_one(state: StateDirectory) -> None:
    identity = issue(state, CAMERA, now=NOW).identity
    (state.path / "certificates" / "ca.key").unlink()
    (entry,) = issued_identities(state)
    assert standing(entry, NOW, ensure_authority(state, now=NOW).key_id) == "superseded"
    renewed = renew(state, "cam-1", now=NOW)
    assert standing(renewed.entry, NOW, ensure_authority(state, now=NOW).key_id) == "valid"
    assert load_identity(*identity.files, now=NOW) == identity


def test_unknown_name_is_told_which_are_known(state: StateDirectory) -> None:
    issue(state, CAMERA)
    issue(state, ZIPPER)
    for act in (renew, revoke):
        with pytest.raises(CertificateError, match=r"^`cam-9` was never issued; issued: `cam-1`, `site-b`$"):
            act(state, "cam-9")


# ---- revoking ----


def test_revoked_name_is_never_issued_or_renewed_while_a_certificate_of_it_is_valid(state: StateDirectory) -> None:
    issue(state, CAMERA, now=NOW)
    issue(state, Request("cam-1", ("source",), lifetime=60 * DAY), replace=True, now=NOW)
    issue(state, CAMERA, replace=True, now=NOW + DAY)
    revoke(state, "cam-1", now=NOW + 2 * DAY)
    with pytest.raises(CertificateError, match=r"^`cam-1` was revoked on 2026-03-03 00:00 UTC; issue another name$"):
        renew(state, "cam-1", now=NOW + 3 * DAY)
    # The one of sixty days outlives the latest.
    for late in (NOW + 3 * DAY, NOW + 59 * DAY):
        with pytest.raises(
            CertificateError, match=r"^`cam-1` is revoked, and its certificates end on 2026-04-30 00:00 UTC only; "
        ):
            issue(state, CAMERA, replace=True, now=late)
    assert revoked(issued_identities(state)) == {"cam-1"}
    issue(state, CAMERA, now=NOW + 60 * DAY)
    assert revoked(issued_identities(state)) == frozenset()


def test_revoking_twice_keeps_the_first_moment(state: StateDirectory) -> None:
    issue(state, CAMERA, now=NOW)
    assert revoke(state, "cam-1", now=NOW + DAY).revoked == NOW + DAY
    version = registry_version(state)
    assert revoke(state, "cam-1", now=NOW + 2 * DAY).revoked == NOW + DAY
    assert registry_version(state) == version


# ---- the registry ----


def test_registry_tells_of_each_change_and_of_nothing_else(state: StateDirectory) -> None:
    assert registry_version(state) is None
    assert issued_identities(state) == []
    seen = set()
    for act in (
        lambda: issue(state, CAMERA),
        lambda: issue(state, ZIPPER),
        lambda: renew(state, "cam-1"),
        lambda: revoke(state, "cam-1"),
    ):
        act()
        seen.add(registry_version(state))
        ensure_local_identity(state)
        issued_identities(state)
        assert registry_version(state) in seen
    assert len(seen) == 4
    assert stat.S_IMODE(registry_path(state).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("after", "expected"),
    [(0 * DAY, "valid"), (19 * DAY, "valid"), (21 * DAY, "ends soon"), (30 * DAY, "expired")],
)
def test_standing_follows_the_clock(state: StateDirectory, after: timedelta, expected: str) -> None:
    assert standing(issue(state, CAMERA, now=NOW).entry, NOW + after) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no registry of certificates: "),
        (b'{"certificates": [{"name": 1}]}', "is no registry of certificates: "),
        (b'{"version": 2, "certificates": []}', "version: got 2, expected 1"),
    ],
)
def test_damaged_registry_is_named_and_never_overwritten(state: StateDirectory, content: bytes, message: str) -> None:
    issue(state, CAMERA)
    registry_path(state).write_bytes(content)
    for act in (lambda: issued_identities(state), lambda: issue(state, ZIPPER), lambda: revoke(state, "cam-1")):
        with pytest.raises(NearfieldError, match=rf"issued\.json: {message}"):
            act()
    assert registry_path(state).read_bytes() == content


def test_certificate_without_a_common_name_is_nobody_s(state: StateDirectory, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    nobody = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "somebody")])
    certificate = x509.CertificateBuilder(nobody, nobody, key.public_key(), 1, NOW, NOW + DAY).sign(key, SHA256())
    path = tmp_path / "certificate.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    with pytest.raises(CertificateError, match=r"certificate\.pem: the certificate has no common name$"):
        _ = Identity(path, path, path).name
