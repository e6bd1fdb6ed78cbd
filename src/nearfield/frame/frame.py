"""A frame: one message on the wire."""

from __future__ import annotations

import msgspec

from nearfield.frame.header import Header


class Frame(msgspec.Struct, frozen=True, gc=False):
    """Payload, header, and where it came from.

    Attributes:
        origin: name of the source where the data began.
        zipper: name of the zipper where this frame entered.
        header: see `Header`.
        payload: opaque bytes.
    """

    origin: str
    zipper: str
    header: Header
    payload: bytes

    @property
    def tag(self) -> int:
        return self.header.tag

    @property
    def sequence(self) -> int:
        return self.header.sequence

    def age_ns(self, wall_ns: int) -> int:
        """Nanoseconds from capture to `wall_ns`. Negative when the clocks of two machines disagree."""
        return wall_ns - self.header.captured_ns

    def __repr__(self) -> str:
        return f"<Frame {self.origin}/{self.sequence} tag {self.tag:#04x} {len(self.payload)} bytes>"
