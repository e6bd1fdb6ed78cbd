"""The JSON Schema says what the loader takes."""

from __future__ import annotations

import json
import re
from typing import Any

from nearfield.config import parse_duration, parse_size, workflow_schema
from nearfield.config.schema import DeliveryConfig, SandboxConfig

SCHEMA = workflow_schema()


def properties(section: str) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMA["$defs"][section]["properties"]
    return found


def test_schema_is_plain_json_without_our_marks() -> None:
    text = json.dumps(SCHEMA)
    assert json.loads(text) == SCHEMA
    assert '"written"' not in text


def test_fields_have_the_names_of_the_file() -> None:
    assert list(properties("Workflow")) == [
        "name",
        "host",
        "port",
        "second_port",
        "functions",
        "models",
        "peers",
        "namespace",
        "rights",
        "namespaces",
        "certificates",
        "require_signed",
        "trusted_signers",
        "auth",
        "insecure",
        "limits",
    ]
    assert {"deadline", "memory", "output", "module"} <= set(properties("SandboxConfig"))
    assert SCHEMA["$defs"]["Workflow"]["required"] == ["name", "functions"]


def test_unknown_fields_are_forbidden_everywhere() -> None:
    assert all(section["additionalProperties"] is False for section in SCHEMA["$defs"].values())


def test_defaults_are_written_as_in_a_file() -> None:
    sandbox = properties("SandboxConfig")
    assert parse_duration(sandbox["deadline"]["default"]) == SandboxConfig().deadline_s
    assert parse_size(sandbox["memory"]["default"]) == SandboxConfig().memory_bytes
    assert re.fullmatch(sandbox["deadline"]["pattern"], sandbox["deadline"]["default"])
    assert properties("DeliveryConfig")["queue"]["default"] == DeliveryConfig().queue


def test_references_lead_somewhere() -> None:
    for name in re.findall(r'"#/\$defs/(\w+)"', json.dumps(SCHEMA)):
        assert name in SCHEMA["$defs"]
