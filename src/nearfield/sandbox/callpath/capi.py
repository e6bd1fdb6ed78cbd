"""The C functions of the wasmtime wheel that the fast call path uses, with prototypes of our own.

All are documented in wasmtime's C API (`wasmtime/func.h`, `store.h`, `linker.h`, `instance.h`, `memory.h`, `trap.h`).
What is not promised to us is the Python side of the wheel (`wasmtime._ffi`): `CApi` fails with an ordinary exception
when that has another shape.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, c_bool, c_char_p, c_int64, c_size_t, c_uint64, c_void_p
from typing import Any

from wasmtime import Trap, WasmtimeError

from nearfield.sandbox.callpath.contract import Trapped

# `wasmtime_val_raw_t` is a union of 16 bytes (its widest member is v128), filled from its beginning, little-endian.
RAW_BYTES = 16

# `wasmtime_func_unchecked_callback_t`: environment, caller, values, number of values; returns a trap or null.
HostCallback = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_void_p, c_void_p, c_size_t)

_STOPPED = b"stopped by the host"


class CApi:
    """The functions, with pointers as plain integers.

    `quick` ones keep the interpreter lock: they return within nanoseconds, and giving up the lock for each would let
    other threads delay the guest by milliseconds. `slow` ones run guest code or free memory, and release it.
    """

    def __init__(self, ffi: Any) -> None:
        """Look up everything in `wasmtime._ffi`.

        Raises:
            AttributeError: a function or type is missing.
            TypeError: a type has another size.
        """
        quick = ctypes.PyDLL(None, handle=ffi.dll._handle)
        slow = ctypes.CDLL(None, handle=ffi.dll._handle)
        p = c_void_p
        self.store_new = _prototype(quick, "wasmtime_store_new", p, p, p, p)
        self.store_context = _prototype(quick, "wasmtime_store_context", p, p)
        self.store_limiter = _prototype(quick, "wasmtime_store_limiter", None, p, *[c_int64] * 5)
        self.store_delete = _prototype(slow, "wasmtime_store_delete", None, p)
        self.set_epoch_deadline = _prototype(quick, "wasmtime_context_set_epoch_deadline", None, p, c_uint64)
        self.instantiate = _prototype(slow, "wasmtime_instance_pre_instantiate", p, p, p, p, p)
        self.export_get = _prototype(quick, "wasmtime_instance_export_get", c_bool, p, p, c_char_p, c_size_t, p)
        self.caller_export_get = _prototype(quick, "wasmtime_caller_export_get", c_bool, p, c_char_p, c_size_t, p)
        self.memory_data = _prototype(quick, "wasmtime_memory_data", p, p, p)
        self.memory_data_size = _prototype(quick, "wasmtime_memory_data_size", c_size_t, p, p)
        self.call = _prototype(slow, "wasmtime_func_call_unchecked", p, p, p, p, c_size_t, p)
        self._trap_new = _prototype(quick, "wasmtime_trap_new", p, c_char_p, c_size_t)
        self.define = _prototype(
            quick, "wasmtime_linker_define_func_unchecked",
            p, p, c_char_p, c_size_t, c_char_p, c_size_t, p, HostCallback, p, p,
        )  # fmt: skip
        self.extern_bytes = ctypes.sizeof(ffi.wasmtime_extern_t)
        self.extern_of = ffi.wasmtime_extern_t.of.offset
        self.func_kind: int = ffi.WASMTIME_EXTERN_FUNC.value
        self.memory_kind: int = ffi.WASMTIME_EXTERN_MEMORY.value
        self.instance_bytes = ctypes.sizeof(ffi.wasmtime_instance_t)
        self._error_pointer = POINTER(ffi.wasmtime_error_t)
        self._trap_pointer = POINTER(ffi.wasm_trap_t)
        for kind in (ffi.wasmtime_val_raw_t, ffi.wasmtime_func_t):
            if ctypes.sizeof(kind) != RAW_BYTES:
                raise TypeError(f"{kind.__name__}: got {ctypes.sizeof(kind)} bytes, expected {RAW_BYTES}")

    def stop_trap(self) -> int:
        """A new trap for a callback to return; wasmtime takes ownership."""
        pointer: int = self._trap_new(_STOPPED, len(_STOPPED))
        return pointer

    def error_text(self, pointer: int) -> str:
        """Read and free a `wasmtime_error_t`."""
        error = WasmtimeError._from_ptr(ctypes.cast(pointer, self._error_pointer))
        text = str(error)
        error.close()
        return text

    def trapped(self, pointer: int) -> Trapped:
        """Read and free a `wasm_trap_t`."""
        with Trap._from_ptr(ctypes.cast(pointer, self._trap_pointer)) as trap:
            return Trapped.of(trap)


def _prototype(library: ctypes.CDLL, name: str, result: Any, *parameters: Any) -> Callable[..., Any]:
    # Indexing gives a function object of our own; attribute access would share, and change, the binding's.
    function = library[name]
    function.restype = result
    function.argtypes = parameters
    return function


def address_of(managed: Any) -> int:
    """Address of the C object that one of the binding's objects owns."""
    value = ctypes.cast(managed.ptr(), c_void_p).value
    if value is None:
        raise ValueError("a null pointer")
    return value
