"""Calls through the binding's own classes: the fallback when the wheel's C side has another shape than we know."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence

from wasmtime import (
    Caller,
    Func,
    FuncType,
    InstancePre,
    Linker,
    Memory,
    Module,
    Store,
    Trap,
    ValType,
    WasmtimeError,
)

from nearfield.sandbox.callpath.contract import Closed, HostImport, HostSide, LinkFailed, Trapped
from nearfield.sandbox.engine import engine
from nearfield.sandbox.limits import MAX_TABLES, Limits
from nearfield.sandbox.memory import GuestMemory, OutOfBounds
from nearfield.sandbox.signature import Signature

_VAL_TYPES = {"i32": ValType.i32, "i64": ValType.i64}
_BITS = {"i32": 32, "i64": 64}


class _Stopped(Exception):
    """Ends the guest from a host function; the reason is with the host side.

    The binding keeps exceptions of callbacks in a module global, so with several threads this one may turn up in
    another thread's call, or get lost. Both are harmless: it carries nothing, and the reason is kept elsewhere.
    """


class OrdinaryFunction:
    """One exported function."""

    __slots__ = ("_function", "_signature", "_store")

    def __init__(self, store: Store, function: Func, signature: Signature) -> None:
        self._store = store
        self._function = function
        self._signature = signature

    def __call__(self, *args: int) -> int:
        params = (_signed(value, kind) for value, kind in zip(args, self._signature.params, strict=True))
        try:
            result = self._function(self._store, *params)
        except (Trap, WasmtimeError, _Stopped) as exc:
            raise _trapped(exc) from None
        except ValueError as exc:
            raise Closed(str(exc)) from None
        return _unsigned(result, self._signature.results[0]) if self._signature.results else 0


class OrdinaryMemory(GuestMemory):
    """The export `memory`; while a start function runs, that of the caller."""

    __slots__ = ("_memory", "_store", "caller")

    def __init__(self, store: Store) -> None:
        self._store: Store | None = store
        self._memory: Memory | None = None
        self.caller: Caller | None = None

    def locate(self) -> tuple[int, int]:
        memory = self._memory
        if memory is None and self.caller is not None:
            found = self.caller.get("memory")
            memory = found if isinstance(found, Memory) else None
        if memory is None or self._store is None:
            raise OutOfBounds
        address = ctypes.cast(memory.data_ptr(self._store), ctypes.c_void_p).value
        return address or 0, memory.data_len(self._store)

    def bind(self, memory: Memory | None) -> None:
        """Use this memory from here on."""
        self._memory = memory

    def invalidate(self) -> None:
        """The store is gone: refuse further access."""
        self._memory = self._store = None


class OrdinarySandbox:
    """A store and an instance."""

    def __init__(self, linked: OrdinaryLinked, limits: Limits, ticks: int) -> None:
        self._exports = linked.exports
        self._store = Store(engine())
        self._store.set_limits(
            memory_size=limits.memory_bytes,
            table_elements=limits.table_elements,
            instances=1,
            tables=MAX_TABLES,
            memories=1,
        )
        self._store.set_epoch_deadline(ticks)
        self._memory = linked.memory = linked.host.memory = OrdinaryMemory(self._store)
        try:
            instance = linked.template.instantiate(self._store)
        except (Trap, _Stopped) as exc:
            self.close()
            raise _trapped(exc) from None
        except WasmtimeError as exc:
            self.close()
            raise LinkFailed(str(exc)) from None
        self._instance_exports = instance.exports(self._store)
        memory = self._instance_exports.get("memory")
        self._memory.bind(memory if isinstance(memory, Memory) else None)

    @property
    def memory(self) -> OrdinaryMemory:
        return self._memory

    def function(self, name: str) -> OrdinaryFunction:
        function = self._instance_exports[name]
        if not isinstance(function, Func):
            raise KeyError(name)
        return OrdinaryFunction(self._store, function, self._exports[name])

    def set_deadline(self, ticks: int) -> None:
        try:
            self._store.set_epoch_deadline(ticks)
        except ValueError as exc:
            raise Closed(str(exc)) from None

    def close(self) -> None:
        self._memory.invalidate()
        self._store.close()


class OrdinaryLinked:
    """A pre-instantiated module with the binding's callbacks."""

    def __init__(
        self, module: Module, imports: Sequence[HostImport], exports: Mapping[str, Signature], host: HostSide
    ) -> None:
        self.exports = exports
        self.host = host
        self.memory: OrdinaryMemory | None = None
        self._linker = Linker(engine())
        for entry in imports:
            self._define(entry, host)
        try:
            self.template: InstancePre = self._linker.instantiate_pre(module)
        except WasmtimeError as exc:
            raise LinkFailed(str(exc)) from exc

    def instantiate(self, limits: Limits, ticks: int) -> OrdinarySandbox:
        return OrdinarySandbox(self, limits, ticks)

    def close(self) -> None:
        self.template.close()
        self._linker.close()

    def _define(self, entry: HostImport, host: HostSide) -> None:
        signature = FuncType(
            [_VAL_TYPES[kind]() for kind in entry.signature.params],
            [_VAL_TYPES[kind]() for kind in entry.signature.results],
        )
        self._linker.define_func(entry.module, entry.name, signature, self._trampoline(entry, host), access_caller=True)

    def _trampoline(self, entry: HostImport, host: HostSide) -> Callable[..., int | None]:
        kinds, results = entry.signature.params, entry.signature.results

        def enter(caller: Caller, *values: int) -> int | None:
            memory = self.memory
            try:
                if memory is not None:
                    memory.caller = caller
                try:
                    result = entry.body(host, *(_unsigned(v, kind) for v, kind in zip(values, kinds, strict=True)))
                except OutOfBounds:
                    result = entry.fault
                return _signed(result or 0, results[0]) if results else None
            except BaseException as reason:
                host.stop(reason)
                raise _Stopped from None
            finally:
                if memory is not None:
                    memory.caller = None

        return enter


class OrdinaryPath:
    """The call path that any wheel has."""

    name = "ordinary"

    def link(
        self, module: Module, imports: Sequence[HostImport], exports: Mapping[str, Signature], host: HostSide
    ) -> OrdinaryLinked:
        return OrdinaryLinked(module, imports, exports, host)


def _trapped(exc: Exception) -> Trapped:
    return Trapped.of(exc) if isinstance(exc, Trap) else Trapped(None, str(exc), ())


def _unsigned(value: int, kind: str) -> int:
    return value & ((1 << _BITS[kind]) - 1)


def _signed(value: int, kind: str) -> int:
    bits = _BITS[kind]
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
