"""What a WASI command sees as its process: arguments, a standard input, and where its standard output goes."""

from __future__ import annotations

from nearfield.errors import GuestOutputExceeded

# The end of standard error that is kept for the reason of a failure: a traceback's last lines.
_TAIL_BYTES = 4096

_GO_BEGINNINGS = ("panic: ", "fatal error: ")


class Process:
    """Streams of one run. Used by the thread that runs the guest.

    Attributes:
        arguments: the command's name and what follows it.
    """

    def __init__(self, arguments: tuple[str, ...], stdin: bytes, stdout_limit: int) -> None:
        """Args: stdout_limit: bytes that the guest may write to its standard output."""
        self.arguments = arguments
        self._stdin = memoryview(stdin)
        self._stdout = bytearray()
        self._stdout_limit = stdout_limit
        self._stderr_tail = b""

    def read(self, most: int) -> memoryview:
        """The next bytes of the standard input, at most `most`; none at its end."""
        taken, self._stdin = self._stdin[:most], self._stdin[most:]
        return taken

    def write(self, data: bytes) -> None:
        """Take part of the standard output.

        Raises:
            GuestOutputExceeded: it is more than the limit in all.
        """
        if len(self._stdout) + len(data) > self._stdout_limit:
            raise GuestOutputExceeded(f"standard output: got more than {self._stdout_limit} bytes")
        self._stdout += data

    def note_error(self, data: bytes) -> None:
        """Remember the end of the standard error."""
        self._stderr_tail = (self._stderr_tail + data)[-_TAIL_BYTES:]

    @property
    def stdout(self) -> bytes:
        """What was written so far."""
        return bytes(self._stdout)

    def last_words(self) -> str | None:
        """What the standard error says about a failure, in one line; None when nothing was written there."""
        return last_words(self._stderr_tail.decode("utf-8", "replace"))


def last_words(text: str) -> str | None:
    """The line that says why a program ended: that of a Rust or Go panic, else the last one. Pure."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for index, line in enumerate(lines):
        if " panicked at " in line:
            # Since Rust 1.73 the message is on a line of its own below the place.
            return " ".join(lines[index : index + 2]) if line.endswith(":") else line
        if line.startswith(_GO_BEGINNINGS):
            return line
    return lines[-1] if lines else None
