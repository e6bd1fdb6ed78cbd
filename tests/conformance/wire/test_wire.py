"""The wire format against golden vectors that were written by hand from its description, in both directions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nearfield.errors import RemoteProtocolError
from nearfield.frame import Header, control, decode_header, keys
from nearfield.frame.bundle import decode_bundle, encode_bundle
from nearfield.frame.dead_letter import DeadLetter, read_dead_letter, write_dead_letter
from nearfield.frame.delivery import DeliveryHeader, decode_delivery
from nearfield.frame.resent import Resent, ResentFrame, decode_resent, encode_resent

HERE = Path(__file__).parent
HEADERS, DELIVERIES, KEYS, MESSAGES, LETTERS, BUNDLES, RESENT = (
    json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("headers", "deliveries", "keys", "messages", "letters", "bundles", "resent")
)


def by_name(vector: dict[str, Any]) -> str:
    return str(vector.get("name") or vector.get("kind") or vector.get("of") or vector.get("key"))


@pytest.mark.parametrize("vector", HEADERS["valid"], ids=by_name)
def test_header_has_the_documented_bytes(vector: dict[str, Any]) -> None:
    header, data = Header(**vector["fields"]), bytes.fromhex(vector["hex"])
    assert header.encode() == data
    assert decode_header(data) == header


@pytest.mark.parametrize("vector", HEADERS["invalid"], ids=by_name)
def test_broken_header_is_refused_by_name(vector: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match=vector["message"]):
        decode_header(bytes.fromhex(vector["hex"]))


@pytest.mark.parametrize("vector", DELIVERIES["valid"], ids=by_name)
def test_delivery_has_the_documented_bytes(vector: dict[str, Any]) -> None:
    delivery, data = DeliveryHeader(Header(**vector["header"]), **vector["fields"]), bytes.fromhex(vector["hex"])
    assert delivery.encode() == data
    assert decode_delivery(data) == delivery


@pytest.mark.parametrize("vector", DELIVERIES["invalid"], ids=by_name)
def test_broken_delivery_is_refused_by_name(vector: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match=vector["message"]):
        decode_delivery(bytes.fromhex(vector["hex"]))


@pytest.mark.parametrize("vector", KEYS["frames"], ids=by_name)
def test_frame_key_is_read_and_written_as_documented(vector: dict[str, Any]) -> None:
    key = keys.FrameKey(**vector["fields"])
    assert str(key) == vector["key"]
    assert keys.parse_frame_key(vector["key"]) == key


@pytest.mark.parametrize("key", KEYS["refused"])
def test_key_that_is_no_frame_key_is_refused(key: str) -> None:
    with pytest.raises(RemoteProtocolError, match="key: got"):
        keys.parse_frame_key(key)


@pytest.mark.parametrize("vector", KEYS["sent"], ids=by_name)
def test_key_of_what_was_sent_is_read_and_written_as_documented(vector: dict[str, Any]) -> None:
    key = keys.SentKey(**vector["fields"])
    assert str(key) == vector["key"]
    assert keys.parse_sent_key(vector["key"]) == key


@pytest.mark.parametrize("key", KEYS["refused_as_sent"])
def test_key_that_is_none_of_what_was_sent_is_refused(key: str) -> None:
    with pytest.raises(RemoteProtocolError, match="key: got"):
        keys.parse_sent_key(key)


@pytest.mark.parametrize("vector", KEYS["expressions"], ids=by_name)
def test_key_expression_is_as_documented(vector: dict[str, Any]) -> None:
    assert getattr(keys, vector["of"])(*vector["arguments"]) == vector["key"]


@pytest.mark.parametrize("vector", MESSAGES["valid"], ids=by_name)
def test_control_message_is_read_and_written_as_documented(vector: dict[str, Any]) -> None:
    kind = getattr(control, vector["kind"])
    message = msgspec.convert(vector["fields"], kind)
    assert json.loads(control.encode(message)) == json.loads(vector["json"])
    for text in (vector["json"], *vector["reads"]):
        assert control.decode(kind, text.encode()) == message


@pytest.mark.parametrize("vector", MESSAGES["refused"], ids=by_name)
def test_broken_control_message_is_refused_by_name(vector: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match=f"^{vector['kind'].lower()} message: "):
        control.decode(getattr(control, vector["kind"]), vector["text"].encode())


@pytest.mark.parametrize("vector", LETTERS["valid"], ids=by_name)
def test_dead_letter_is_read_and_written_as_documented(vector: dict[str, Any]) -> None:
    letter, payload, data = DeadLetter(**vector["fields"]), vector["payload"].encode(), vector["data"].encode()
    assert write_dead_letter(letter, payload) == data
    assert read_dead_letter(data) == (letter, payload)


@pytest.mark.parametrize("vector", LETTERS["invalid"], ids=by_name)
def test_what_is_no_dead_letter_is_refused_by_name(vector: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^dead letter: "):
        read_dead_letter(vector["data"].encode())


@pytest.mark.parametrize("vector", BUNDLES["valid"], ids=by_name)
def test_bundle_has_the_documented_bytes(vector: dict[str, Any]) -> None:
    messages = [(payload.encode(), attachment.encode()) for payload, attachment in vector["messages"]]
    payload, attachment = bytes.fromhex(vector["payload"]), bytes.fromhex(vector["attachment"])
    assert encode_bundle([each for each, _ in messages], [each for _, each in messages]) == (payload, attachment)
    assert decode_bundle(payload, attachment) == messages


@pytest.mark.parametrize("vector", BUNDLES["invalid"], ids=by_name)
def test_broken_bundle_is_refused_by_name(vector: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match=vector["message"]):
        decode_bundle(bytes.fromhex(vector["payload"]), bytes.fromhex(vector["attachment"]))


@pytest.mark.parametrize("vector", RESENT["valid"], ids=by_name)
def test_answer_with_frames_has_the_documented_bytes(vector: dict[str, Any]) -> None:
    frames = [
        ResentFrame(origin, bytes.fromhex(header), bytes.fromhex(payload))
        for origin, header, payload in vector["frames"]
    ]
    resent = Resent(through=vector["through"], frames=frames)
    assert encode_resent(resent) == bytes.fromhex(vector["hex"])
    for text in (vector["hex"], *vector["reads"]):
        assert decode_resent(bytes.fromhex(text)) == resent


@pytest.mark.parametrize("vector", RESENT["invalid"], ids=by_name)
def test_broken_answer_with_frames_is_refused_by_name(vector: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^resent message: "):
        decode_resent(bytes.fromhex(vector["hex"]))


def test_control_message_that_is_no_text_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match=r"^ack message: "):
        control.decode(control.Ack, b"\xff\xfe")
