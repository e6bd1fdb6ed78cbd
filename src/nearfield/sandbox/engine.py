"""The one wasmtime engine of this process, and the clock that ends calls which run too long."""

from __future__ import annotations

import functools
import importlib.metadata
import threading
import time

from wasmtime import Config, Engine

# Resolution of deadlines: a call ends at most one tick late. 200 wake-ups a second cost about 0.2 % of a core, and
# only while guests run.
TICK_S = 0.005

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
    """Advances the engine's epoch by wall-clock time while some guest runs. One daemon thread, started on first use.

    The thread sleeps without waking up while no guest runs, and does not keep the process alive.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._wanted = threading.Event()
        self._busy_until_s = 0.0
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def arm(self, seconds: float) -> int:
        """Keep ticking for at least `seconds`, and say how many ticks a deadline that far away is.

        The count is rounded up, so that no call ends before its deadline.
        """
        until_s = time.monotonic() + seconds + 10 * TICK_S
        if until_s > self._busy_until_s:
            self._busy_until_s = until_s
        if not self._wanted.is_set():
            self._wanted.set()
        if self._thread is None:
            self._start()
        return int(seconds / TICK_S) + 2

    @property
    def is_running(self) -> bool:
        """Whether the epoch moves at present."""
        return self._wanted.is_set()

    def _start(self) -> None:
        with self._start_lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nearfield-wasm-epoch", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            last_s = time.monotonic()
            while last_s < self._busy_until_s:
                time.sleep(TICK_S)
                ticks, last_s = ticks_due(last_s, time.monotonic())
                for _ in range(ticks):
                    self._engine.increment_epoch()
            self._wanted.clear()
            # `arm` writes the time before it looks at the event, so one of the two sees the other.
            if time.monotonic() < self._busy_until_s:
                self._wanted.set()


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
