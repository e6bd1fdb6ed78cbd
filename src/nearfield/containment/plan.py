"""What a worker may still do, worked out from what it was told to run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nearfield.containment.python import PythonInstallation

MIB = 1024**2

# Files that native libraries look for. None of them is secret; those that do not exist are passed over.
SYSTEM_READABLE = tuple(
    map(
        Path,
        (
            # libraries, and what the loader and the C library read
            *("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"),
            *("/etc/ld.so.cache", "/etc/localtime", "/usr/share/locale", "/usr/share/zoneinfo"),
            # names to addresses
            *("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf"),
            *("/etc/services", "/etc/protocols"),
            # settings and public authorities of TLS libraries; private keys lie beside these, not in them
            *("/etc/ssl/openssl.cnf", "/etc/ssl/certs"),
            *("/usr/share/ca-certificates", "/usr/local/share/ca-certificates"),
            *("/etc/pki/tls/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/ca-trust", "/etc/crypto-policies"),
            # the processor, for thread counts and the choice of kernels; this process itself
            *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm/overcommit_memory"),
            *("/sys/devices/system/cpu", "/dev/urandom", "/dev/random", "/dev/zero"),
        ),
    )
)
SYSTEM_DEVICES = (Path("/dev/null"),)

# What CUDA reads to find graphics processors, beside their device files.
GPU_READABLE = tuple(map(Path, ("/proc/driver/nvidia", "/proc/devices", "/sys/bus/pci", "/sys/devices")))
# Host memory that CUDA and its libraries take beside that on the device.
_GPU_DATA_BYTES = 8192 * MIB

# Resolvers ask over TCP when an answer does not fit into one datagram (RFC 7766).
_DNS_PORT = 53

# A worker at work has 160 MiB of writable memory, 100 MiB of which are the stacks of its threads. The compiler took
# 1.4 GiB for the worst module of 6 MB that we found.
_BASE_DATA_BYTES = 2048 * MIB
# A model is in memory as the file, as repacked weights, and again for each interpreter beyond the first.
_COPIES_OF_A_MODEL = 6
# Compiled code is about three times the module, and one sixth is left for other kinds of guests.
_COMPILED_TO_MODULE = 4
# A worker at work has about 40 open.
_OPEN_FILES = 512


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """Limits of the process, each for soft and hard at once.

    There is none on address space: an engine reserves 4 GiB of it for each instance, without using it. `data_bytes`
    bounds what can be used.

    Attributes:
        data_bytes: writable private memory (`RLIMIT_DATA`), which is what can be filled.
        file_bytes: size of a file that it writes.
        open_files: descriptors.
    """

    data_bytes: int
    file_bytes: int
    open_files: int


@dataclass(frozen=True, slots=True)
class ContainmentPlan:
    """What stays allowed. Paths that do not exist are passed over.

    Attributes:
        readable: files, and directories with all below them.
        listable: directories whose names may be seen, below them too.
        executable: files that may be executed until `seal`.
        writable: directories in which files may be made, written and removed.
        granted: directories of which a guest may do what it likes, below them too.
        devices: files that may be read and written.
        tcp_ports: TCP ports that may be connected to. UDP is not restricted by any kernel so far.
        limits: of the process.
    """

    readable: tuple[Path, ...]
    listable: tuple[Path, ...]
    executable: tuple[Path, ...]
    writable: tuple[Path, ...]
    granted: tuple[Path, ...]
    devices: tuple[Path, ...]
    tcp_ports: tuple[int, ...]
    limits: ResourceLimits


def plan_for_guest(
    guest: Path,
    *,
    models: Sequence[Path],
    certificates: Sequence[Path],
    writable: Sequence[Path],
    tcp_ports: Sequence[int],
    python: PythonInstallation,
    guest_memory_bytes: int,
    module_bytes: int,
    model_bytes: int,
    granted_readable: Sequence[Path] = (),
    granted_writable: Sequence[Path] = (),
    gpu_devices: Sequence[Path] = (),
) -> ContainmentPlan:
    """The plan for a worker that runs one WebAssembly guest.

    Args:
        guest: the module's file.
        models: model and label files.
        certificates: the PEM files with which it connects. Files, not their directory: beside them may lie the key of
            an authority.
        writable: the compile cache and the record of admitted models, directories.
        tcp_ports: where the zipper listens, which is asked over TCP why QUIC fails; and those of granted hosts.
        python: files of the interpreter.
        guest_memory_bytes: memory limit of the sandbox.
        module_bytes: most bytes of a module.
        model_bytes: size of all model files together.
        granted_readable: directories that the workflow lets the guest read.
        granted_writable: directories that the workflow lets the guest change.
        gpu_devices: device files of graphics processors, if a model may compute there.
    """
    return ContainmentPlan(
        readable=(
            *(*python.readable, *SYSTEM_READABLE, guest, *models, *certificates, *granted_readable),
            *(GPU_READABLE if gpu_devices else ()),
        ),
        listable=python.listable,
        executable=python.executable,
        writable=tuple(writable),
        granted=tuple(granted_writable),
        devices=(*SYSTEM_DEVICES, *gpu_devices),
        tcp_ports=tuple(sorted({*tcp_ports, _DNS_PORT})),
        limits=ResourceLimits(
            data_bytes=_BASE_DATA_BYTES
            + guest_memory_bytes
            + _COPIES_OF_A_MODEL * model_bytes
            + (_GPU_DATA_BYTES if gpu_devices else 0),
            file_bytes=max(64 * MIB, _COMPILED_TO_MODULE * module_bytes),
            open_files=_OPEN_FILES,
        ),
    )
