"""Containment of a worker, from what `nearfield run` was told."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from nearfield import containment
from nearfield.containment import ContainmentPlan, ContainmentReport, PythonInstallation, plan_for_guest
from nearfield.inference import Device, ModelSource
from nearfield.sandbox import Grants
from nearfield.sandbox.written_pages import page_map
from nearfield.signing import signature_path
from nearfield.supervised import is_supervised
from nearfield.transport import Credentials, parse_address

_log = logging.getLogger("nearfield.run")

# Certificates are renewed weeks before they end.
RENEWAL_CHECK_S = 2.0


def contain(
    guest: Path,
    models: Mapping[str, ModelSource],
    *,
    identity: Credentials,
    zipper: str,
    cache: Path,
    record: Path,
    grants: Grants,
    memory_bytes: int,
    module_bytes: int,
) -> ContainmentReport:
    """Confine this process to what it takes to run one guest, for good. Models may still be tried out in others.

    Args:
        zipper: addresses, separated by commas.
        cache, record: directories of the compile cache and of the record of models; all that can be written to,
            except what is granted.

    Raises:
        UsageError: `zipper` is ill-formed. Nothing was done then.
    """
    files = [path for model in models.values() for path in model.files()]
    plan: ContainmentPlan = plan_for_guest(
        guest,
        models=[*files, signature_path(guest)],
        certificates=identity.files,
        writable=[cache, record],
        tcp_ports=[*(parse_address(part).port for part in zipper.split(",")), *grants.http_ports()],
        python=PythonInstallation.current(),
        guest_memory_bytes=memory_bytes,
        module_bytes=module_bytes,
        model_bytes=sum(path.stat().st_size for path in files),
        granted_readable=[directory.host for directory in grants.directories if not directory.write],
        granted_writable=[directory.host for directory in grants.directories if directory.write],
        gpu_devices=gpu_devices(models.values()),
    )
    # Cannot be opened any more once this process hides its memory.
    page_map()
    # For the unlinked file that holds back a line of LiteRT's, here and where models are tried out.
    os.environ["TMPDIR"] = str(cache)
    return containment.apply(plan)


def gpu_devices(models: Iterable[ModelSource], devices: Path = Path("/dev")) -> list[Path]:
    """Device files of graphics processors, when one of the models may compute there; that is never the default."""
    if all(model.device is Device.CPU for model in models):
        return []
    # `nvidia0`, `nvidiactl`, `nvidia-uvm`; beside them, in directories, what only administrators need.
    return sorted(path for path in devices.glob("nvidia*") if not path.is_dir())


class RenewalWatch:
    """Notices when one of an identity's files was replaced, which a contained process may not read any more.

    The engine reads them for each connection that it makes. Whoever supervises this process starts it again, with the
    new files; without one, a warning is all.
    """

    def __init__(self, identity: Credentials) -> None:
        """Remember which files there are. Before containment: that is for the files of this moment."""
        self._files = identity.files
        self._before = _versions(self._files)

    def start(self, stop: Callable[[], None]) -> None:
        """Look every two seconds from now on, on a thread of its own, and call `stop` from it when it is time."""
        threading.Thread(target=self._run, args=(stop,), name="certificates", daemon=True).start()

    def _run(self, stop: Callable[[], None]) -> None:
        pause = threading.Event()
        while _versions(self._files) in (self._before, None):
            pause.wait(RENEWAL_CHECK_S)
        if is_supervised():
            _log.info("certificates were renewed; starting again to use them")
            stop()
        else:
            _log.warning("certificates were renewed; start this again to use them: it cannot connect with the old ones")


def _versions(files: Sequence[Path]) -> Sequence[tuple[int, int]] | None:
    """Which files these are at the moment; None while one of them is missing."""
    try:
        return [(status.st_dev, status.st_ino) for status in map(Path.stat, files)]
    except OSError:
        return None


def log_containment(report: ContainmentReport) -> None:
    """Say what is active, as a warning when something is not."""
    _log.log(logging.INFO if report.is_complete else logging.WARNING, "containment: %s", report)
