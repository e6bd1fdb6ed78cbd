"""What holds for every guest, whatever ABI it speaks, on both ways to call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nearfield.errors import (
    ConfigError,
    GuestError,
    GuestFailed,
    GuestMemoryExceeded,
    GuestOutputExceeded,
    GuestTimeout,
    GuestTrapped,
)
from nearfield.inference import ModelStore
from nearfield.sandbox import Emission, Guest, Invocation, Limits, inspect_guest
from nearfield.sandbox.abi import ABIS
from nearfield.sandbox.callpath import CallPath, FastPath, OrdinaryPath
from tests.conformance.sandbox.abi.dialects import (
    BOMB,
    COUNT,
    DIALECTS,
    ECHO,
    FAIL,
    FLOOD,
    FLOOD_PIECE,
    FLOOD_PIECES,
    LOOP,
    REASON,
    TAG,
    TRAP,
    Dialect,
)
from tests.unit.sandbox.kit import ROOT, load, write

LIMITS = Limits(deadline_s=0.5, memory_bytes=4 * 1024 * 1024)

LoadGuest = Callable[..., Guest]


@pytest.fixture(params=DIALECTS, ids=lambda dialect: dialect.name)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    chosen: Dialect = request.param
    return chosen


@pytest.fixture(params=["fast", "ordinary"])
def via(request: pytest.FixtureRequest) -> CallPath:
    fast = FastPath.create()
    assert fast is not None
    return fast if request.param == "fast" else OrdinaryPath()


@pytest.fixture
def guest(tmp_path: Path, via: CallPath, dialect: Dialect) -> Iterator[LoadGuest]:
    loaded = []

    def make(tag: int = TAG, **options: Any) -> Guest:
        given = {"limits": LIMITS, "via": via, "result_tag": tag, **options}
        loaded.append(load(tmp_path, dialect.module(tag), **given))
        return loaded[-1]

    yield make
    for one in loaded:
        one.close()


def frame(payload: bytes) -> Invocation:
    return Invocation(0x10, payload, "cam-1", 7, 0)


def assert_works(guest: Guest) -> None:
    """The next frame is handled as if nothing had been."""
    assert guest.handle(frame(ECHO + b"cho")).emissions == (Emission(TAG, b"echo"),)


def policies(dialect: Dialect) -> list[str]:
    return ["frame", "worker"] if dialect.has_state else ["frame"]


def test_every_abi_has_a_guest_here() -> None:
    assert [dialect.name for dialect in DIALECTS] == [abi.name for abi in ABIS]


@pytest.mark.parametrize("size", [0, 1, 4, 2048, 2049, 60_000, 150_000])
def test_the_payload_goes_in_and_the_result_comes_out(guest: LoadGuest, dialect: Dialect, size: int) -> None:
    for policy in policies(dialect):
        echo = guest(instance=policy)
        assert (echo.abi, echo.observes) == (dialect.name, dialect.observes)
        payload = (ECHO * size)[:size]
        for _ in range(3):
            outcome = echo.handle(frame(payload))
            assert outcome.emissions == ((Emission(TAG, payload),) if size else ())
            assert (outcome.refused_emits, outcome.logs) == (0, ())


def test_a_failure_has_a_reason_and_the_next_frame_works(guest: LoadGuest, dialect: Dialect) -> None:
    for policy in policies(dialect):
        failing = guest(instance=policy)
        for _ in range(3):
            with pytest.raises(
                (GuestFailed, GuestTrapped), match=f"function `f`: .*{REASON.decode()}.*, frame cam-1/7"
            ):
                failing.handle(frame(FAIL))
            assert_works(failing)


def test_a_trap_ends_one_frame_only(guest: LoadGuest, dialect: Dialect) -> None:
    for policy in policies(dialect):
        trapping = guest(instance=policy)
        for _ in range(3):
            with pytest.raises(GuestTrapped, match="function `f`: guest trapped: unreachable code reached"):
                trapping.handle(frame(TRAP))
            assert_works(trapping)


def test_an_endless_loop_ends_at_the_deadline(guest: LoadGuest) -> None:
    looping = guest(limits=Limits(deadline_s=0.05))
    with pytest.raises(GuestTimeout, match=r"function `f`: used up its deadline of 0\.05 s"):
        looping.handle(frame(LOOP))
    assert_works(looping)


def test_a_memory_bomb_ends_at_the_limit(guest: LoadGuest, dialect: Dialect) -> None:
    for policy in policies(dialect):
        bomb = guest(instance=policy)
        for _ in range(2):
            with pytest.raises(GuestMemoryExceeded, match="wanted more memory than its limit of 4194304 bytes"):
                bomb.handle(frame(BOMB))
            assert_works(bomb)


def test_output_never_exceeds_its_limit(guest: LoadGuest) -> None:
    """Where the guest can be told, it is; else the frame fails."""
    flooding = guest(limits=Limits(output_bytes=10 * FLOOD_PIECE))
    try:
        outcome = flooding.handle(frame(FLOOD))
    except GuestOutputExceeded as exc:
        assert "10240 bytes" in exc.what
    else:
        assert sum(len(emission.payload) for emission in outcome.emissions) == 10 * FLOOD_PIECE
        assert outcome.refused_emits == FLOOD_PIECES - 10
    assert_works(flooding)


def test_all_output_within_the_limit_comes_out(guest: LoadGuest) -> None:
    outcome = guest(limits=Limits(output_bytes=FLOOD_PIECES * FLOOD_PIECE)).handle(frame(FLOOD))
    assert sum(len(emission.payload) for emission in outcome.emissions) == FLOOD_PIECES * FLOOD_PIECE
    assert outcome.refused_emits == 0


@pytest.mark.parametrize(("tag", "emit"), [(0x11, frozenset({0x12})), (0xF000, None), (0xFFFF, None)])
def test_a_tag_that_may_not_be_emitted_is_refused(
    guest: LoadGuest, dialect: Dialect, tag: int, emit: frozenset[int] | None
) -> None:
    if dialect.chooses_tags:
        outcome = guest(tag, emit=emit).handle(frame(ECHO))
        assert (outcome.emissions, outcome.refused_emits) == ((), 1)
    else:
        with pytest.raises(ConfigError, match=f"result tag: got {tag:#x}, expected a tag that the function may emit"):
            guest(tag, emit=emit)


def test_state_does_not_leak_between_frames(guest: LoadGuest) -> None:
    counting = guest(instance="frame")
    for _ in range(3):
        assert counting.handle(frame(COUNT)).emissions == (Emission(TAG, b"\1\1"),)


def test_a_worker_instance_keeps_its_state_until_it_traps(guest: LoadGuest, dialect: Dialect) -> None:
    if not dialect.has_state:
        with pytest.raises(ConfigError, match="instance: got `worker`, expected `frame`: a WASI command ends"):
            guest(instance="worker")
        return
    counting = guest(instance="worker")
    for expected in (b"\1\1", b"\2\2", b"\3\3"):
        assert counting.handle(frame(COUNT)).emissions == (Emission(TAG, expected),)
    with pytest.raises(GuestTrapped):
        counting.handle(frame(TRAP))
    assert counting.handle(frame(COUNT)).emissions == (Emission(TAG, b"\1\1"),)


def test_a_failed_frame_emits_nothing_later(guest: LoadGuest) -> None:
    one = guest()
    with pytest.raises(GuestError):
        one.handle(frame(FAIL))
    assert one.handle(frame(b"")).emissions == ()


def test_inspection_says_that_it_would_run(tmp_path: Path, dialect: Dialect) -> None:
    report = inspect_guest(write(tmp_path, dialect.module(TAG)))
    assert (report.abi, report.would_run, report.why_not) == (dialect.name, True, None)
    assert [name for name, why in report.abis_tried if why is None] == [dialect.name]


# Guests as compilers make them ----------------------------------------------------------------------------------------

REAL = {
    "uppercase": "nearfield-v1",
    "yomo-upper": "yomo",
    "bindgen-upper": "wasmedge-bindgen-0.4",
    "bindgen-imports-upper": "wasmedge-bindgen-0.1",
    "wasi-upper-c": "wasi-command",
    "wasi-upper-rust": "wasi-command",
    "wasi-upper-go": "wasi-command",
}
COMPLAINS = [name for name in REAL if name != "uppercase"]

# The Go runtime takes long to compile, and wants some memory of its own.
ROOMY = Limits(deadline_s=10.0, memory_bytes=64 * 1024 * 1024)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled modules, shared by the tests below."""
    path = tmp_path_factory.mktemp("modules")
    path.chmod(0o700)
    return path


def load_real(name: str, compiled: Path, **options: Any) -> Guest:
    path = ROOT / "guests" / name / f"{name}.wasm"
    if not path.exists():
        pytest.skip(f"guests/{name}/{name}.wasm is not built")
    given: dict[str, Any] = {"limits": ROOMY, "result_tag": TAG, "cache_dir": compiled, **options}
    return Guest.load(path, name="upper", models=ModelStore({}), **given)


@pytest.mark.parametrize("name", REAL)
def test_an_unmodified_guest_handles_frames(name: str, compiled: Path, via: CallPath) -> None:
    for policy in ("frame",) if REAL[name] == "wasi-command" else ("frame", "worker"):
        with_policy = load_real(name, compiled, via=via, instance=policy)
        assert with_policy.abi == REAL[name]
        for text in (b"hello", b"x" * 50_000, b"gr\xfc\xdf", b"\0\xff", b"hello again"):
            assert with_policy.handle(frame(text)).emissions == (Emission(TAG, text.upper()),)
        with_policy.close()


@pytest.mark.parametrize("name", COMPLAINS)
def test_an_unmodified_guest_that_complains_is_heard(name: str, compiled: Path, via: CallPath) -> None:
    guest = load_real(name, compiled, via=via)
    for _ in range(2):
        with pytest.raises(
            (GuestFailed, GuestTrapped), match=r"function `upper`: .*payload: got 0 bytes, expected some"
        ):
            guest.handle(frame(b""))
        assert guest.handle(frame(b"a")).emissions == (Emission(TAG, b"A"),)
    guest.close()
