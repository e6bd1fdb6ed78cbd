"""Keys: read back whole, told apart from everything else, and never shown."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from nearfield.errors import ConfigError, ProvenanceError
from nearfield.signing import PublicKey, SigningKey, is_key_text, read_signer

KEY = SigningKey.make()


def test_a_private_key_is_read_back_from_its_file() -> None:
    assert SigningKey.from_pem(KEY.pem(), where="k").public == KEY.public


def test_a_public_key_is_read_from_its_text_and_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "key.pub"
    path.write_bytes(KEY.public.pem())
    assert read_signer(KEY.public.text) == read_signer(str(path)) == KEY.public


def test_a_signature_verifies_with_its_own_key_and_message_alone() -> None:
    signature = KEY.sign(b"message")
    assert KEY.public.verifies(b"message", signature)
    assert not KEY.public.verifies(b"massage", signature)
    assert not KEY.public.verifies(b"message", signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not SigningKey.make().public.verifies(b"message", signature)


@pytest.mark.parametrize(
    "text",
    ["", "key.pub", "A" * 44, KEY.public.text[:-1], KEY.public.text + "\n", "é" * 44],
    ids=["empty", "name", "bits-too-many", "cut", "line", "no-ascii"],
)
def test_what_is_no_key_is_a_path(text: str) -> None:
    assert not is_key_text(text)


def test_one_key_has_one_text() -> None:
    """The last character of 44 carries two bits that mean nothing."""
    raw = base64.b64decode(KEY.public.text)
    others = {KEY.public.text[:-2] + letter + "=" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"}
    assert {text for text in others if base64.b64decode(text) == raw and is_key_text(text)} <= {KEY.public.text}


def other_kind() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_what_holds_no_signing_key_is_refused_without_a_word_of_it() -> None:
    elliptic = other_kind().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    locked = KEY._key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    for content in (elliptic, locked, KEY.public.pem(), b"", b"secret text", KEY.pem()[:60]):
        with pytest.raises(ProvenanceError) as caught:
            SigningKey.from_pem(content, where="k.pem")
        assert (
            str(caught.value) == "k.pem: got no private key of Ed25519 in PEM without a password; make one: --new-key"
        )


def test_a_private_key_in_place_of_a_public_one_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(KEY.pem())
    with pytest.raises(ConfigError, match="got a private key, expected a public key of Ed25519 in PEM"):
        read_signer(str(path))
    path.write_bytes(
        other_kind()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(ConfigError, match="got something else, expected a public key"):
        read_signer(str(path))
    with pytest.raises(ConfigError, match="no such file"):
        read_signer(str(tmp_path / "absent"))


def test_a_private_key_shows_only_its_public_one() -> None:
    assert repr(KEY) == f"<SigningKey {KEY.public.text}>"
    assert PublicKey(KEY.public.text) == KEY.public
