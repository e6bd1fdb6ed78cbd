"""Options that several commands share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nearfield.cli.options import credentials_of, tags_of
from nearfield.errors import CertificateError, UsageError
from nearfield.transport import StateDirectory, Token, Uncertified, ensure_local_identity, ensure_local_token
from nearfield.transport.state_directory import write_private


def test_tags_may_be_repeated_and_separated_by_commas() -> None:
    assert tags_of("--tag", ["0x10,17", "0x12"]) == (16, 17, 18)
    assert tags_of("--tag", None) == ()


@pytest.mark.parametrize("values", [["x"], ["0x10,"], [""], ["0x100000000"]])
def test_option_that_is_no_tag_is_named(values: list[str]) -> None:
    with pytest.raises(UsageError, match=r"^--tag: got .*, expected a tag from 0 to 4294967295"):
        tags_of("--tag", values)


def test_nothing_given_is_the_local_identity_with_its_token(state_directory: Path) -> None:
    state = StateDirectory(state_directory)
    assert credentials_of(None, None, None) == replace(ensure_local_identity(state), token=ensure_local_token(state))


def test_certificate_and_key_belong_together_and_to_an_authority() -> None:
    path = Path("/absent.pem")
    for given in ((None, path, None), (None, None, path), (path, path, None), (None, path, path), (path, None, path)):
        with pytest.raises(UsageError, match=r"^--ca, --certificate and --key belong together: give all three, "):
            credentials_of(*given)


def test_certificates_that_are_given_are_checked(state_directory: Path) -> None:
    made = ensure_local_identity(StateDirectory(state_directory))
    assert credentials_of(made.ca_pem_path, made.certificate_path, made.key_path) == made
    with pytest.raises(CertificateError, match="absent"):
        credentials_of(made.ca_pem_path, Path("/absent.pem"), made.key_path)


def test_authority_alone_is_for_those_without_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca = ensure_local_identity(StateDirectory(tmp_path / "state")).ca_pem_path
    assert credentials_of(ca, None, None) == Uncertified(ca)
    monkeypatch.setenv("NEARFIELD_TOKEN", "cam-1:of-the-environment")
    assert credentials_of(ca, None, None) == Uncertified(ca, Token("cam-1", "of-the-environment"))
    file = tmp_path / "token"
    write_private(file, b"cam-2:of-the-file\n")
    assert credentials_of(ca, None, None, file) == Uncertified(ca, Token("cam-2", "of-the-file"))
