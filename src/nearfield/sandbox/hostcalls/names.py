"""Names that guests give: of models, of tensors and of sources."""

from __future__ import annotations

from nearfield.sandbox.host import Host

# Far longer than any name in a workflow or model; keeps a guest from making the host copy its memory.
_MAX_NAME_BYTES = 1024


def read_name(host: Host, pointer: int, length: int) -> str | None:
    """A name from the guest's memory; None for one that nothing can have (too long, not UTF-8).

    Names are looked up in tables or checked further, never used as paths.

    Raises:
        OutOfBounds: it is not inside the memory.
    """
    if length > _MAX_NAME_BYTES:
        host.memory.check(pointer, length)
        return None
    try:
        return host.memory.read(pointer, length).decode()
    except UnicodeDecodeError:
        return None
