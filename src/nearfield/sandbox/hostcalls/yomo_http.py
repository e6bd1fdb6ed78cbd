"""`yomo_http_send`: an HTTP request described in JSON.

Source: `cli/serverless/wasm/http/http.go` and `serverless/http.go` of YoMo 1.17.1.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from typing import Any

from nearfield.sandbox.call import WARNING
from nearfield.sandbox.callpath import Trapped
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls.http_client import Refused, Request, Response, send
from nearfield.sandbox.memory import OutOfBounds
from nearfield.sandbox.traps import explain

HTTP_DONE, HTTP_BAD_REQUEST_POINTER, HTTP_FAILED, HTTP_NO_ALLOCATOR, HTTP_NO_ROOM = 0, 1, 2, 3, 4

_DEFAULT_TIMEOUT_MS = 10_000

# Room for the largest body in base64, and for headers and an address beside it.
_MOST_REQUEST_BYTES = 2 * 1024 * 1024


def http_send(host: Host, pointer: int, length: int, out_pointer: int, out_length_pointer: int) -> int:
    """Send, wait for the answer within the call's deadline, and leave it in memory from the guest's `yomo_alloc`."""
    host.memory.check(pointer, length)
    if length > _MOST_REQUEST_BYTES:
        return _failed(host, f"request: got {length} bytes, expected at most {_MOST_REQUEST_BYTES}")
    allocate, host.allocate = host.allocate, None
    if allocate is None:
        # Not exported, or called by the allocator itself.
        return HTTP_NO_ALLOCATOR
    try:
        request, timeout_s = read_request(host.memory.read(pointer, length))
        with host.timed("HTTP"):
            response = send(request, host.grants.may_reach, min(timeout_s, host.call.ends_at_s - time.monotonic()))
        content = write_response(response)
        address = allocate(len(content))
        host.memory.write(address, content)
        host.memory.write_u32(out_pointer, address)
        host.memory.write_u32(out_length_pointer, len(content))
    except Refused as exc:
        return _failed(host, str(exc))
    except OutOfBounds:
        return HTTP_NO_ROOM
    except Trapped as exc:
        reason = explain(exc, host.call, host.memory.size)
        raise reason from reason.__cause__
    finally:
        host.allocate = allocate
    return HTTP_DONE


def _failed(host: Host, why: str) -> int:
    host.call.log(WARNING, f"yomo_http_send: {why}")
    return HTTP_FAILED


def read_request(text: bytes) -> tuple[Request, float]:
    """A request and its timeout in seconds from JSON. Keys may be in any case, as in Go. Pure.

    Raises:
        Refused: no JSON object, or a member of another type.
    """
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise Refused("request: got something else than JSON") from exc
    if not isinstance(parsed, dict):
        raise Refused("request: got JSON, but no object")
    members = {key.lower(): value for key, value in parsed.items() if value is not None}
    headers = _member(members, "header", dict, {})
    if not all(isinstance(value, str) for value in headers.values()):
        raise Refused("request: got a header that is no string")
    timeout_ms = _member(members, "timeout", int, 0)
    try:
        body = base64.b64decode(_member(members, "body", str, ""), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Refused("request: got a body that is not base64") from exc
    request = Request(_member(members, "method", str, "") or "GET", _member(members, "url", str, ""), headers, body)
    return request, (timeout_ms if timeout_ms > 0 else _DEFAULT_TIMEOUT_MS) / 1000


def _member(members: dict[str, Any], name: str, kind: type, default: Any) -> Any:
    value = members.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Refused(f"request: got {type(value).__name__} as `{name}`, expected {kind.__name__}")
    return value


def write_response(response: Response) -> bytes:
    """The answer as JSON with the member names of Go's struct. Pure."""
    return json.dumps(
        {
            "Status": f"{response.status} {response.reason}".strip(),
            "StatusCode": response.status,
            "Header": dict(response.headers),
            "Body": base64.b64encode(response.body).decode(),
        }
    ).encode()
