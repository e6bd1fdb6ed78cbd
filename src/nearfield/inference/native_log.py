"""Keep known lines of native code off the user's terminal, and nothing else."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def without_lines_on_stderr(known: re.Pattern[bytes]) -> Iterator[list[bytes]]:
    """Hold back what is written to file descriptor 2 meanwhile, then pass on all lines but those that begin so.

    Native code writes to the descriptor itself, so `sys.stderr` cannot be used for this. The descriptor belongs to the
    whole process: lines of other threads arrive late, not lost, and a child process started meanwhile without a
    descriptor 2 of its own writes into the void. Text written by a process that dies inside is lost,
    which is why the body should be short. Does nothing when the process has no descriptor 2.

    Returns:
        A list that holds, after the body, the lines that were kept back.
    """
    kept_back: list[bytes] = []
    try:
        original = os.dup(2)
    except OSError:
        yield kept_back
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield kept_back
        finally:
            os.dup2(original, 2)
            os.close(original)
            kept_back += _pass_on(held.fileno(), known)


def _pass_on(held: int, known: re.Pattern[bytes]) -> list[bytes]:
    lines = os.pread(held, os.fstat(held).st_size, 0).splitlines(keepends=True)
    # A closed terminal must not turn a loaded model into an error.
    with contextlib.suppress(OSError):
        os.write(2, b"".join(line for line in lines if not known.match(line)))
    return [line for line in lines if known.match(line)]
