"""`nearfield sign`: vouch for a guest, a program or a model; make the key to do it with."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, get_args

import typer

from nearfield.cli import options
from nearfield.cli.output import say, say_json
from nearfield.errors import NearfieldError, UsageError
from nearfield.signing import Purpose, SigningKey, signature_path
from nearfield.signing import sign as sign_parts
from nearfield.transport import StateDirectory
from nearfield.transport.state_directory import read_private

Files = Annotated[
    list[Path] | None, typer.Argument(metavar="[FILE...]", help="Guests, programs, or models (OpenVINO: the XML).")
]
Key = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="The private key; default: `signing/key.pem` among nearfield's state."),
]
NewKey = Annotated[
    bool,
    typer.Option("--new-key", help="Make the key first; the public one is put beside it, with the ending .pub."),
]
As = Annotated[
    str | None,
    typer.Option("--as", metavar="guest|model|program", help="What it may be loaded as; default: what it is."),
]

PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


def sign(
    files: Files = None, key: Key = None, new_key: NewKey = False, as_: As = None, json: options.Json = False
) -> None:
    """Sign files: a signature is put beside each, as FILE.sig. With --new-key, make a key pair first.

    The private key is readable by you alone, and never shown. Give the public one to those who run what you sign.
    """
    if not files and not new_key:
        raise UsageError("nothing to do: got no file, expected FILE or --new-key")
    if key is None:
        key = key_path(StateDirectory.from_environment())
    if new_key:
        _make(key, json=json)
    if files:
        signing = SigningKey.from_pem(read_private(key), where=str(key))
        for file in files:
            _sign(file, signing, as_, json=json)


def key_path(state: StateDirectory) -> Path:
    """Where the key is that is used when none is named."""
    return state.ensure("signing") / "key.pem"


def public_path(key: Path) -> Path:
    """Where the public key of a private one lies."""
    return key.with_suffix(".pub")


def purpose_of(path: Path, chosen: str | None) -> Purpose:
    """What a file is to be loaded as: as chosen, or else by its name and first bytes. Touches the disk.

    Raises:
        UsageError: there is no such purpose, or the file cannot be read.
    """
    from nearfield.sandbox.precompiled import is_precompiled

    if chosen is not None:
        for purpose in PURPOSES:
            if purpose == chosen:
                return purpose
        raise UsageError(f"got `{chosen[:60]}`, expected {', '.join(PURPOSES[:-1])} or {PURPOSES[-1]}", where="--as")
    if path.suffix == ".py":
        return "program"
    try:
        with path.open("rb") as file:
            beginning = file.read(8)
    except OSError as error:
        raise UsageError(f"cannot read it: {(error.strerror or str(error)).lower()}", where=str(path)) from error
    return "guest" if beginning.startswith(b"\0asm") or is_precompiled(beginning) else "model"


def read_parts(path: Path, purpose: Purpose) -> Sequence[bytes]:
    """A file's whole content, as it is loaded: of an OpenVINO model the weights too.

    Raises:
        UsageError: it cannot be read.
        ConfigError, ModelInvalid: it is meant to be a model, and is none.
    """
    if purpose == "model":
        from nearfield.inference.model_file import read_content

        try:
            return read_content(path, path.name)[0].parts
        except NearfieldError as wrong:
            raise type(wrong)(wrong.what, where=str(path), hint=wrong.hint) from wrong
    try:
        return [path.read_bytes()]
    except OSError as error:
        raise UsageError(f"cannot read it: {(error.strerror or str(error)).lower()}", where=str(path)) from error


def _make(key: Path, *, json: bool) -> None:
    made = SigningKey.make()
    for path, content, mode in ((key, made.pem(), 0o600), (public_path(key), made.public.pem(), 0o644)):
        try:
            # Never over another key: what that one signed could not be signed again.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
        except OSError as error:
            raise UsageError(
                f"cannot make `{path}`: {(error.strerror or str(error)).lower()}", where="--new-key"
            ) from error
    if json:
        say_json({"event": "key", "key": str(key), "public_file": str(public_path(key)), "public": made.public.text})
        return
    say(f"private key  {key}; keep it to yourself")
    say(f"public key   {public_path(key)}: {made.public}")


def _sign(path: Path, signing: SigningKey, chosen: str | None, *, json: bool) -> None:
    purpose = purpose_of(path, chosen)
    signature = sign_parts(read_parts(path, purpose), purpose, signing)
    _write(signature_path(path), signature.encode())
    if json:
        say_json(
            {
                "event": "signed",
                "file": str(path),
                "signature": str(signature_path(path)),
                "purpose": purpose,
                "sha256": signature.sha256,
                "public": signature.key.text,
            }
        )
        return
    say(f"{path}: signed as a {purpose}, sha256 {signature.sha256}")
    say(f"  signature  {signature_path(path)}, made with key {signature.key}")


def _write(path: Path, content: bytes) -> None:
    """All of the file or none of it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
    except OSError as error:
        raise UsageError(f"cannot write it: {(error.strerror or str(error)).lower()}", where=str(path)) from error
