"""An instance held by address: its store, memory and exported functions (see `fast.py`)."""

from __future__ import annotations

import ctypes
from ctypes import addressof, c_uint32, c_uint64, c_void_p
from struct import Struct
from typing import TYPE_CHECKING, Any

from nearfield.sandbox.callpath.capi import RAW_BYTES, CApi
from nearfield.sandbox.callpath.contract import Closed, LinkFailed, Trapped
from nearfield.sandbox.limits import MAX_TABLES, Limits
from nearfield.sandbox.memory import GuestMemory, OutOfBounds
from nearfield.sandbox.signature import Signature

if TYPE_CHECKING:
    from nearfield.sandbox.callpath.fast import FastLinked

RAW_FORMATS = {"i32": "I12x", "i64": "Q8x"}
# Assigning to these drops higher bits, so negative errnos and results need no mask.
RAW_RESULTS: dict[str, type[c_uint32] | type[c_uint64]] = {"i32": c_uint32, "i64": c_uint64}

_MEMORY = b"memory"


class FastFunction:
    """One exported function with its own values array. Its types were checked when the module was linked."""

    __slots__ = (
        "_api",
        "_arguments",
        "_context",
        "_extern",
        "_function",
        "_pack",
        "_result",
        "_slots",
        "_trap",
        "_values",
    )

    def __init__(self, api: CApi, context: int, extern: ctypes.Array[Any], signature: Signature) -> None:
        self._api = api
        self._context = context
        self._extern = extern
        self._function: int | None = addressof(extern) + api.extern_of
        self._slots = max(len(signature.params), len(signature.results))
        self._values = ctypes.create_string_buffer(max(self._slots, 1) * RAW_BYTES)
        self._arguments = addressof(self._values)
        self._pack = Struct("<" + "".join(RAW_FORMATS[kind] for kind in signature.params)).pack_into
        self._result = RAW_RESULTS[signature.results[0]].from_buffer(self._values) if signature.results else None
        self._trap = c_void_p()

    def __call__(self, *args: int) -> int:
        if self._function is None:
            raise Closed("function called after its sandbox was closed")
        self._pack(self._values, 0, *args)
        error = self._api.call(self._context, self._function, self._arguments, self._slots, addressof(self._trap))
        if error or self._trap.value:
            self._raise_failure(error)
        return 0 if self._result is None else self._result.value

    def invalidate(self) -> None:
        """The store is gone: refuse further calls."""
        self._function = None

    def _raise_failure(self, error: int | None) -> None:
        trap, self._trap.value = self._trap.value, None
        if trap:
            raise self._api.trapped(trap)
        assert error
        raise Trapped(None, self._api.error_text(error), ())


class FastMemory(GuestMemory):
    """The export `memory` of one instance."""

    __slots__ = ("_api", "_context", "_extern", "_linked", "_memory")

    def __init__(self, linked: FastLinked, context: int) -> None:
        self._api = linked.api
        self._linked: FastLinked | None = linked
        self._context = context
        self._extern = ctypes.create_string_buffer(linked.api.extern_bytes)
        self._memory: int | None = None

    def locate(self) -> tuple[int, int]:
        memory = self._memory
        if memory is None:
            memory = self._during_start()
        return self._api.memory_data(self._context, memory) or 0, self._api.memory_data_size(self._context, memory)

    def find(self, instance: int) -> None:
        """Take the memory of the instance at this address."""
        self._take(self._api.export_get(self._context, instance, _MEMORY, len(_MEMORY), addressof(self._extern)))

    def invalidate(self) -> None:
        """The store is gone: refuse further access."""
        self._memory = self._linked = None

    def _during_start(self) -> int:
        # A start function may call the host before `instantiate` has returned: ask its caller for the memory.
        caller = None if self._linked is None else self._linked.caller
        if caller is None:
            raise OutOfBounds
        self._take(self._api.caller_export_get(caller, _MEMORY, len(_MEMORY), addressof(self._extern)))
        if self._memory is None:
            raise OutOfBounds
        return self._memory

    def _take(self, found: bool) -> None:
        if found and self._extern.raw[0] == self._api.memory_kind:
            self._memory = addressof(self._extern) + self._api.extern_of


class FastSandbox:
    """A store and an instance, held by address."""

    def __init__(self, linked: FastLinked, limits: Limits, ticks: int) -> None:
        self._api = api = linked.api
        self._exports = linked.exports
        self._functions: dict[str, FastFunction] = {}
        self._instance = ctypes.create_string_buffer(api.instance_bytes)
        self._store: int | None = api.store_new(linked.engine, None, None)
        self._context: int = api.store_context(self._store)
        self._memory = linked.host.memory = FastMemory(linked, self._context)
        api.store_limiter(self._store, limits.memory_bytes, limits.table_elements, 1, MAX_TABLES, 1)
        api.set_epoch_deadline(self._context, ticks)
        try:
            self._instantiate(linked.template)
        except BaseException:
            self.close()
            raise

    @property
    def memory(self) -> FastMemory:
        return self._memory

    def function(self, name: str) -> FastFunction:
        found = self._functions.get(name)
        if found is None:
            found = self._functions[name] = self._look_up(name)
        return found

    def set_deadline(self, ticks: int) -> None:
        if self._store is None:
            raise Closed("deadline set after the sandbox was closed")
        self._api.set_epoch_deadline(self._context, ticks)

    def close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            self._memory.invalidate()
            for function in self._functions.values():
                function.invalidate()
            self._api.store_delete(store)

    def _instantiate(self, template: int) -> None:
        trap = c_void_p()
        error = self._api.instantiate(template, self._context, addressof(self._instance), addressof(trap))
        if trap.value:
            raise self._api.trapped(trap.value)
        if error:
            raise LinkFailed(self._api.error_text(error))
        self._memory.find(addressof(self._instance))

    def _look_up(self, name: str) -> FastFunction:
        if self._store is None:
            raise Closed(f"function `{name}` looked up after the sandbox was closed")
        encoded = name.encode()
        extern = ctypes.create_string_buffer(self._api.extern_bytes)
        instance = addressof(self._instance)
        found = self._api.export_get(self._context, instance, encoded, len(encoded), addressof(extern))
        if not found or extern.raw[0] != self._api.func_kind:
            raise KeyError(name)
        return FastFunction(self._api, self._context, extern, self._exports[name])
