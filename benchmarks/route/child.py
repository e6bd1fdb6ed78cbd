"""A process that plays one role: `python -m benchmarks.route.child ROLE '{"parameter": value}'`.

It answers one JSON line to each on its standard input, `{"do": METHOD, ...}`, and ends when that closes.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from typing import Any

ROLES = {
    "source": "benchmarks.route.framework:FrameSource",
    "sources": "benchmarks.route.framework:ManySources",
    "functions": "benchmarks.route.framework:Functions",
    "sink": "benchmarks.route.framework:FrameSink",
    "bare router": "benchmarks.route.bare:Router",
    "bare source": "benchmarks.route.bare:BareSource",
    "bare relay": "benchmarks.route.bare:Relay",
    "bare sink": "benchmarks.route.bare:BareSink",
    "UDP echo": "benchmarks.route.datagrams:Echo",
    "UDP source": "benchmarks.route.datagrams:Pinger",
}


def main() -> None:
    """Take up the role and answer until standard input closes."""
    name, parameters = sys.argv[1:]
    module, _, kind = ROLES[name].partition(":")
    role = getattr(importlib.import_module(module), kind)(**json.loads(parameters))
    _say({"answer": "ready"})
    try:
        for line in sys.stdin:
            _say(_call(role, json.loads(line)))
    finally:
        role.close()


def _call(role: object, request: dict[str, Any]) -> dict[str, Any]:
    method = getattr(role, request.pop("do"))
    try:
        return {"answer": method(**request)}
    except Exception:
        return {"failed": traceback.format_exc()}


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
