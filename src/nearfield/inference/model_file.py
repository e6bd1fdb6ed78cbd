"""Read a named model's file, and hold it against what the workflow says about it."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from nearfield.errors import ConfigError, InferenceError, ModelInvalid
from nearfield.inference.backends import backend_for, backend_named
from nearfield.inference.contract import Backend, BatchSettings, Device, Encoding, ModelContent
from nearfield.inference.detect import detect_encoding
from nearfield.signing import Provenance, PublicKey, signature_path

# A flatbuffer's offsets are 32 bits, signed; so is the size of a protobuf.
_MOST_MODEL_BYTES = 2**31 - 1

_SHA256_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a named model comes from, and how it is run.

    Attributes:
        path: the model file. For OpenVINO the XML; the weights lie beside it, with the ending `.bin`.
        labels: text file with the names of the outputs, or None.
        threads: native threads of each computation, >= 1.
        sha256: of the content, in hexadecimal, to be verified; for OpenVINO of the XML followed by the weights; None:
            not verified.
        backend: name of the backend; None: as the file itself tells.
        device: where to compute.
        batch: to put frames of several callers together; None: each alone.
        signers: of whom one must have signed the content; None: it need not be signed. Labels are not signed.
    """

    path: Path
    labels: Path | None = None
    threads: int = 1
    sha256: str | None = None
    backend: str | None = None
    device: Device = Device.CPU
    batch: BatchSettings | None = None
    signers: frozenset[PublicKey] | None = None

    def files(self) -> tuple[Path, ...]:
        """All files that loading it may read, those that exist of the optional ones. Touches the disk."""
        weights = weights_path(self.path)
        signature = None if self.signers is None else signature_path(self.path)
        optional = [weights] if weights != self.path else []
        optional += [] if signature is None else [signature]
        return (
            self.path,
            *(path for path in optional if path.exists()),
            *(() if self.labels is None else (self.labels,)),
        )

    def check(self, name: str) -> None:
        """Refuse what can be told without the file.

        Raises:
            ConfigError: a value out of its range.
        """
        where = f"model `{name}`"
        if self.threads < 1:
            raise ConfigError(f"threads: got {self.threads}, expected 1 or more", where=where)
        if self.sha256 is not None and not is_sha256(self.sha256):
            raise ConfigError(f"sha256: got `{self.sha256}`, expected 64 hexadecimal digits", where=where)
        if self.backend is not None:
            try:
                backend_named(self.backend)
            except ConfigError as unknown:
                raise ConfigError(unknown.what, where=where) from unknown
        if self.batch is not None and (self.batch.max_frames < 1 or self.batch.wait_s < 0):
            raise ConfigError(f"batch: got {self.batch}, expected 1 frame or more and no time below 0", where=where)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model's file, read and told. Its content has not been given to a runtime yet.

    Attributes:
        sha256: of all parts, one after the other, in hexadecimal.
    """

    content: ModelContent
    sha256: str
    backend: Backend


def is_sha256(text: str) -> bool:
    """Whether this is a digest as `sha256sum` prints it, in either case."""
    return len(text) == _SHA256_CHARACTERS and all(each in "0123456789abcdefABCDEF" for each in text)


def read_model(source: ModelSource, name: str) -> ModelFile:
    """Read the file, tell its format, verify its digest.

    Raises:
        ConfigError: a file cannot be read.
        ModelInvalid: no model that there is a backend for, another than the source says, or another digest.
        ProvenanceError: it should be signed, and is not by one who may.
        InferenceError: the backend is not installed.
    """
    try:
        content, backend = read_content(source.path, name, source.backend)
        digest = sha256_of(content)
        if source.sha256 is not None and source.sha256.lower() != digest:
            raise ModelInvalid(
                f"content: got sha256 {digest}, expected {source.sha256.lower()}",
                hint="this is not the file that was meant",
            )
        where = f"model `{name}` (`{source.path}`)"
        Provenance(signers=source.signers).check(content.parts, "model", source.path, where=where)
        backend.version()
    except InferenceError as refused:
        raise with_path(refused, name, source.path) from refused
    return ModelFile(content, digest, backend)


def read_content(path: Path, name: str, backend: str | None = None) -> tuple[ModelContent, Backend]:
    """Read a model's file, and its weights where they lie in another, and tell its format.

    Args:
        name: for messages.
        backend: that it must be for; None: any.

    Raises:
        ConfigError: a file cannot be read.
        ModelInvalid: no model that there is a backend for, or another than `backend` runs.
    """
    first = _read(path, name)
    wanted = Encoding.AUTODETECT if backend is None else backend_named(backend).encoding
    fitting = backend_for(detect_encoding(first, name, wanted))
    return ModelContent((first, *_read_weights(path, fitting, name)), path), fitting


def weights_path(path: Path) -> Path:
    """Where the weights of an OpenVINO model lie: beside its XML."""
    return path.with_suffix(".bin")


def sha256_of(content: ModelContent) -> str:
    """Digest of all parts, one after the other."""
    digest = hashlib.sha256()
    for part in content.parts:
        digest.update(part)
    return digest.hexdigest()


def with_path(refused: InferenceError, name: str, path: Path) -> InferenceError:
    """The same error, which names the file too."""
    return type(refused)(refused.what, where=f"model `{name}` (`{path}`)", hint=refused.hint)


def _read_weights(path: Path, backend: Backend, name: str) -> tuple[bytes, ...]:
    weights = weights_path(path)
    if backend.encoding is not Encoding.OPENVINO or not weights.exists():
        return ()
    return (_read(weights, name),)


def _read(path: Path, name: str) -> bytes:
    where = f"model `{name}`"
    try:
        status = path.stat()
        # A named pipe or a device would block, or never end.
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"path: got `{path}`, expected a regular file", where=where)
        if status.st_size > _MOST_MODEL_BYTES:
            raise ModelInvalid(
                f"content of `{path}`: got {status.st_size} bytes, expected at most {_MOST_MODEL_BYTES}", where=where
            )
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"path: cannot read `{path}`: {error.strerror}", where=where) from error
