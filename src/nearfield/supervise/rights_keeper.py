"""Keeps a zipper's rights at what its workflow says, and at what has been issued and revoked since."""

from __future__ import annotations

from nearfield.config import Workflow
from nearfield.supervise.admission import Admission
from nearfield.zipper import Zipper

# Differs from every version.
_UNKNOWN = object()


class RightsKeeper:
    """Looks for changes of rights, and has the zipper take them on. Call from one thread.

    Args:
        zipper: one that was made with the rights of this moment.
    """

    def __init__(self, zipper: Zipper, admission: Admission) -> None:
        self._zipper = zipper
        self._admission = admission
        # Something may have been issued since the zipper got its rights.
        self._version: object = _UNKNOWN

    def look(self, workflow: Workflow) -> bool:
        """Take on what was issued or revoked since the last look: whether anything was. Cheap when nothing was.

        Raises:
            CertificateError: the registry cannot be read.
            TransportError: the zipper's session does not open again.
        """
        return self._admission.version() != self._version and self.apply(workflow)

    def apply(self, workflow: Workflow) -> bool:
        """Let the rights of a workflow hold: whether they are others. Cuts everyone off for a second if so.

        Raises:
            CertificateError, TransportError: as `look`.
        """
        # What fails is tried again at the next look.
        version, self._version = self._admission.version(), _UNKNOWN
        changed = self._zipper.set_rights(self._admission.rights(workflow))
        self._version = version
        return changed
