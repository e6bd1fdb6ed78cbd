"""The one wasmtime engine of this process, and the clock that ends calls which run too long."""

from __future__ import annotations

import functools
import importlib.metadata
import math
import threading
import time

from wasmtime import Config, Engine

# Resolution of deadlines: a call ends a few ticks late at most.
TICK_S = 0.005

# The epoch is never further behind, so that catching up is a matter of microseconds. A thread that woke for every tick
# cost 0.3 ms for each frame of 28 ms, and held the interpreter lock when host functions wanted it.
_LONGEST_SLEEP_S = 0.25

# After a pause (suspended machine, stopped process) at most this many ticks are caught up in one go.
_MOST_TICKS_AT_ONCE = 20_000

# A guest runs on the native stack of the thread that calls it. glibc gives threads 8 MiB; one with a stack of less than
# 2 MiB must not run guests, because host functions need room below the guest.
MAX_WASM_STACK_BYTES = 1024 * 1024

# Everything here is part of the key of the compile cache. On: what Rust, Zig, clang and TinyGo emit today. Off: what
# needs another kind of host (threads, memory64, components), or widens the attack surface for no guest that we know.
SETTINGS: dict[str, bool | int | str] = {
    "wasm_bulk_memory": True,
    "wasm_multi_value": True,
    "wasm_reference_types": True,
    "wasm_simd": True,
    "wasm_relaxed_simd": False,
    "wasm_tail_call": False,
    "wasm_threads": False,
    "shared_memory": False,
    "wasm_multi_memory": False,
    "wasm_memory64": False,
    "wasm_function_references": False,
    "wasm_gc": False,
    "gc_support": False,
    "wasm_exceptions": False,
    "wasm_stack_switching": False,
    "wasm_wide_arithmetic": False,
    "wasm_custom_page_sizes": False,
    "wasm_component_model": False,
    "epoch_interruption": True,
    "max_wasm_stack": MAX_WASM_STACK_BYTES,
    "memory_init_cow": True,
    "cranelift_opt_level": "speed",
    "parallel_compilation": True,
}


@functools.cache
def wasmtime_version() -> str:
    """Version of the installed wheel; compiled code of another version is never loaded."""
    return importlib.metadata.version("wasmtime")


def fingerprint() -> str:
    """Engine settings and version as one line, the same for engines that can run each other's compiled code."""
    settings = ",".join(f"{name}={value}" for name, value in sorted(SETTINGS.items()))
    return f"wasmtime {wasmtime_version()}; {settings}"


def ticks_due(last_s: float, now_s: float) -> tuple[int, float]:
    """How many ticks the epoch is behind the clock, and the time up to which it then stands. Pure.

    Other threads may hold the interpreter lock for longer than a tick: the epoch follows the clock, not the wake-ups.
    """
    ticks = int((now_s - last_s) / TICK_S)
    if ticks > _MOST_TICKS_AT_ONCE:
        return _MOST_TICKS_AT_ONCE, now_s
    return ticks, last_s + ticks * TICK_S


class Ticker:
    """Keeps the engine's epoch up with the clock while guests run. One daemon thread, started on first use.

    The epoch need not move all the time: whoever arms a deadline first brings it up to the present, and the thread does
    so again when a deadline is due. It sleeps in between, and does not keep the process alive.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_running = False
        #: When the call of each thread that runs one is due.
        self._due_s: dict[int, float] = {}
        self._wakes_s = 0.0
        #: The moment that the epoch stands for.
        self._stands_s = 0.0

    def arm(self, seconds: float) -> int:
        """See to it that a deadline so far away takes effect, and say how many ticks of the epoch it is.

        It is looked after until this thread calls `disarm`. A thread runs one guest at a time: its next deadline
        replaces the one before. The count is rounded up, so that no call ends before its deadline.
        """
        with self._changed:
            now_s = time.monotonic()
            if self._is_running:
                self._catch_up(now_s)
            else:
                self._is_running, self._stands_s, self._wakes_s = True, now_s, math.inf
            due_s = now_s + seconds + 2 * TICK_S
            self._due_s[threading.get_ident()] = due_s
            if due_s < self._wakes_s:
                self._wakes_s = due_s
                self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nearfield-wasm-epoch", daemon=True)
                self._thread.start()
        return int(seconds / TICK_S) + 2

    def disarm(self) -> None:
        """This thread's call has ended. Idempotent."""
        with self._changed:
            self._due_s.pop(threading.get_ident(), None)

    @property
    def is_running(self) -> bool:
        """Whether the thread looks after deadlines at present."""
        return self._is_running

    def _run(self) -> None:
        with self._changed:
            while True:
                if not self._due_s:
                    self._is_running = False
                    self._changed.wait()
                    continue
                now_s = time.monotonic()
                self._catch_up(now_s)
                # The ticks of a call are counted from some moment after `arm`, however busy the machine is: while one
                # that is due still runs, the epoch goes on tick by tick.
                next_s = min(due_s if due_s > now_s else now_s + TICK_S for due_s in self._due_s.values())
                self._wakes_s = min(next_s, now_s + _LONGEST_SLEEP_S)
                self._changed.wait(self._wakes_s - now_s)

    def _catch_up(self, now_s: float) -> None:
        ticks, self._stands_s = ticks_due(self._stands_s, now_s)
        for _ in range(ticks):
            self._engine.increment_epoch()


_lock = threading.Lock()
_engine: Engine | None = None
_ticker: Ticker | None = None


def engine() -> Engine:
    """The process's engine, made on first use.

    There is exactly one: a function type of one engine used with another aborts the whole process (measured with
    wasmtime 50.0.1).
    """
    global _engine
    with _lock:
        if _engine is None:
            _engine = _make_engine()
        return _engine


def ticker() -> Ticker:
    """The ticker of the process's engine."""
    global _ticker
    made = engine()
    with _lock:
        if _ticker is None:
            _ticker = Ticker(made)
        return _ticker


def _make_engine() -> Engine:
    config = Config()
    for name, value in SETTINGS.items():
        setattr(config, name, value)
    return Engine(config)
