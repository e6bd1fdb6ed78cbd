"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearfield.cli.options import identity_of, tags_of
from nearfield.errors import CertificateError, UsageError
from nearfield.transport import StateDirectory, ensure_local_identity


def test_tags_may_be_repeated_and_separated_by_commas() -> None:
    assert tags_of("--tag", ["0x10,17", "0x12"]) == (16, 17, 18)
    assert tags_of("--tag", None) == ()


@pytest.mark.parametrize("values", [["x"], ["0x10,"], [""], ["0x100000000"]])
def test_option_that_is_no_tag_is_named(values: list[str]) -> None:
    with pytest.raises(UsageError, match=r"^--tag: got .*, expected a tag from 0 to 4294967295"):
        tags_of("--tag", values)


def test_certificates_are_given_all_or_none() -> None:
    assert identity_of(None, None, None) is None
    path = Path("/absent.pem")
    for given in ((path, None, None), (None, path, None), (path, path, None), (None, path, path)):
        with pytest.raises(
            UsageError, match=r"^--ca, --certificate and --key belong together: give all three or none$"
        ):
            identity_of(*given)


def test_certificates_that_are_given_are_checked(state_directory: Path) -> None:
    made = ensure_local_identity(StateDirectory(state_directory))
    assert identity_of(made.ca_pem_path, made.certificate_path, made.key_path) == made
    with pytest.raises(CertificateError, match="absent"):
        identity_of(made.ca_pem_path, Path("/absent.pem"), made.key_path)
