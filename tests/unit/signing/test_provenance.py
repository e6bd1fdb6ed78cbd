"""What a file must be before it is loaded, and each way in which it can fail to be that."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from nearfield.errors import ProvenanceError
from nearfield.signing import Provenance, Purpose, Signature, SigningKey, sign, signature_path

KEY, OTHER = SigningKey.make(), SigningKey.make()
CONTENT = b"\0asm content"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SIGNED = Provenance(signers=frozenset({KEY.public}))


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    path = tmp_path / "guest.wasm"
    path.write_bytes(CONTENT)
    return path


def signed(path: Path, purpose: Purpose = "guest", key: SigningKey = KEY, content: bytes = CONTENT) -> Path:
    signature_path(path).write_bytes(sign([content], purpose, key).encode())
    return path


def refusal(provenance: Provenance, path: Path, *parts: bytes, purpose: Purpose = "guest") -> str:
    with pytest.raises(ProvenanceError) as caught:
        provenance.check(parts or [CONTENT], purpose, path, where="function `f`")
    return str(caught.value)


def test_nothing_is_asked_of_a_file_that_may_be_any(guest: Path) -> None:
    assert Provenance().check([CONTENT], "guest", guest, where="f") is None


def test_a_file_signed_by_one_of_the_trusted_passes_with_the_signers_name(guest: Path) -> None:
    both = Provenance(DIGEST.upper(), frozenset({OTHER.public, KEY.public}))
    assert both.check([CONTENT], "guest", signed(guest), where="f") == KEY.public


def test_another_digest_is_refused_whoever_signed_it(guest: Path) -> None:
    strict = Provenance("0" * 64, SIGNED.signers)
    assert refusal(strict, signed(guest)).startswith(f"function `f`: content: got sha256 {DIGEST}, expected {'0' * 64}")


def test_a_missing_signature_is_named_with_what_makes_one(guest: Path) -> None:
    assert refusal(SIGNED, guest) == (
        f"function `f`: signature: cannot read `{guest}.sig`: no such file or directory; "
        "expected a signed file; `nearfield sign guest.wasm` makes one"
    )


def test_a_signature_of_somebody_else_is_refused(guest: Path) -> None:
    assert refusal(SIGNED, signed(guest, key=OTHER)) == (
        f"function `f`: signature: made with key {OTHER.public}, expected one of the 1 trusted; "
        "add the key to `trusted_signers` if you trust whoever has it"
    )


def test_a_signature_that_only_claims_to_be_the_trusted_ones_is_refused(guest: Path) -> None:
    genuine = sign([CONTENT], "guest", OTHER)
    forged = Signature(genuine.purpose, genuine.sha256, genuine.sizes, KEY.public, genuine.value)
    signature_path(guest).write_bytes(forged.encode())
    assert f"was not made with key {KEY.public}, as it claims" in refusal(SIGNED, guest)


@pytest.mark.parametrize("purpose", ["model", "program"])
def test_a_signature_for_another_purpose_does_not_count(guest: Path, purpose: Purpose) -> None:
    assert refusal(SIGNED, signed(guest, purpose)) == (
        f"function `f`: signature: got one for a {purpose}, expected one for a guest; sign it with --as guest"
    )


def test_a_purpose_that_was_changed_afterwards_is_not_the_signers(guest: Path) -> None:
    signed(guest, "model")
    signature_path(guest).write_bytes(signature_path(guest).read_bytes().replace(b'"model"', b'"guest"'))
    assert "was not made with key" in refusal(SIGNED, guest)


def test_a_signature_of_another_content_does_not_count(guest: Path) -> None:
    assert "the file was changed after it was signed" in refusal(SIGNED, signed(guest, content=b"other"))


def test_the_border_between_two_parts_is_signed(tmp_path: Path) -> None:
    """The digest of an OpenVINO model is over both files, and the same wherever one ends."""
    path = tmp_path / "m.xml"
    signature_path(path).write_bytes(sign([b"<net/>\n", b"weights"], "model", KEY).encode())
    assert SIGNED.check([b"<net/>\n", b"weights"], "model", path, where="m") == KEY.public
    assert "was changed after it was signed" in refusal(SIGNED, path, b"<net/>", b"\nweights", purpose="model")
    assert "was changed after it was signed" in refusal(SIGNED, path, b"<net/>\nweights", purpose="model")


def test_a_truncated_signature_is_called_that_at_every_length(guest: Path) -> None:
    whole = signature_path(signed(guest)).read_bytes()
    for length in range(len(whole) - 1):
        signature_path(guest).write_bytes(whole[:length])
        assert "signature `guest.wasm.sig`: got a damaged or truncated signature (" in refusal(SIGNED, guest)


def test_a_signature_with_one_byte_changed_never_counts(guest: Path) -> None:
    whole = signature_path(signed(guest)).read_bytes().rstrip()
    for place in range(len(whole)):
        for bit in (1, 32):
            changed = bytearray(whole)
            changed[place] ^= bit
            signature_path(guest).write_bytes(changed)
            assert refusal(SIGNED, guest)


def test_a_file_that_never_ends_is_not_read_to_its_end() -> None:
    with pytest.raises(ProvenanceError, match="damaged or truncated"):
        Signature.decode(b" " * 4096, where="s")
