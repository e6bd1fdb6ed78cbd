"""Identities from configured files, and those that the local authority makes."""

from __future__ import annotations

import os
import ssl
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import nearfield
from nearfield.errors import CertificateError
from nearfield.transport import authority as authority_module
from nearfield.transport import local_names as local_names_module
from nearfield.transport.authority import ensure_local_identity, ensure_server_certificate
from nearfield.transport.certificates import Identity, describe_name, load_identity, names_in, read_certificates
from nearfield.transport.local_names import local_names, normalize_host, parse_route_trie
from nearfield.transport.state_directory import StateDirectory

NOW = datetime(2026, 3, 1, tzinfo=UTC)
YEAR = timedelta(days=365)


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


def first(path: Path) -> x509.Certificate:
    return read_certificates(path)[0]


def load_again(identity: Identity, **settings: object) -> Identity:
    files = (identity.ca_pem_path, identity.certificate_path, identity.key_path)
    return load_identity(*files, **settings)  # type: ignore[arg-type]


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


# ---- the local authority ----


def test_files_are_made_once_and_only_for_the_owner(state: StateDirectory) -> None:
    identity = ensure_local_identity(state)
    before = {path.name: path.read_bytes() for path in identity.key_path.parent.iterdir()}
    assert sorted(before) == ["ca.key", "ca.pem", "client.key", "client.pem", "server.key", "server.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in identity.key_path.parent.iterdir()} == {0o600}
    assert ensure_local_identity(state) == identity
    assert {path.name: path.read_bytes() for path in identity.key_path.parent.iterdir()} == before


def test_authority_may_sign_and_nothing_else(state: StateDirectory) -> None:
    certificate = first(ensure_local_identity(state, now=NOW).ca_pem_path)
    assert describe_name(certificate.subject).startswith("`nearfield local CA ")
    assert certificate.not_valid_after_utc == NOW + timedelta(days=3650)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)


def test_two_authorities_of_one_user_have_different_names(tmp_path: Path) -> None:
    paths = [ensure_local_identity(StateDirectory(tmp_path / name)).ca_pem_path for name in ("a", "b")]
    assert first(paths[0]).subject != first(paths[1]).subject


def test_client_certificate_is_for_clients(state: StateDirectory) -> None:
    certificate = first(ensure_local_identity(state, now=NOW).certificate_path)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert describe_name(certificate.subject).startswith("`local-")
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc == NOW + YEAR


def test_server_certificate_covers_this_machine_and_what_was_asked_for(state: StateDirectory) -> None:
    hosts = ["Zipper.Example.", "192.0.2.7", "[2001:db8::7]", "0.0.0.0", "::"]
    identity = ensure_server_certificate(state, hosts)
    names = names_in(first(identity.certificate_path))
    assert {"localhost", "127.0.0.1", "::1", "zipper.example", "192.0.2.7", "2001:db8::7"} <= set(names)
    assert not {"0.0.0.0", "::"} & set(names)
    alternative = first(identity.certificate_path).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert ip_address("127.0.0.1") in alternative.value.get_values_for_type(x509.IPAddress)
    usage = first(identity.certificate_path).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_server_certificate_is_renewed_for_a_new_name_with_the_old_key(state: StateDirectory) -> None:
    one = ensure_server_certificate(state, ["one.example"])
    key, certificate = one.key_path.read_bytes(), one.certificate_path.read_bytes()
    assert ensure_server_certificate(state, ["one.example"]).certificate_path.read_bytes() == certificate
    two = ensure_server_certificate(state, ["two.example"])
    assert two.certificate_path.read_bytes() != certificate
    assert two.key_path.read_bytes() == key
    assert {"one.example", "two.example"} <= set(names_in(first(two.certificate_path)))


def test_names_of_earlier_requests_do_not_pile_up(state: StateDirectory) -> None:
    ensure_server_certificate(state, [f"old-{number}.example" for number in range(80)])
    identity = ensure_server_certificate(state, ["new.example"])
    names = names_in(first(identity.certificate_path))
    assert "new.example" in names
    assert len(names) <= max(authority_module.MAX_SERVER_NAMES, len(local_names()) + 1)


@pytest.mark.parametrize("host", ["", "a b", "a/b", "-", "x" * 64, "*.example", "a..b"])
def test_name_that_no_certificate_can_hold_is_refused(state: StateDirectory, host: str) -> None:
    with pytest.raises(CertificateError, match="expected a host name or address to make a certificate for"):
        ensure_server_certificate(state, [host])


def test_certificates_are_renewed_thirty_days_before_their_end(state: StateDirectory) -> None:
    identity = ensure_local_identity(state, now=NOW)
    original = identity.certificate_path.read_bytes()
    ensure_local_identity(state, now=NOW + YEAR - timedelta(days=31))
    assert identity.certificate_path.read_bytes() == original
    late = NOW + YEAR - timedelta(days=29)
    ensure_local_identity(state, now=late)
    assert first(identity.certificate_path).not_valid_after_utc == late + YEAR
    assert load_again(identity, now=late) == identity


def test_authority_is_replaced_with_everything_it_signed_before_its_end(state: StateDirectory) -> None:
    identity = ensure_local_identity(state, now=NOW)
    authority = first(identity.ca_pem_path)
    late = NOW + timedelta(days=3650 - 29)
    ensure_local_identity(state, now=late)
    assert first(identity.ca_pem_path) != authority
    assert load_again(identity, now=late) == identity


def test_clock_that_was_set_back_replaces_nothing_and_is_blamed(state: StateDirectory) -> None:
    identity = ensure_local_identity(state, now=NOW)
    before = identity.ca_pem_path.read_bytes()
    with pytest.raises(CertificateError) as caught:
        ensure_local_identity(state, now=datetime(1970, 1, 1, tzinfo=UTC))
    assert str(caught.value).endswith(
        "server.pem: not valid before 2026-02-28 23:00 UTC, and it is 1970-01-01 00:00 UTC; "
        "check the clock of this machine"
    )
    assert identity.ca_pem_path.read_bytes() == before


@pytest.mark.parametrize("damage", [b"", b"no certificate"])
@pytest.mark.parametrize("name", ["ca.pem", "client.pem"])
def test_damaged_certificate_is_made_anew(state: StateDirectory, name: str, damage: bytes) -> None:
    identity = ensure_local_identity(state)
    (identity.ca_pem_path.parent / name).write_bytes(damage)
    assert load_again(ensure_local_identity(state)) == identity


def test_lost_authority_key_renews_all_that_it_signed(state: StateDirectory) -> None:
    identity = ensure_local_identity(state)
    (identity.ca_pem_path.parent / "ca.key").unlink()
    assert load_again(ensure_local_identity(state)) == identity


def test_damaged_key_is_named_and_not_replaced_silently(state: StateDirectory) -> None:
    key = ensure_local_identity(state).ca_pem_path.parent / "ca.key"
    key.write_bytes(b"garbage")
    with pytest.raises(CertificateError) as caught:
        ensure_local_identity(state)
    assert str(caught.value) == (f"{key}: got no readable private key, expected PEM; delete it, and a new one is made")


def test_key_open_to_others_is_refused(state: StateDirectory) -> None:
    key = ensure_local_identity(state).key_path
    key.chmod(0o644)
    with pytest.raises(CertificateError, match="the key can be used by others: got mode 0644, expected 0600"):
        ensure_local_identity(state)


def test_long_host_and_user_names_fit_into_a_certificate(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "h" * 64)
    monkeypatch.setattr(authority_module, "user_name", lambda: "u" * 32)
    common_name = first(ensure_local_identity(state).ca_pem_path).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert len(common_name[0].value) == 64


def test_threads_that_start_together_get_the_same_identity(state: StateDirectory) -> None:
    seen: list[bytes] = []
    start = threading.Barrier(6)

    def work() -> None:
        start.wait()
        identity = ensure_local_identity(state)
        seen.append(identity.ca_pem_path.read_bytes() + identity.certificate_path.read_bytes())

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 6
    assert len(set(seen)) == 1


def test_processes_that_start_together_get_the_same_identity(tmp_path: Path) -> None:
    program = (
        "from nearfield.transport.authority import ensure_local_identity as ensure\n"
        "from nearfield.transport.state_directory import StateDirectory\n"
        "import sys; sys.stdin.read()\n"
        "identity = ensure(StateDirectory.from_environment())\n"
        "print(identity.ca_pem_path.read_text() + identity.certificate_path.read_text())"
    )
    source = str(Path(nearfield.__path__[0]).parent)
    environ = {**os.environ, "NEARFIELD_STATE_DIR": str(tmp_path / "state"), "PYTHONPATH": source}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in processes:  # all have their modules loaded, or are about to, when the gate opens
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(set(outputs)) == 1
    assert outputs[0].count("BEGIN CERTIFICATE") == 2


# ---- names of this machine ----


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("LocalHost", "localhost"),
        ("a.example.", "a.example"),
        ("under_score", "under_score"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("0.0.0.0", None),
        ("::", None),
        ("", None),
        ("a b", None),
        ("café", None),
    ],
)
def test_host_is_written_the_way_certificates_do(host: str, name: str | None) -> None:
    assert normalize_host(host) == name


def test_local_names_include_loopback_and_no_link_local_address() -> None:
    names = local_names()
    assert {"localhost", "127.0.0.1", "::1"} <= set(names)
    assert not [name for name in names if name.startswith(("fe80:", "169.254."))]


def test_local_names_do_without_kernel_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_names_module, "Path", lambda _: Path("/nonexistent"))
    assert {"localhost", "127.0.0.1", "::1"} <= set(local_names())


def test_own_addresses_are_told_from_routes_and_broadcasts() -> None:
    text = """\
Main:
  +-- 0.0.0.0/0 3 0 4
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.1.2.0/24 2 0 2
        |-- 10.1.2.0
           /24 link UNICAST
        |-- 10.1.2.3
           /32 host LOCAL
        |-- 10.1.2.255
           /32 link BROADCAST
     |-- 127.0.0.0
        /8 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
"""
    assert parse_route_trie(text) == {"10.1.2.3", "127.0.0.1"}


# ---- configured files ----


def test_sound_files_load(state: StateDirectory) -> None:
    client = ensure_local_identity(state)
    assert load_again(client, purposes=["client"]) == client
    server = ensure_server_certificate(state)
    assert load_again(server, purposes=["server"]) == server


@pytest.mark.parametrize(("field", "what"), [(0, "cannot read: "), (1, "cannot read: "), (2, "cannot read the key: ")])
def test_missing_file_is_named(state: StateDirectory, tmp_path: Path, field: int, what: str) -> None:
    identity = ensure_local_identity(state)
    files = [identity.ca_pem_path, identity.certificate_path, identity.key_path]
    files[field] = tmp_path / "missing.pem"
    with pytest.raises(CertificateError) as caught:
        load_identity(*files)
    assert str(caught.value) == f"{files[field]}: {what}no such file or directory"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("field", "what"),
    [
        (0, "got no readable certificate, expected PEM"),
        (1, "got no readable certificate, expected PEM"),
        (2, "got no readable private key, expected PEM"),
    ],
)
def test_ill_formed_file_is_named(state: StateDirectory, tmp_path: Path, field: int, what: str) -> None:
    identity = ensure_local_identity(state)
    files = [identity.ca_pem_path, identity.certificate_path, identity.key_path]
    files[field] = write(tmp_path / "bad.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(CertificateError) as caught:
        load_identity(*files)
    assert str(caught.value) == f"{files[field]}: {what}"


def test_expired_certificate_is_refused_with_its_date(state: StateDirectory) -> None:
    identity = ensure_local_identity(state, now=NOW)
    with pytest.raises(CertificateError) as caught:
        load_again(identity, now=NOW + 2 * YEAR)
    assert str(caught.value) == f"{identity.certificate_path}: expired on 2027-03-01 00:00 UTC"


def test_expired_authority_is_refused_although_the_certificate_is_not(tmp_path: Path) -> None:
    key, authority = make_authority("old", end=NOW)
    leaf_key, leaf = make_leaf("me", authority, key, end=NOW + YEAR)
    ca = write(tmp_path / "ca.pem", authority.public_bytes(Encoding.PEM))
    certificate = write(tmp_path / "me.pem", leaf.public_bytes(Encoding.PEM))
    with pytest.raises(CertificateError, match=r"ca\.pem: expired on 2026-03-01 00:00 UTC"):
        load_identity(ca, certificate, write_key(tmp_path, leaf_key), now=NOW + timedelta(days=1))


def test_key_of_another_certificate_is_refused(state: StateDirectory) -> None:
    client, server = ensure_local_identity(state), ensure_server_certificate(state)
    with pytest.raises(CertificateError) as caught:
        load_identity(client.ca_pem_path, client.certificate_path, server.key_path)
    assert str(caught.value) == (
        f"{server.key_path}: the key does not belong to the certificate in `{client.certificate_path}`"
    )


def test_certificate_of_another_authority_is_refused_with_both_names(tmp_path: Path) -> None:
    ours, theirs = (ensure_local_identity(StateDirectory(tmp_path / name)) for name in ("a", "b"))
    with pytest.raises(CertificateError) as caught:
        load_identity(ours.ca_pem_path, theirs.certificate_path, theirs.key_path)
    known, issuer = (describe_name(first(identity.ca_pem_path).subject) for identity in (ours, theirs))
    assert str(caught.value) == (
        f"{theirs.certificate_path}: not signed by the authority in `{ours.ca_pem_path}`: "
        f"issued by {issuer}, expected {known}"
    )


def test_intermediate_certificates_lead_to_the_authority(tmp_path: Path) -> None:
    root_key, root = make_authority("root")
    middle_key, middle = make_leaf("middle", root, root_key, is_authority=True)
    leaf_key, leaf = make_leaf("me", middle, middle_key)
    ca = write(tmp_path / "ca.pem", root.public_bytes(Encoding.PEM))
    chain = write(tmp_path / "me.pem", leaf.public_bytes(Encoding.PEM) + middle.public_bytes(Encoding.PEM))
    key = write_key(tmp_path, leaf_key)
    assert load_identity(ca, chain, key, now=NOW).certificate_path == chain
    alone = write(tmp_path / "alone.pem", leaf.public_bytes(Encoding.PEM))
    with pytest.raises(CertificateError, match="not signed by the authority"):
        load_identity(ca, alone, key, now=NOW)


def test_one_of_several_authorities_suffices(tmp_path: Path) -> None:
    _, other = make_authority("other")
    root_key, root = make_authority("root")
    leaf_key, leaf = make_leaf("me", root, root_key)
    ca = write(tmp_path / "ca.pem", other.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM))
    certificate = write(tmp_path / "me.pem", leaf.public_bytes(Encoding.PEM))
    assert load_identity(ca, certificate, write_key(tmp_path, leaf_key), now=NOW).ca_pem_path == ca


@pytest.mark.parametrize(("kind", "wrong"), [("client", "server"), ("server", "client")])
def test_certificate_for_the_other_side_is_refused(state: StateDirectory, kind: str, wrong: str) -> None:
    identity = ensure_local_identity(state) if kind == "client" else ensure_server_certificate(state)
    with pytest.raises(CertificateError) as caught:
        load_again(identity, purposes=[wrong])
    assert str(caught.value) == (
        f"{identity.certificate_path}: not for use by a {wrong}: its extended key usage lacks {wrong}Auth"
    )


def test_certificate_without_stated_usage_serves_both_sides(tmp_path: Path) -> None:
    root_key, root = make_authority("root")
    leaf_key, leaf = make_leaf("me", root, root_key)
    ca = write(tmp_path / "ca.pem", root.public_bytes(Encoding.PEM))
    certificate = write(tmp_path / "me.pem", leaf.public_bytes(Encoding.PEM))
    load_identity(ca, certificate, write_key(tmp_path, leaf_key), purposes=["server", "client"], now=NOW)


def test_encrypted_key_is_refused_with_a_hint(state: StateDirectory, tmp_path: Path) -> None:
    identity = ensure_local_identity(state)
    key = load_pem_private_key(identity.key_path.read_bytes(), password=None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    locked = write(tmp_path / "locked.key", pem)
    with pytest.raises(CertificateError) as caught:
        load_identity(identity.ca_pem_path, identity.certificate_path, locked)
    assert str(caught.value) == f"{locked}: the key is encrypted; store it without password"


def test_key_of_a_kind_that_tls_here_cannot_use_is_refused(state: StateDirectory, tmp_path: Path) -> None:
    identity = ensure_local_identity(state)
    pem = ed448.Ed448PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(CertificateError, match="got a key of type Ed448, expected EC, Ed25519 or RSA"):
        load_identity(identity.ca_pem_path, identity.certificate_path, write(tmp_path / "key", pem))


def test_openssl_accepts_the_files(state: StateDirectory) -> None:
    identity = ensure_server_certificate(state)
    context = ssl.create_default_context(cafile=str(identity.ca_pem_path))
    context.load_cert_chain(identity.certificate_path, identity.key_path)


def make_authority(
    common_name: str, end: datetime = NOW + 10 * YEAR
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    return key, build(name, name, key, key, end, is_authority=True)


def make_leaf(
    common_name: str,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    end: datetime = NOW + YEAR,
    *,
    is_authority: bool = False,
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    return key, build(name, issuer.subject, key, issuer_key, end, is_authority=is_authority)


def build(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    end: datetime,
    *,
    is_authority: bool,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - YEAR)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .sign(issuer_key, SHA256())
    )


def write_key(folder: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    return write(folder / "me.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
