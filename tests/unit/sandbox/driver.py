"""Calls host functions with any numbers at all, and checks after each call that nothing changed which may not.

The guest's memory lies between pages that nobody may touch: an access outside of it ends the process. What a function
may write inside is declared here, function by function.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nearfield.errors import GuestError
from nearfield.inference import Encoding, ModelStore
from nearfield.sandbox import Directory, Grants, Invocation, Limits, PictureRules
from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls.registry import FUNCTIONS
from nearfield.sandbox.hostcalls.tensorflow_sessions import OutputTensor
from nearfield.sandbox.memory import GuestMemory, OutOfBounds

PAGE = 65536
SIZE = 2 * PAGE
U32, U64 = 2**32 - 1, 2**64 - 1

#: A call of a function: its place in `FUNCTIONS`, and its arguments as unsigned numbers.
Step = tuple[HostImport, tuple[int, ...]]
Range = tuple[int, int]

# Time inside host functions is not limited further: opening one of everything takes longer than a call may.
LIMITS = Limits(deadline_s=0.02, host_time_s=60, handles=12, files=8, output_bytes=10_000, log_bytes_per_s=2**30)

_PROT_NONE = 0


class GuardedMemory(GuestMemory):
    """Two pages of memory with nothing on either side."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, SIZE + 2 * PAGE)
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        libc = ctypes.CDLL(None, use_errno=True)
        for start in (self._base, self._base + PAGE + SIZE):
            if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(PAGE), _PROT_NONE) != 0:
                raise OSError(ctypes.get_errno(), "mprotect failed")

    def locate(self) -> tuple[int, int]:
        return self._base + PAGE, SIZE

    def content(self) -> bytes:
        return ctypes.string_at(self._base + PAGE, SIZE)

    def close(self) -> None:
        """Make it whole again, so that it can be unmapped."""
        libc = ctypes.CDLL(None)
        libc.mprotect(ctypes.c_void_p(self._base), ctypes.c_size_t(SIZE + 2 * PAGE), ctypes.c_int(3))


@dataclass(frozen=True, slots=True)
class HostState:
    """What must not change by a call that was refused, or was another instance's."""

    memory: bytes
    handles: int
    files: int
    emissions: int
    observed: int

    @classmethod
    def of(cls, host: Host) -> HostState:
        memory = host.memory
        assert isinstance(memory, GuardedMemory)
        observed = len(host.call.observed or ())
        return cls(memory.content(), len(host.handles), len(host.files), len(host.call.outcome().emissions), observed)


class Driver:
    """Two instances with the same models: calls go to the first, and the second must never notice."""

    def __init__(self, models: ModelStore, model: bytes, directory: Path, more: Carried | None = None) -> None:
        """Args:
        model: content of a TFLite model, put into memory where `load` can find it.
        directory: an empty one; the guest gets a readable and a writable directory in it.
        more: models of other formats. The first instance then begins with one open handle of every kind.
        """
        self._more = more
        for name in ("data", "out"):
            (directory / name).mkdir(exist_ok=True)
        (directory / "data/adder").write_bytes(bytes(range(64)))
        grants = Grants(
            environment={"A": "1", "B": "22"},
            directories=(Directory(directory / "data", "/data"), Directory(directory / "out", "/out", write=True)),
        )
        self.directory = directory
        self.outside = directory / "secret"
        self.outside.write_bytes(b"outside")
        self.hosts = [Host(models, LIMITS, None, PictureRules(), grants) for _ in range(2)]
        for host in self.hosts:
            host.memory = GuardedMemory()
            host.begin(Invocation(0x10, bytes(range(200)), "cam-1", 7, 9))
            host.memory.write(0, _furniture(model, more or Carried()))
        self._prepare_second()
        self._second = HostState.of(self.hosts[1])
        self._at_first = self.first.memory.read(0, SIZE)
        self._open_everything(len(model))

    def reset(self) -> None:
        """A fresh first instance, with its memory and files as at the beginning."""
        host = self.first
        memory = host.memory
        host.end_instance()
        host.memory = memory
        memory.write(0, self._at_first)
        self._empty_output()
        self._open_everything(struct.unpack_from("<I", self._at_first, BUILDER_AT + 4)[0])

    @property
    def first(self) -> Host:
        """The instance that is called."""
        return self.hosts[0]

    def call(self, entry: HostImport, values: Sequence[int]) -> int | None:
        """One call, and everything that must hold after it.

        Returns:
            Its result; None where it has none, or was refused for a pointer outside of memory.
        """
        host = self.first
        host.begin(host.call.invocation)
        host.call.observed = []
        before = HostState.of(host)
        may_write = written_ranges(entry, values, host)
        result: int | None = None
        try:
            result = entry.body(host, *values)
            assert result is None or isinstance(result, int), (entry, values, result)
            assert (result is None) == (not entry.signature.results), (entry, values, result)
        except OutOfBounds:
            after = HostState.of(host)
            assert (after.handles, after.files) == (before.handles, before.files), (entry, values)
            assert after.emissions == 0, (entry, values)
        except GuestError:
            result = None
        changed = [at for at in _differences(before.memory, HostState.of(host).memory) if not _is_in(at, may_write)]
        assert not changed, f"{entry.module}.{entry.name}{tuple(values)} wrote at {changed[:5]}, not in {may_write}"
        assert HostState.of(self.hosts[1]) == self._second, (entry, values)
        assert self.outside.read_bytes() == b"outside", (entry, values)
        assert len(host.handles) <= LIMITS.handles
        assert len(host.files) <= LIMITS.files
        return result

    def close(self) -> None:
        """Give everything back."""
        for host in self.hosts:
            memory = host.memory
            host.close()
            if isinstance(memory, GuardedMemory):
                memory.close()
        self._empty_output()

    def _empty_output(self) -> None:
        for path in sorted((self.directory / "out").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    def _open_everything(self, model_bytes: int) -> None:
        """A graph, a context and a session of each format that there is a model of."""
        if self._more is None:
            return
        host = self.first
        host.begin(host.call.invocation).ends_at_s = time.monotonic() + 60
        for builders, count, encoding in (
            (BUILDER_AT, 1, Encoding.TENSORFLOWLITE),
            (ONNX_BUILDER_AT, 1, Encoding.ONNX),
            (OPENVINO_BUILDERS_AT, 2, Encoding.OPENVINO),
        ):
            assert call(host, "wasi_ephemeral_nn", "load", builders, count, encoding, 0, 4096) == 0, host.call.logs()
            number = host.memory.read_u32(4096)
            assert call(host, "wasi_ephemeral_nn", "init_execution_context", number, 4096) == 0
        assert call(host, "wasmedge_tensorflowlite", "create_session", MODEL_AT, model_bytes, 4096) == 0
        if self._more.tensorflow:
            graph = TENSORFLOW_AT, len(self._more.tensorflow)
            assert call(host, "wasmedge_tensorflow", "create_session", *graph, 4096) == 0, host.call.logs()
            session = host.memory.read_u32(4096)
            for function, *rest in (("append_input", DIMS64_AT, 2, 1, 3000, 16), ("append_output",)):
                name = X_AT if function == "append_input" else X_AT + 1
                assert call(host, "wasmedge_tensorflow", function, session, name, 1, *rest) == 0
            assert call(host, "wasmedge_tensorflow", "run_session", session) == 0
            assert call(host, "wasmedge_tensorflow", "wasmedge_tensorflow_get_output_tensor", session, X_AT + 1, 1, 0)
        host.memory.write(0, self._at_first)

    def _prepare_second(self) -> None:
        """The other instance holds a graph, a context and a session, with numbers that the first does not have."""
        other = self.hosts[1]
        other.call.ends_at_s = time.monotonic() + 60
        for _ in range(3):
            assert call(other, "wasi_ephemeral_nn", "load_by_name", NAME_AT, 5, 4096) == 0
        number = other.memory.read_u32(4096)
        assert call(other, "wasi_ephemeral_nn", "init_execution_context", number, 4096) == 0


def call(host: Host, module: str, name: str, *values: int) -> int | None:
    """A host function, without any checks of what it does."""
    (entry,) = [entry for entry in FUNCTIONS if (entry.module, entry.name) == (module, name)]
    return entry.body(host, *values)


# Where useful things lie in memory, so that random pointers sometimes hit them.
NAME_AT, BUILDER_AT, VECTORS_AT, DIMS_AT = 8, 64, 128, 256
TENSOR_AT, PATH_AT, JPEG_AT, MODEL_AT = 320, 512, 1024, 8192
ONNX_BUILDER_AT, OPENVINO_BUILDERS_AT, TAGS_AT, X_AT, DIMS64_AT = 80, 88, 104, 120, 272
TENSORFLOW_AT = 65536
INTERESTING = (
    *(0, 1, 3, NAME_AT, BUILDER_AT, VECTORS_AT, DIMS_AT, TENSOR_AT, PATH_AT, JPEG_AT, 4096, MODEL_AT),
    *(ONNX_BUILDER_AT, OPENVINO_BUILDERS_AT, TAGS_AT, X_AT, DIMS64_AT),
    *(PAGE - 1, PAGE, SIZE - 8, SIZE - 4, SIZE - 1, SIZE, SIZE + 1, 2**31 - 1, 2**31, U32 - 7, U32),
)


@dataclass(frozen=True, slots=True)
class Carried:
    """Models of formats other than TFLite that a guest carries; empty: none of it.

    Attributes:
        onnx: any.
        openvino: XML and weights.
        tensorflow: a frozen graph with input `x`, f32 (any, 4), and output `y`.
    """

    onnx: bytes = b""
    openvino: tuple[bytes, bytes] = (b"", b"")
    tensorflow: bytes = b""


def _furniture(model: bytes, more: Carried) -> bytes:
    content = bytearray(TENSORFLOW_AT) + more.tensorflow
    content[NAME_AT : NAME_AT + 5] = b"adder"
    at = MODEL_AT
    pairs = []
    for part in (model, more.onnx, *more.openvino):
        content[at : at + len(part)] = part
        pairs.append(struct.pack("<II", at, len(part)))
        at += -(-len(part) // 8) * 8
    assert at <= TENSORFLOW_AT
    content[BUILDER_AT : BUILDER_AT + 8] = pairs[0]
    content[ONNX_BUILDER_AT : ONNX_BUILDER_AT + 24] = b"".join(pairs[1:])
    struct.pack_into("<II", content, TAGS_AT, NAME_AT, 5)
    content[X_AT : X_AT + 2] = b"xy"
    struct.pack_into("<IIIIII", content, VECTORS_AT, 2048, 16, 2040, 16, SIZE - 4, 8)
    struct.pack_into("<II", content, DIMS_AT, 1, 4)
    struct.pack_into("<QQ", content, DIMS64_AT, 1, 4)
    struct.pack_into("<IIBxxxII", content, TENSOR_AT, DIMS_AT, 2, 1, 3000, 16)
    content[PATH_AT : PATH_AT + 12] = b"adder/../../"
    content[PATH_AT + 16 : PATH_AT + 20] = b"\xff\xfe\x80\0"
    content[JPEG_AT : JPEG_AT + 4] = b"\xff\xd8\xff\xe0"
    return bytes(content)


# What each function may write -----------------------------------------------------------------------------------------

Ranges = Callable[[Sequence[int], Host], list[Range]]


def _at(*pairs: tuple[int, int]) -> Ranges:
    """Fixed sizes at the pointers in these arguments."""
    return lambda values, host: [(values[index], size) for index, size in pairs]


def _sized(pointer: int, length: int, *more: tuple[int, int]) -> Ranges:
    """A buffer whose size is another argument."""
    return lambda values, host: [(values[pointer], values[length]), *_at(*more)(values, host)]


def _vectors(pointer: int, count: int, *more: tuple[int, int]) -> Ranges:
    """The buffers of an array of vectors, as it is before the call."""

    def ranges(values: Sequence[int], host: Host) -> list[Range]:
        found: list[Range] = []
        for index in range(min(values[count], 1024)):
            try:
                found.append(struct.unpack("<II", host.memory.read(values[pointer] + 8 * index, 8)))
            except OutOfBounds:
                break
        return [*found, *_at(*more)(values, host)]

    return ranges


def _picture(target: int, bytes_per_pixel: int | None) -> Ranges:
    """A picture of the size that the arguments 2 and 3 give; generation B has its limit in the last one."""

    def ranges(values: Sequence[int], host: Host) -> list[Range]:
        size = values[-1] if bytes_per_pixel is None else values[2] * values[3] * bytes_per_pixel
        return [(values[target], size)]

    return ranges


def _tensor(values: Sequence[int], host: Host) -> list[Range]:
    """Generation A of TensorFlow has no size for its buffers either: it is that of the tensor's content."""
    opened = host.handles.get(values[0], OutputTensor)
    return [] if opened is None else [(values[1], len(opened.content() or b""))]


def _nothing(values: Sequence[int], host: Host) -> list[Range]:
    return []


_OUT: dict[tuple[str, str], Ranges] = {
    ("nearfield_v1", "frame_read"): _sized(0, 1),
    ("nearfield_v1", "frame_origin"): _sized(0, 1),
    ("nearfield_v1", "model_tensor"): _at((4, 48)),
    ("nearfield_v1", "model_label"): _sized(3, 4),
    ("env", "yomo_context_data"): _sized(0, 1),
    ("wasi_snapshot_preview1", "args_sizes_get"): _at((0, 4), (1, 4)),
    ("wasi_snapshot_preview1", "environ_get"): _at((0, 8), (1, 9)),
    ("wasi_snapshot_preview1", "environ_sizes_get"): _at((0, 4), (1, 4)),
    ("wasi_snapshot_preview1", "clock_res_get"): _at((1, 8)),
    ("wasi_snapshot_preview1", "clock_time_get"): _at((2, 8)),
    ("wasi_snapshot_preview1", "fd_fdstat_get"): _at((1, 24)),
    ("wasi_snapshot_preview1", "fd_filestat_get"): _at((1, 64)),
    ("wasi_snapshot_preview1", "fd_read"): _vectors(1, 2, (3, 4)),
    ("wasi_snapshot_preview1", "fd_pread"): _vectors(1, 2, (4, 4)),
    ("wasi_snapshot_preview1", "fd_write"): _at((3, 4)),
    ("wasi_snapshot_preview1", "fd_pwrite"): _at((4, 4)),
    ("wasi_snapshot_preview1", "fd_seek"): _at((3, 8)),
    ("wasi_snapshot_preview1", "fd_tell"): _at((1, 8)),
    ("wasi_snapshot_preview1", "fd_prestat_get"): _at((1, 8)),
    ("wasi_snapshot_preview1", "fd_prestat_dir_name"): _sized(1, 2),
    ("wasi_snapshot_preview1", "fd_readdir"): _sized(1, 2, (4, 4)),
    ("wasi_snapshot_preview1", "path_filestat_get"): _at((4, 64)),
    ("wasi_snapshot_preview1", "path_open"): _at((8, 4)),
    ("wasi_snapshot_preview1", "path_readlink"): _sized(3, 4, (5, 4)),
    ("wasi_snapshot_preview1", "poll_oneoff"): _at((1, 32), (3, 4)),
    ("wasi_snapshot_preview1", "random_get"): _sized(0, 1),
    ("wasi_ephemeral_nn", "load"): _at((4, 4)),
    ("wasi_ephemeral_nn", "load_by_name"): _at((2, 4)),
    ("wasi_ephemeral_nn", "load_by_name_with_config"): _at((4, 4)),
    ("wasi_ephemeral_nn", "init_execution_context"): _at((1, 4)),
    ("wasi_ephemeral_nn", "get_output"): _sized(2, 3, (4, 4)),
    ("wasmedge_image", "load_jpg"): _picture(5, None),
    ("wasmedge_image", "load_png"): _picture(5, None),
    ("wasmedge_image", "load_image"): _picture(5, None),
    # Generation A has no size for its buffers: it is that of the model's output, 16 bytes here.
    ("wasmedge_tensorflowlite", "wasmedge_tensorflowlite_get_tensor_data"): _at((1, 16)),
    ("wasmedge_tensorflow", "wasmedge_tensorflow_get_tensor_data"): _tensor,
    ("wasmedge_tensorflow", "create_session"): _at((2, 4)),
    ("wasmedge_tensorflow", "create_session_saved_model"): _at((4, 4)),
    ("wasmedge_tensorflow", "get_output_tensor"): _at((3, 4)),
    ("wasmedge_tensorflow", "get_tensor_len"): _at((2, 4)),
    ("wasmedge_tensorflow", "get_tensor_data"): _sized(2, 3, (4, 4)),
    ("wasmedge_tensorflowlite", "create_session"): _at((2, 4)),
    ("wasmedge_tensorflowlite", "get_output_tensor"): _at((3, 4)),
    ("wasmedge_tensorflowlite", "get_tensor_len"): _at((2, 4)),
    ("wasmedge_tensorflowlite", "get_tensor_data"): _sized(2, 3, (4, 4)),
    **{
        ("wasmedge_image", f"wasmedge_image_load_{kind}_to_{layout}"): _picture(4, 12 if "32f" in layout else 3)
        for kind in ("jpg", "png")
        for layout in ("rgb8", "bgr8", "rgb32f", "bgr32f")
    },
}


def written_ranges(entry: HostImport, values: Sequence[int], host: Host) -> list[Range]:
    """Pointers and lengths of all that a call may write."""
    return _OUT.get((entry.module, entry.name), _nothing)(values, host)


def _differences(before: bytes, after: bytes) -> list[int]:
    if before == after:
        return []
    return [at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]


def _is_in(at: int, ranges: Sequence[Range]) -> bool:
    return any(start <= at < start + length for start, length in ranges)


def declared() -> set[tuple[str, str]]:
    """Functions with declared ranges, to compare with those that exist."""
    return set(_OUT)
