"""Admit a model only after it ran once in a process of its own.

Runtimes check a file's structure, not every index in it: of 1,500 mutated TFLite models that load, 2 ended the process
with SIGSEGV. A worker that dies at start for a bad file would be restarted for ever, with no reason to show.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import nearfield.errors
from nearfield.errors import ModelInvalid
from nearfield.inference.detect import fingerprint

# Import, load and one run take 0.3 to 0.8 s; this is for a busy machine and a large model.
PROBE_TIMEOUT_S = 60.0

# How the child says that it was given a reason, which is on its standard output.
REFUSED_STATUS = 3

_PACKAGE_PARENT = str(Path(nearfield.errors.__file__).parents[1])


def probe_model(path: Path, *, sha256: str | None = None, timeout_s: float = PROBE_TIMEOUT_S) -> None:
    """Load the model at `path` and run it once in a disposable process. Blocks until that process ends.

    Args:
        path: an existing file; the weights of an OpenVINO model lie beside it.
        sha256: of the content that was read before; another that lies there by now is not run.
        timeout_s: wall-clock limit, after which the process is killed.

    Raises:
        ModelInvalid: refused by the runtime, did not end in time, or took the process down.
    """
    command = [sys.executable, "-P", "-m", "nearfield.inference.probe", str(path.absolute())]
    command += [] if sha256 is None else [sha256]
    try:
        ended = subprocess.run(
            command,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(path, f"did not finish one run in {timeout_s:g} s") from error
    if ended.returncode == 0:
        return
    if ended.returncode == REFUSED_STATUS:
        raise _refused(path, ended.stdout.decode(errors="replace").strip())
    reason = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    raise _refused(path, _death(ended.returncode), hint=reason or "the file is damaged or hostile")


class AdmissionRecord:
    """Which models ran before, by content and runtime, in a small text file; or nowhere.

    The file only saves time: a line that is missing, torn or unreadable means that the model is probed again.
    """

    def __init__(self, path: Path | None, backend: str) -> None:
        """Use `path` (created when needed), or keep nothing when None. `backend` is part of each entry."""
        self._path = path
        self._backend = backend

    def __contains__(self, digest: str) -> bool:
        if self._path is None:
            return False
        try:
            return self._line(digest) in self._path.read_text(errors="replace").splitlines()
        except OSError:
            return False

    def add(self, digest: str) -> None:
        """Remember that the content with this sha256 ran. A file that cannot be written is not an error."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # One short write in append mode: several workers may do this at once.
            with self._path.open("a") as file:
                file.write(self._line(digest) + "\n")
        except OSError:
            return

    def _line(self, digest: str) -> str:
        return f"{digest} {self._backend}"


def _environment() -> dict[str, str]:
    """The child must find this package wherever we did, and needs no threads of numpy's."""
    paths = [_PACKAGE_PARENT, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}


def _death(status: int) -> str:
    if status >= 0:
        return f"the runtime ended with exit status {status} while running it once"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"the runtime died of {name} while running it once"


def _refused(path: Path, what: str, hint: str | None = None) -> ModelInvalid:
    try:
        got = fingerprint(path.read_bytes())
    except OSError as error:
        got = f"unreadable: {error.strerror}"
    return ModelInvalid(f"{what} ({got})" if "sha256" not in what else what, where=f"model `{path}`", hint=hint)
