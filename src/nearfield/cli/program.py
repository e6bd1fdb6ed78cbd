"""Python programs that hold stream functions: read, verified, run."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from nearfield.errors import NearfieldError, UsageError
from nearfield.function import StreamFunction, describe_raised
from nearfield.signing import Provenance

_log = logging.getLogger("nearfield.run")

# Programs that ask `if __name__ == "__main__"` find that they are not.
_MODULE_NAME = "__nearfield__"


def load_program(path: Path, chosen: str, provenance: Provenance) -> StreamFunction:
    """Run a program to its end, and find the function in it, which has a handler.

    Args:
        chosen: variable that holds the function; "": there must be one only.
        provenance: what the file must be. Held against the bytes that are compiled; what the program imports is not
            looked at.

    Raises:
        UsageError: there is no such file or function, it has no handler, or the program raised or ended itself.
        ProvenanceError: it is another file, or nobody who may has signed it. Nothing was run then.
    """
    content = read_program(path, provenance, where=str(path))
    sys.path.insert(0, str(path.resolve().parent))
    variables = _run(content, path)
    functions = {name: value for name, value in variables.items() if isinstance(value, StreamFunction)}
    function = _choose(str(path), functions, chosen)
    if function.handler is None:
        raise UsageError(f"function `{function.name}` has no handler; decorate one with it", where=str(path))
    return function


def read_program(path: Path, provenance: Provenance, *, where: str) -> bytes:
    """The bytes of a program that is what it must be.

    Raises:
        UsageError: it cannot be read.
        ProvenanceError: it is another file, or nobody who may has signed it.
    """
    if not path.is_file():
        raise UsageError("no such file", where=where)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read it: {(error.strerror or str(error)).lower()}", where=where) from error
    provenance.check([content], "program", path, where=where)
    return content


def _run(content: bytes, path: Path) -> dict[str, Any]:
    """The variables of a program, once it ran to its end. The traceback is in the log when verbose."""
    module = ModuleType(_MODULE_NAME)
    module.__file__ = str(path)
    # What the program defines refers to its module by this name, when it is pickled for instance.
    sys.modules[_MODULE_NAME] = module
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)
    except NearfieldError:
        raise
    except (Exception, SystemExit) as error:
        _log.debug("`%s` cannot be run", path, exc_info=True)
        raise UsageError(f"cannot be run: {describe_raised(error)}", where=str(path)) from error
    return vars(module)


def _choose(file: str, functions: dict[str, StreamFunction], chosen: str) -> StreamFunction:
    if chosen:
        if chosen not in functions:
            raise UsageError(f"no StreamFunction `{chosen}`; found: {', '.join(functions) or 'none'}", where=file)
        return functions[chosen]
    if len(functions) != 1:
        found = ", ".join(functions) or "none"
        raise UsageError(
            f"found {len(functions)} StreamFunctions ({found}), expected 1; choose with FILE:NAME", where=file
        )
    return next(iter(functions.values()))
