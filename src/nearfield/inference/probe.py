"""Load a model and run it once: `python -m nearfield.inference.probe PATH [SHA256]`, in a process that may die of it.

Exit status 0: it ran. 3: refused, with the reason on standard output. Anything else: the runtime died.
"""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

from nearfield.errors import InferenceError, NearfieldError
from nearfield.inference.admission import REFUSED_STATUS
from nearfield.inference.contract import Graph
from nearfield.inference.model_file import ModelSource, read_model

# A run takes well under a second; a model for a server may take some.
_CPU_S = 30

# Python and any of the runtimes take about 0.15 GB of it; the rest is for the model. Not the address space: on a
# machine with many cores the threads of a runtime reserve gigabytes that they never touch.
_MEMORY_BYTES = 4 * 1024**3


def main(arguments: list[str]) -> int:
    """Probe the model at the first argument. Sets resource limits on this process for good."""
    _limit_this_process()
    path, digest = Path(arguments[0]), arguments[1] if arguments[1:] else None
    try:
        file = read_model(ModelSource(path, sha256=digest), path.name)
        run_once(file.backend.load(file.content, label=path.name))
    except NearfieldError as error:
        print(error.what if error.hint is None else f"{error.what}; {error.hint}")
        return REFUSED_STATUS
    return 0


def run_once(graph: Graph) -> None:
    """Compute once with every input zero.

    An orderly failure counts as survival: zeros may be no sensible input, to a model that divides by one for instance.

    Raises:
        InferenceError: no context can be had.
    """
    context = graph.acquire()
    for index, spec in enumerate(graph.inputs):
        context.set_input(index, bytes(spec.nbytes))
    with contextlib.suppress(InferenceError):
        context.compute()
        for index in range(len(graph.outputs)):
            context.output(index)
    context.close()


def _limit_this_process() -> None:
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 1024**2),
        (resource.RLIMIT_CPU, _CPU_S),
        (resource.RLIMIT_DATA, _MEMORY_BYTES),
    ):
        _, hard = resource.getrlimit(kind)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (limit, limit))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
