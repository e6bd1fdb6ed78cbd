"""All errors of nearfield: one root, one branch for each party who can mend the cause.

A message reads `where: what: got X, expected Y; hint`. Classes carry the parts as fields, so that programs need not
parse text.
"""

from __future__ import annotations


class NearfieldError(Exception):
    """Root of every error that nearfield raises on purpose.

    Attributes:
        where: the place, as a person would name it: a file and line, a function, a source.
        what: what is wrong, lower case, without a full stop.
        hint: what to do about it, or None.
    """

    #: Exit code of the command line when this error ends a command.
    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.where = where
        self.what = what
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        return text if self.hint is None else f"{text}; {self.hint}"

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only fields are lost by the default; errors cross process boundaries when a probe runs elsewhere.
        return (_rebuild, (type(self), self.what, self.where, self.hint))


def _rebuild(kind: type[NearfieldError], what: str, where: str | None, hint: str | None) -> NearfieldError:
    return kind(what, where=where, hint=hint)


class UsageError(NearfieldError):
    """The caller of a command or of the Python API gave something that cannot work."""

    exit_code = 2


class ConfigError(NearfieldError):
    """The author of a workflow file, or of options that stand for it, can mend this."""

    exit_code = 2


class ProvenanceError(ConfigError):
    """A file is not the one that was meant: another digest, no signature, or none that counts. It is not loaded."""


class RemoteProtocolError(NearfieldError):
    """The other side sent bytes that break the protocol."""


class StartFailed(NearfieldError):
    """A function's new instances did not start. Those that ran before go on."""


class TransportError(NearfieldError):
    """The network, or the zipper at its other end, failed or refused."""


class CertificateError(TransportError):
    """A certificate is missing, unreadable, expired, or was not accepted."""

    exit_code = 2


class RefusedError(TransportError):
    """The zipper answered, and said no: an unknown function name, a protocol version it does not speak."""


class GuestError(NearfieldError):
    """The author of a WebAssembly guest can mend this. Only the frame being handled fails."""


class GuestInvalid(GuestError):
    """The file is no WebAssembly module that this host may run. Raised when loading, never for a frame."""

    exit_code = 2


class GuestAbiError(GuestInvalid):
    """A valid module, but no known ABI fits it, or it breaks the rules of the one that does."""


class GuestTrapped(GuestError):
    """The guest hit a trap: unreachable, out of bounds access, stack overflow, division by zero."""


class GuestExited(GuestError):
    """The guest called `proc_exit` with a status other than 0."""


class GuestTimeout(GuestError):
    """The guest used up its wall-clock deadline."""


class GuestMemoryExceeded(GuestError):
    """The guest wanted more memory than its limit and trapped in consequence."""


class GuestOutputExceeded(GuestError):
    """The guest emitted more frames or bytes than its limit."""


class GuestFailed(GuestError):
    """The guest itself reported that it could not handle the frame."""


class HandlerFailed(NearfieldError):
    """A Python handler raised. Only the frame being handled fails."""


class EmissionRefused(NearfieldError):
    """What the handler emitted is not what the function declares to emit. Only the frame being handled fails.

    Attributes:
        where: the setting that refused it: `emit_kind`, `emit_bytes`, `emit_rate` or `emit`.
    """


class InferenceError(NearfieldError):
    """A model cannot be loaded, or inputs do not fit it."""


class ModelInvalid(InferenceError):
    """The file is no model that a backend can load."""

    exit_code = 2


class MediaError(NearfieldError):
    """A picture or video cannot be read."""


class InternalError(NearfieldError):
    """We are at fault."""
