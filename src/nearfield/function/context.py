"""What a handler gets: one frame, and the means to answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from nearfield.errors import UsageError
from nearfield.frame import RESERVED_TAGS, Header, check_name, format_tag, parse_tag


class Emission(NamedTuple):
    """A frame to be sent.

    Attributes:
        to: the source that is meant; None: the one where the data began.
    """

    tag: int
    payload: bytes
    to: str | None = None


@dataclass(slots=True)
class Context:
    """One frame being handled.

    Attributes:
        payload: the frame's bytes.
        header: its header; the properties below read it.
        origin: name of the source.
        ends_at_s: of `time.monotonic`, when the frame becomes worthless; None: never.
        emissions: in order. They leave when the handler has returned; none do when it fails.
    """

    payload: bytes
    header: Header
    origin: str
    allowed: frozenset[int] | None = None
    emissions: list[Emission] = field(default_factory=list)
    ends_at_s: float | None = None

    @property
    def tag(self) -> int:
        """Tag of the frame."""
        return self.header.tag

    @property
    def sequence(self) -> int:
        """Number of the frame, given by its source."""
        return self.header.sequence

    @property
    def captured_ns(self) -> int:
        """Capture time in nanoseconds since the Unix epoch, by the source's clock."""
        return self.header.captured_ns

    def emit(self, tag: int | str, payload: bytes | str, *, to: str | None = None) -> None:
        """Send a frame when the handler has returned. Text is sent as UTF-8.

        Args:
            to: name of one source, which finds the frame among its `Source.results()`; sinks receive it too, with this
                name as its origin. None: the source where the data began.

        Raises:
            UsageError: the tag is ill-formed, reserved, or not among those the function may emit; `to` is no name.
        """
        number = parse_tag(tag)
        if number in RESERVED_TAGS:
            raise UsageError(f"emit: tag {format_tag(number)} is reserved; 0xf000 to 0xffff belong to the framework")
        if self.allowed is not None and number not in self.allowed:
            allowed = ", ".join(map(format_tag, sorted(self.allowed))) or "none"
            raise UsageError(
                f"emit: got tag {format_tag(number)}, expected one of those the function declares: {allowed}"
            )
        if to is not None:
            check_name("source", to)
        data = payload.encode() if isinstance(payload, str) else bytes(payload)
        self.emissions.append(Emission(number, data, to))
