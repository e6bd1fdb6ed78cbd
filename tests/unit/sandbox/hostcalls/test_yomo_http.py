from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nearfield.errors import GuestTimeout, GuestTrapped
from nearfield.inference import ModelStore
from nearfield.sandbox import Guest, Invocation, Limits
from nearfield.sandbox.grants import Grants
from nearfield.sandbox.hostcalls.http_client import Refused, Request, Response
from nearfield.sandbox.hostcalls.yomo_http import read_request, write_response
from tests.unit.sandbox.hostcalls.web_server import Server
from tests.unit.sandbox.kit import FRAME, ROOT, load

# The payload is the request; emits the code and what lies where the host said.
ALLOC = '(func (export "yomo_alloc") (param i32) (result i32) (i32.const 70000))'


def sender(alloc: str = ALLOC, arguments: str = "(i32.const 1000) (call $size) (i32.const 0) (i32.const 4)") -> str:
    return f"""(module
      (import "env" "yomo_context_data_size" (func $size (result i32)))
      (import "env" "yomo_context_data" (func $data (param i32 i32) (result i32)))
      (import "env" "yomo_write" (func $write (param i32 i32 i32) (result i32)))
      (import "env" "yomo_http_send" (func $send (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 4)
      {alloc}
      (func (export "yomo_observe_datatags"))
      (func (export "yomo_handler")
        (drop (call $data (i32.const 1000) (i32.const 60000)))
        (i32.store8 (i32.const 8) (call $send {arguments}))
        (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1)))
        (drop (call $write (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4))))))"""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def granted(server: Server) -> dict[str, Any]:
    return {"grants": Grants(http_hosts=(f"127.0.0.1:{server.port}",)), "limits": Limits(deadline_s=20.0)}


def frame(**request: Any) -> Invocation:
    return Invocation(0x10, json.dumps(request).encode(), "cam-1", 1841, 0)


def code_and_answer(guest: Guest, invocation: Invocation) -> tuple[int, bytes]:
    code, answer = (emission.payload for emission in guest.handle(invocation).emissions)
    return code[0], answer


def test_a_granted_host_answers(tmp_path: Path, server: Server) -> None:
    guest = load(tmp_path, sender(), **granted(server))
    body = base64.b64encode(b"frame").decode()
    code, answer = code_and_answer(guest, frame(Method="POST", URL=server.url("/a"), Header={"X-Key": "7"}, Body=body))
    assert code == 0
    told = json.loads(answer)
    assert (told["Status"], told["StatusCode"]) == ("200 OK", 200)
    assert base64.b64decode(told["Body"]) == b"hello frame"
    assert told["Header"]["Content-Length"] == "11"
    method, path, headers, _ = server.seen[0]
    assert (method, path, headers["X-Key"]) == ("POST", "/a", "7")


def test_without_a_grant_nothing_is_sent_and_the_log_says_why(tmp_path: Path, server: Server) -> None:
    guest = load(tmp_path, sender(), limits=Limits(deadline_s=20.0))
    outcome = guest.handle(frame(URL=server.url("/")))
    assert outcome.emissions[0].payload == b"\2"
    assert [line.text for line in outcome.logs] == [f"yomo_http_send: `127.0.0.1` port {server.port} is not granted"]
    assert server.seen == []


@pytest.mark.parametrize(
    ("alloc", "arguments", "code"),
    [
        (ALLOC, "(i32.const -1) (i32.const 8) (i32.const 0) (i32.const 4)", 1),
        (ALLOC, "(i32.const 1000) (i32.const 1) (i32.const 0) (i32.const 4)", 2),
        ("", "(i32.const 1000) (call $size) (i32.const 0) (i32.const 4)", 3),
        (ALLOC.replace("70000", "262140"), "(i32.const 1000) (call $size) (i32.const 0) (i32.const 4)", 4),
        (ALLOC, "(i32.const 1000) (call $size) (i32.const -1) (i32.const 4)", 4),
        (ALLOC, "(i32.const 1000) (call $size) (i32.const 0) (i32.const 262141)", 4),
    ],
)
def test_each_failure_has_the_original_s_code(
    tmp_path: Path, server: Server, alloc: str, arguments: str, code: int
) -> None:
    guest = load(tmp_path, sender(alloc, arguments), **granted(server))
    assert guest.handle(frame(URL=server.url("/"))).emissions[0].payload == bytes([code])


def test_an_allocator_that_sends_a_request_itself_gets_none(tmp_path: Path, server: Server) -> None:
    nested = """(func (export "yomo_alloc") (param i32) (result i32)
      (i32.store8 (i32.const 9) (call $send (i32.const 1000) (call $size) (i32.const 0) (i32.const 4)))
      (drop (call $write (i32.const 3) (i32.const 9) (i32.const 1)))
      (i32.const 70000))"""
    outcome = load(tmp_path, sender(nested), **granted(server)).handle(frame(URL=server.url("/")))
    assert [(e.tag, e.payload) for e in outcome.emissions][:2] == [(3, b"\3"), (1, b"\0")]
    assert len(server.seen) == 1


def test_an_allocator_that_traps_is_the_guest_s_trap(tmp_path: Path, server: Server) -> None:
    trapping = '(func $out (export "yomo_alloc") (param i32) (result i32) unreachable)'
    guest = load(tmp_path, sender(trapping), **granted(server))
    for _ in range(2):
        with pytest.raises(GuestTrapped, match="guest trapped: unreachable code reached in `out`, frame"):
            guest.handle(frame(URL=server.url("/")))
    assert guest.handle(Invocation(1, b"{", "", 0, 0)).emissions[0].payload == b"\2"


def test_an_allocator_that_never_ends_is_ended_by_the_deadline(tmp_path: Path, server: Server) -> None:
    looping = '(func (export "yomo_alloc") (param i32) (result i32) (loop (br 0)) unreachable)'
    guest = load(tmp_path, sender(looping), **(granted(server) | {"limits": Limits(deadline_s=1.0)}))
    with pytest.raises(GuestTimeout):
        guest.handle(frame(URL=server.url("/")))


def test_the_guest_in_c_fetches(server: Server) -> None:
    path = ROOT / "guests" / "yomo-fetch" / "yomo-fetch.wasm"
    if not path.exists():
        pytest.skip("guests/yomo-fetch/yomo-fetch.wasm is not built")
    guest = Guest.load(path, name="fetch", models=ModelStore({}), **granted(server))
    assert (guest.abi, guest.observes) == ("yomo", (0x20,))
    (answer,) = guest.handle(Invocation(0x20, server.url("/a").encode(), "", 0, 0)).emissions
    assert (answer.tag, base64.b64decode(json.loads(answer.payload)["Body"])) == (0x21, b"hello ")
    (refused,) = guest.handle(Invocation(0x20, b"http://example.org/", "", 0, 0)).emissions
    assert json.loads(refused.payload) == {"error": 2}


# Decisions ------------------------------------------------------------------------------------------------------------


def test_a_request_is_read_whatever_the_case_of_its_keys() -> None:
    text = b'{"METHOD":"PUT","url":"http://a","Header":{"X":"1"},"timeout":1500,"body":"aGk="}'
    assert read_request(text) == (Request("PUT", "http://a", {"X": "1"}, b"hi"), 1.5)


@pytest.mark.parametrize("text", [b"{}", b'{"Method":"","URL":"","Header":null,"Timeout":0,"Body":null}'])
def test_what_is_left_out_has_go_s_defaults(text: bytes) -> None:
    assert read_request(text) == (Request("GET", "", {}, b""), 10.0)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"Method":1}',
        b'{"Header":[]}',
        b'{"Header":{"X":1}}',
        b'{"Timeout":"1"}',
        b'{"Timeout":true}',
        b'{"Timeout":' + b"1" * 5000 + b"}",
        b'{"Body":"?"}',
        '{"Body":"é"}'.encode(),
    ],
)
def test_what_is_no_request_is_refused(text: bytes) -> None:
    with pytest.raises(Refused, match=r"^request: got "):
        read_request(text)


def test_an_answer_is_written_as_go_s_struct() -> None:
    text = write_response(Response(404, "Not Found", {"X-A": "ü"}, b"\0"))
    assert json.loads(text) == {"Status": "404 Not Found", "StatusCode": 404, "Header": {"X-A": "ü"}, "Body": "AA=="}


def test_the_frame_has_nothing_to_do_with_it(tmp_path: Path) -> None:
    assert load(tmp_path, sender()).handle(FRAME).emissions[0].payload == b"\2"
