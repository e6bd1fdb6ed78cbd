"""The example of two tenants, served by a real process, and an identity for each name in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from nearfield.transport import (
    Connection,
    Identity,
    Request,
    Role,
    StateDirectory,
    dial,
    issue,
)
from tests.processes import ROOT, UPPERCASE, Commands, Node, free_port

EXAMPLE = ROOT / "examples" / "two-tenants" / "workflow.yaml"
NAMESPACES: dict[str, str] = {
    "oven-cam": "bakery",
    "gateway": "bakery",
    "counter-screen": "bakery",
    "tank-cam": "dairy",
    "dairy-developer": "dairy",
    "dairy-office": "dairy",
}
ROLES: dict[str, Role] = {"dairy-developer": "function", "counter-screen": "sink", "dairy-office": "sink"}

# What `dairy-developer` runs.
LABEL = """
from nearfield import StreamFunction

label = StreamFunction("label", observe=[0x10], emit=[0x11])

@label
def handle(context):
    context.emit(0x11, b"dairy:" + context.payload)
"""


def issued(name: str, role: Role, namespace: str = "default") -> Identity:
    """A certificate of this test run's authority; earlier ones of this name stay good."""
    request = Request(name, (role,), namespace=namespace)
    return issue(StateDirectory.from_environment(), request, replace=True, now=datetime.now(UTC)).identity


class Hall:
    """The zipper of the example, on a port of its own."""

    def __init__(self, commands: Commands, folder: Path) -> None:
        self.workflow = folder / "workflow.yaml"
        self.workflow.write_text(EXAMPLE.read_text().replace("../../guests/uppercase/uppercase.wasm", str(UPPERCASE)))
        port = free_port()
        self.identities = {name: issued(name, ROLES.get(name, "source"), NAMESPACES[name]) for name in NAMESPACES}
        self.node: Node = commands.serve(self.workflow, f"127.0.0.1:{port}", "--port", str(port))
        self.address = self.node.address

    def options(self, name: str) -> list[str]:
        """Of a command that is run as `name` in the namespace of its tenant."""
        files = zip(("--ca", "--certificate", "--key"), self.identities[name].files, strict=True)
        return [
            *(part for option, path in files for part in (option, str(path))),
            *("--zipper", self.address, "--namespace", NAMESPACES[name]),
        ]

    @contextmanager
    def dial(self, name: str | None, namespace: str | None = None, timeout_s: float = 10.0) -> Iterator[Connection]:
        """As `name`, or as the user that the zipper runs for."""
        identity = None if name is None else self.identities[name]
        space = namespace or NAMESPACES[name or "oven-cam"]
        with closing(dial(self.address, identity=identity, namespace=space, timeout_s=timeout_s)) as connection:
            yield connection
