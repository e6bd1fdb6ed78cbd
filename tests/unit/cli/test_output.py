"""What is printed of payloads that anybody may have sent."""

from __future__ import annotations

import json

import pytest

from nearfield.cli.output import payload_as_json, payload_as_text, say_json


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b'{"label":"gear","confidence":0.9}', {"json": {"label": "gear", "confidence": 0.9}}),
        (b"12345678901234567890123", {"json": 12345678901234567890123}),
        (b"null", {"json": None}),
        (b"hello", {"text": "hello"}),
        (b"", {"text": ""}),
        (b"NaN", {"text": "NaN"}),
        (b"[-Infinity]", {"text": "[-Infinity]"}),
        (b'"\\ud800"', {"text": '"\\ud800"'}),
        (b"9" * 5_000, {"text": "9" * 5_000}),
        (b"\xff\xd8\xff", {"base64": "/9j/"}),
    ],
    ids=str,
)
def test_every_payload_becomes_one_json_line(
    payload: bytes, field: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    say_json(payload_as_json(payload))
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    assert json.loads(output) == field


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_deeply_nested_payload_is_printed_all_the_same(depth: int, capsys: pytest.CaptureFixture[str]) -> None:
    say_json(payload_as_json(b"[" * depth + b"]" * depth))
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"plain \xc3\xbc", "plain ü"),
        (b"\x1b[31mred\r\n", "·[31mred··"),
        ("\u202eevil\u200b".encode(), "·evil·"),
        (b"\xff" * 20, "20 bytes (ff ff ff ff ff ff ff ff ff ff ff ff…)"),
        (b"x" * 3_000, "x" * 2_000 + "… (3,000 bytes)"),
    ],
    ids=["text", "escapes", "direction", "bytes", "long"],
)
def test_terminal_gets_no_control_characters_and_no_floods(payload: bytes, text: str) -> None:
    assert payload_as_text(payload) == text
