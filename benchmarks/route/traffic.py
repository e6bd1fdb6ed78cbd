"""What senders and receivers of every kind have in common: the stamp in a payload, the pace, the notes of arrivals.

Moments are nanoseconds of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

# Number of the run, and when the frame was due or sent.
STAMP = struct.Struct("<QQ")
MIN_BYTES = STAMP.size


def flood(send: Callable[[bytes], object], *, run: int, size: int, start_ns: int, until_ns: int) -> int:
    """Send frames of `size` bytes as fast as `send` returns. Returns how many."""
    payload = STAMP.pack(run, 0).ljust(size, b"n")
    _sleep_until(start_ns)
    sent = 0
    while time.monotonic_ns() < until_ns:
        send(payload)
        sent += 1
    return sent


def pace(send: Callable[[bytes], object], *, run: int, size: int, rate: float, start_ns: int, until_ns: int) -> int:
    """Send `rate` frames of `size` bytes a second. Returns how many.

    A frame is stamped with the moment when it is sent, or with the one when it was due if `send` held up its
    predecessor for longer: waiting in the sender counts as latency.
    """
    filling = b"n" * (size - MIN_BYTES)
    sent = 0
    while (due_ns := start_ns + int(sent * 1e9 / rate)) < until_ns:
        is_late = time.monotonic_ns() > due_ns
        _sleep_until(due_ns)
        send(STAMP.pack(run, due_ns if is_late else time.monotonic_ns()) + filling)
        sent += 1
    return sent


class Arrivals:
    """The arrivals of one run; those of others are ignored."""

    def __init__(self) -> None:
        self._run = -1
        self._arrived_ns: list[int] = []
        self._stamped_ns: list[int] = []

    def note(self, payload: bytes) -> None:
        """Called for each payload, by one thread."""
        run, stamped_ns = STAMP.unpack_from(payload)
        if run == self._run:
            self._arrived_ns.append(time.monotonic_ns())
            self._stamped_ns.append(stamped_ns)

    def expect(self, run: int) -> None:
        """Begin with another run."""
        self._run, self._arrived_ns, self._stamped_ns = run, [], []

    def total(self) -> int:
        """How many so far."""
        return len(self._arrived_ns)

    def last_ns(self) -> int:
        """When the latest arrived."""
        return self._arrived_ns[-1]

    def ages(self) -> list[tuple[int, int]]:
        """For each: the moment of its stamp, and its age in nanoseconds when it arrived."""
        return [
            (stamped, arrived - stamped) for arrived, stamped in zip(self._arrived_ns, self._stamped_ns, strict=True)
        ]


def _sleep_until(moment_ns: int) -> None:
    remaining_ns = moment_ns - time.monotonic_ns()
    if remaining_ns > 0:
        time.sleep(remaining_ns / 1e9)
