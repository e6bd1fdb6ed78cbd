"""A source process that sends one picture again and again: `python -m benchmarks.still_source ZIPPER TAG JPEG`.

Reads numbers from standard input, one a line; sends so many frames for each, in `complete` mode, and prints `done` when
the zipper has confirmed them. It costs next to nothing itself, so that the node behind it is what is measured.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nearfield.source import Source

FLUSH_S = 120.0


def main(zipper: str, tag: str, jpeg: Path) -> None:
    """Send until standard input ends."""
    picture = jpeg.read_bytes()
    with Source("stills", zipper, tag=tag, mode="complete") as source:
        print("ready", flush=True)
        for line in sys.stdin:
            for _ in range(int(line)):
                source.send(picture)
            if not source.flush(FLUSH_S):
                raise SystemExit(f"the zipper did not confirm {source.in_flight} frames")
            print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
