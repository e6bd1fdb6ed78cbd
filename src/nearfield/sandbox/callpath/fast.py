"""Calls through wasmtime's C functions, without the binding's conversions: about 20 times faster (ADR 0004)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from typing import Any

from wasmtime import FuncType, Linker, Module, ValType, WasmtimeError

from nearfield.sandbox.callpath.capi import RAW_BYTES, CApi, HostCallback, address_of
from nearfield.sandbox.callpath.contract import HostImport, HostSide, LinkFailed
from nearfield.sandbox.callpath.fast_sandbox import RAW_FORMATS, RAW_RESULTS, FastSandbox
from nearfield.sandbox.engine import engine
from nearfield.sandbox.limits import Limits
from nearfield.sandbox.memory import OutOfBounds
from nearfield.sandbox.signature import Signature

_VAL_TYPES = {"i32": ValType.i32, "i64": ValType.i64}


class FastLinked:
    """A pre-instantiated module with our own callbacks."""

    def __init__(
        self, api: CApi, module: Module, imports: Sequence[HostImport], exports: Mapping[str, Signature], host: HostSide
    ) -> None:
        self.api = api
        self.exports = exports
        self.host = host
        self.caller: int | None = None
        self.engine = address_of(engine())
        self._linker = Linker(engine())
        # Only native code refers to the callbacks: they must live as long as instances do.
        self._callbacks = [self._define(entry, host) for entry in imports]
        try:
            self._template = self._linker.instantiate_pre(module)
        except WasmtimeError as exc:
            raise LinkFailed(str(exc)) from exc
        self.template = address_of(self._template)

    def instantiate(self, limits: Limits, ticks: int) -> FastSandbox:
        return FastSandbox(self, limits, ticks)

    def close(self) -> None:
        self._template.close()
        self._linker.close()

    def _define(self, entry: HostImport, host: HostSide) -> Any:
        callback = HostCallback(self._trampoline(entry, host))
        module, name = entry.module.encode(), entry.name.encode()
        signature = FuncType(
            [_VAL_TYPES[kind]() for kind in entry.signature.params],
            [_VAL_TYPES[kind]() for kind in entry.signature.results],
        )
        error = self.api.define(
            address_of(self._linker), module, len(module), name, len(name), address_of(signature), callback, None, None
        )
        if error:
            raise LinkFailed(self.api.error_text(error))
        return callback

    def _trampoline(self, entry: HostImport, host: HostSide) -> Callable[..., int]:
        body, fault = entry.body, entry.fault
        unpack = Struct("<" + "".join(RAW_FORMATS[kind] for kind in entry.signature.params)).unpack
        size = len(entry.signature.params) * RAW_BYTES
        results = entry.signature.results
        result_at = RAW_RESULTS[results[0]].from_address if results else None
        string_at, stop_trap = ctypes.string_at, self.api.stop_trap

        def enter(_environment: int, caller: int, values: int, _count: int) -> int:
            try:
                self.caller = caller
                try:
                    result = body(host, *unpack(string_at(values, size)))
                except OutOfBounds:
                    result = fault
                finally:
                    self.caller = None
                if result_at is not None:
                    result_at(values).value = result or 0
                return 0
            except BaseException as reason:
                host.stop(reason)
                return stop_trap()

        return enter


class FastPath:
    """The call path for this wheel."""

    name = "fast"

    def __init__(self, api: CApi) -> None:
        self._api = api

    @classmethod
    def create(cls) -> FastPath | None:
        """The fast path, or None when the wheel does not have the shape that it needs."""
        try:
            from wasmtime import _ffi

            return cls(CApi(_ffi))
        except (ImportError, AttributeError, TypeError):
            return None

    def link(
        self, module: Module, imports: Sequence[HostImport], exports: Mapping[str, Signature], host: HostSide
    ) -> FastLinked:
        return FastLinked(self._api, module, imports, exports, host)
