"""Tokens: their form, where they come from, and that nothing shows them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from nearfield.errors import CertificateError, NearfieldError, UsageError
from nearfield.transport.certificates import Uncertified
from nearfield.transport.dial import complete_credentials, token_from_environment
from nearfield.transport.state_directory import StateDirectory, write_private
from nearfield.transport.tokens import (
    Token,
    dictionary_file,
    ensure_local_token,
    local_token_path,
    parse_token,
    read_token_file,
)

SECRET = "correct-horse-battery"


@pytest.mark.parametrize(
    ("text", "token"),
    [
        (f"cam-1:{SECRET}", Token("cam-1", SECRET)),
        (f" cam-1:{SECRET}\n", Token("cam-1", SECRET)),
        (SECRET, Token("default", SECRET)),
    ],
)
def test_token_is_read_with_and_without_a_name(text: str, token: Token) -> None:
    assert parse_token(text, where="x") == token


@pytest.mark.parametrize(
    "text", ["", ":", f":{SECRET}", "cam-1:", f"a b:{SECRET}", f"a:b:{SECRET}", "sécret", "x" * 257]
)
def test_ill_formed_token_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_token(text, where="NEARFIELD_TOKEN")
    assert str(caught.value) == (
        "NEARFIELD_TOKEN: got something else than NAME:TOKEN, "
        "with a token of 1 to 256 visible ASCII characters without `:`"
    )


def test_token_is_read_from_a_file_that_is_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "token"
    write_private(path, f"cam-1:{SECRET}\n".encode())
    assert read_token_file(path) == Token("cam-1", SECRET)
    path.chmod(0o644)
    with pytest.raises(CertificateError, match="can be used by others: got mode 0644, expected 0600; run `chmod 600"):
        read_token_file(path)
    with pytest.raises(CertificateError, match="no such file"):
        read_token_file(tmp_path / "absent")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a:b\nc:d\n"])
def test_file_with_something_else_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    write_private(path, content)
    with pytest.raises(UsageError, match=r"token: got something else than NAME:TOKEN"):
        read_token_file(path)


def test_environment_gives_a_token_and_its_file_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "token"
    write_private(path, b"cam-2:of-the-file")
    assert token_from_environment({}) is None
    variables = {"NEARFIELD_TOKEN": f"cam-1:{SECRET}"}
    assert token_from_environment(variables) == Token("cam-1", SECRET)
    assert token_from_environment({**variables, "NEARFIELD_TOKEN_FILE": str(path)}) == Token("cam-2", "of-the-file")


def test_token_at_hand_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFIELD_TOKEN", "cam-2:of-the-environment")
    ca, token = Path("/ca.pem"), Token("cam-1", SECRET)
    assert complete_credentials(Uncertified(ca, token)) == Uncertified(ca, token)
    assert complete_credentials(Uncertified(ca), token) == Uncertified(ca, token)
    assert complete_credentials(Uncertified(ca)).name == "cam-2"
    assert Uncertified(ca).name is None


def test_password_depends_on_name_and_token_and_shows_neither() -> None:
    password = Token("cam-1", SECRET).password
    assert password == Token("cam-1", SECRET).password
    assert len({password, Token("cam-2", SECRET).password, Token("cam-1", SECRET + "!").password}) == 3
    assert len(password) == 64
    assert SECRET not in password


def test_representation_shows_the_name_only() -> None:
    token = Token("cam-1", SECRET)
    shown = f"{token!r} {token} {Uncertified(Path('/ca.pem'), token)!r}"
    assert "cam-1" in shown
    assert SECRET not in shown


def test_local_token_is_made_once_and_only_for_the_owner(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    token = ensure_local_token(state)
    assert token.name.startswith("local-")
    assert len(token.secret) == 64
    assert ensure_local_token(state) == token
    assert stat.S_IMODE(local_token_path(state).stat().st_mode) == 0o600
    assert ensure_local_token(StateDirectory(tmp_path / "other")).secret != token.secret


def test_local_token_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    ensure_local_token(state)
    local_token_path(state).chmod(0o640)
    with pytest.raises(NearfieldError, match="can be used by others"):
        ensure_local_token(state)


def test_dictionary_is_gone_when_it_was_read() -> None:
    tokens = [Token("cam-1", SECRET), Token("cam-2", SECRET)]
    with dictionary_file(tokens) as path:
        content = Path(path).read_text()
    assert content == "".join(f"{token.name}:{token.password}\n" for token in tokens)
    assert not Path(path).exists()
