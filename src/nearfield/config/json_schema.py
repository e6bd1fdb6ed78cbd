"""The workflow file as JSON Schema, for editors."""

from __future__ import annotations

from typing import Any

import msgspec

from nearfield.config.quantities import DURATION_PATTERN, SIZE_PATTERN, format_duration, format_size
from nearfield.config.schema import NAME_EXPECTED, Workflow
from nearfield.frame.tag import MAX_TAG
from nearfield.frame.token import TOKEN_EXPECTED, TOKEN_PATTERN

# msgspec describes the Python types; these are the forms that the file has instead, by the mark set in `schema`.
_WRITTEN: dict[str, dict[str, Any]] = {
    "name": {"type": "string", "pattern": r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}$", "description": NAME_EXPECTED},
    "tag": {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": MAX_TAG},
            {"type": "string", "pattern": "^(0x[0-9a-fA-F]+|[0-9]+)$"},
        ]
    },
    "duration": {"type": "string", "pattern": f"^{DURATION_PATTERN}$"},
    "size": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": f"^{SIZE_PATTERN}$"}]},
    "path": {"type": "string", "minLength": 1, "description": "relative to the workflow file"},
    "host": {"type": "string", "minLength": 1, "description": "an address or host name, without port"},
    "signer": {"type": "string", "minLength": 1, "description": "a public key in base64, or the path of its file"},
    "secret": {"type": "string", "pattern": f"^{TOKEN_PATTERN}$", "description": TOKEN_EXPECTED},
    "sha256": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$", "description": "as `sha256sum` prints it"},
}


def workflow_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a workflow file.

    It states the form of single fields; rules between fields are the work of `validate_workflow`.
    """
    schema = msgspec.json.schema(Workflow)
    described: dict[str, Any] = _as_written(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "nearfield workflow", **described}


def _as_written(node: Any) -> Any:
    if isinstance(node, list):
        return [_as_written(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "written" in node:
        return _field(node)
    # The default of a whole section repeats those of its fields, in Python's units; an empty list is no choice at all.
    kept = {
        key: value for key, value in node.items() if not (key == "default" and isinstance(value, (dict, list, tuple)))
    }
    if isinstance(kept.get("title"), str) and "description" in kept:
        # A section: of its docstring, the first line is for its users.
        kept["description"] = kept["description"].partition("\n")[0]
    return {key: _as_written(value) for key, value in kept.items()}


def _field(node: dict[str, Any]) -> dict[str, Any]:
    written = dict(_WRITTEN[node["written"]])
    if "default" in node:
        default = node["default"]
        formats = {"duration": format_duration, "size": format_size}
        write = formats.get(node["written"])
        written["default"] = default if write is None else write(default)
    return written
