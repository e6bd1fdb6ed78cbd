"""`nearfield verify`: whether a file is signed by someone who is trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nearfield.cli import options, provenance_options
from nearfield.cli.output import say, say_json
from nearfield.cli.sign import As, key_path, public_path, purpose_of, read_parts
from nearfield.transport import StateDirectory

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="Guests, programs, or models (OpenVINO: the XML).")
]


def verify(files: Files, trust: provenance_options.Trust = None, as_: As = None, json: options.Json = False) -> None:
    """Say who signed each file. Without --trust, it must have been the key that `nearfield sign` uses by default.

    Exit code 2 for the first file that is not signed by a trusted key, or is not what was signed.
    """
    keys = trust or [str(public_path(key_path(StateDirectory.from_environment())))]
    provenance = provenance_options.provenance_of(None, keys)
    for path in files:
        purpose = purpose_of(path, as_)
        signer = provenance.check(read_parts(path, purpose), purpose, path, where=str(path))
        if json:
            say_json({"file": str(path), "purpose": purpose, "public": str(signer)})
        else:
            say(f"{path}: a {purpose}, signed with key {signer}")
