"""Signatures: any bytes are a signature or one named error, and one says what was signed and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.errors import ProvenanceError
from nearfield.signing import Provenance, Purpose, Signature, SigningKey, sign, signature_path

KEY = SigningKey.make()
PURPOSES: list[Purpose] = ["guest", "model", "program"]
PARTS = st.lists(st.binary(max_size=40), min_size=1, max_size=2)


@given(st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
def test_any_bytes_are_a_signature_or_one_named_error(content: bytes) -> None:
    try:
        Signature.decode(content, where="s")
    except ProvenanceError as error:
        assert str(error).isprintable()


@given(PARTS, st.sampled_from(PURPOSES))
def test_what_is_written_is_read_back(parts: list[bytes], purpose: Purpose) -> None:
    signature = sign(parts, purpose, KEY)
    assert Signature.decode(signature.encode(), where="s") == signature
    assert signature.is_genuine


@given(PARTS, PARTS, st.sampled_from(PURPOSES), st.sampled_from(PURPOSES))
def test_a_signature_counts_for_exactly_what_was_signed(
    tmp_path_factory: pytest.TempPathFactory, meant: list[bytes], given_: list[bytes], first: Purpose, second: Purpose
) -> None:
    path = tmp_path_factory.getbasetemp() / "signed-file"
    signature_path(path).write_bytes(sign(meant, first, KEY).encode())
    provenance = Provenance(signers=frozenset({KEY.public}))
    if (meant, first) == (given_, second):
        assert provenance.check(given_, second, Path(path), where="f") == KEY.public
    else:
        with pytest.raises(ProvenanceError):
            provenance.check(given_, second, Path(path), where="f")
