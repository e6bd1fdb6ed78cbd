"""What both ways to reach wasmtime promise (`callpath/contract.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import wasmtime
from wasmtime import TrapCode

from nearfield.sandbox.callpath import (
    CallPath,
    FastPath,
    HostImport,
    Linked,
    LinkFailed,
    OrdinaryPath,
    Trapped,
    call_path,
)
from nearfield.sandbox.callpath.contract import Closed
from nearfield.sandbox.engine import engine, ticker
from nearfield.sandbox.host import NoMemory
from nearfield.sandbox.limits import Limits
from nearfield.sandbox.memory import GuestMemory, OutOfBounds
from nearfield.sandbox.signature import Signature

MIX = Signature.of("i32 i64 -> i64")
FAULT = 77


class Side:
    """Records what reaches the host's side."""

    def __init__(self) -> None:
        self.memory: GuestMemory = NoMemory()
        self.seen: list[tuple[int, ...]] = []
        self.stopped: list[BaseException] = []

    def stop(self, reason: BaseException) -> None:
        self.stopped.append(reason)


Link = Callable[..., tuple[Linked, Side]]


@pytest.fixture(params=["fast", "ordinary"])
def path(request: pytest.FixtureRequest) -> CallPath:
    fast = FastPath.create()
    assert fast is not None
    return fast if request.param == "fast" else OrdinaryPath()


@pytest.fixture
def link(path: CallPath) -> Iterator[Link]:
    made: list[Linked] = []

    def make(text: str, exports: dict[str, str], imports: Sequence[HostImport] = ()) -> tuple[Linked, Side]:
        side = Side()
        module = wasmtime.Module(engine(), wasmtime.wat2wasm(text))
        signatures = {name: Signature.of(signature) for name, signature in exports.items()}
        made.append(path.link(module, imports, signatures, side))
        return made[-1], side

    yield make
    for linked in made:
        linked.close()


def ticks() -> int:
    return ticker().arm(5.0)


def answering(body: Callable[..., int | None], signature: Signature = MIX) -> HostImport:
    return HostImport("host", "f", signature, body, FAULT)


THROUGH = """(module
  (import "host" "f" (func $f (param i32 i64) (result i64)))
  (memory (export "memory") 1)
  (func (export "go") (param i32 i64) (result i64) (call $f (local.get 0) (local.get 1))))"""


@pytest.mark.parametrize("small", [0, 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("large", [0, 1, 2**63, 2**64 - 1])
def test_integers_pass_unsigned_both_ways(link: Link, small: int, large: int) -> None:
    def body(side: Side, a: int, b: int) -> int:
        side.seen.append((a, b))
        return b

    linked, side = link(THROUGH, {"go": "i32 i64 -> i64"}, [answering(body)])
    sandbox = linked.instantiate(Limits(), ticks())
    assert sandbox.function("go")(small, large) == large
    assert side.seen == [(small, large)]
    sandbox.close()


@pytest.mark.parametrize(("returned", "received"), [(-1, 2**64 - 1), (None, 0), (2**64, 0)])
def test_results_of_the_host_are_cut_to_their_width(link: Link, returned: int | None, received: int) -> None:
    linked, _ = link(THROUGH, {"go": "i32 i64 -> i64"}, [answering(lambda *_: returned)])
    sandbox = linked.instantiate(Limits(), ticks())
    assert sandbox.function("go")(0, 0) == received
    sandbox.close()


def test_a_function_may_be_called_again_and_again(link: Link) -> None:
    linked, _ = link(
        """(module (func (export "nop"))
        (func (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2))))""",
        {"double": "i32 -> i32", "nop": "->"},
    )
    sandbox = linked.instantiate(Limits(), ticks())
    double, nop = sandbox.function("double"), sandbox.function("nop")
    assert [double(number) for number in range(100)] == [2 * number for number in range(100)]
    assert nop() == 0
    sandbox.close()


@pytest.mark.parametrize("reason", [ValueError("a defect"), KeyboardInterrupt(), SystemExit(3), MemoryError()])
def test_no_exception_crosses_the_guest(link: Link, reason: BaseException) -> None:
    def body(*_: object) -> int:
        raise reason

    linked, side = link(THROUGH, {"go": "i32 i64 -> i64"}, [answering(body)])
    sandbox = linked.instantiate(Limits(), ticks())
    with pytest.raises(Trapped):
        sandbox.function("go")(0, 0)
    assert side.stopped == [reason]
    sandbox.close()


def test_a_pointer_outside_memory_is_the_functions_own_errno(link: Link) -> None:
    def body(*_: object) -> int:
        raise OutOfBounds

    linked, side = link(THROUGH, {"go": "i32 i64 -> i64"}, [answering(body)])
    sandbox = linked.instantiate(Limits(), ticks())
    assert sandbox.function("go")(0, 0) == FAULT
    assert side.stopped == []
    sandbox.close()


def test_a_host_function_without_result_may_fault(link: Link) -> None:
    def body(*_: object) -> None:
        raise OutOfBounds

    linked, _ = link(
        '(module (import "host" "f" (func $f)) (func (export "go") (call $f)))',
        {"go": "->"},
        [answering(body, Signature.of("->"))],
    )
    sandbox = linked.instantiate(Limits(), ticks())
    assert sandbox.function("go")() == 0
    sandbox.close()


def test_traps_tell_kind_and_place(link: Link) -> None:
    linked, _ = link('(module (func $inner unreachable) (func $go (export "go") (call $inner)))', {"go": "->"})
    sandbox = linked.instantiate(Limits(), ticks())
    with pytest.raises(Trapped) as caught:
        sandbox.function("go")()
    assert caught.value.code is TrapCode.UNREACHABLE
    assert caught.value.functions == ("inner", "go")
    assert "unreachable" in caught.value.message
    sandbox.close()


def test_the_deadline_covers_the_start_function(link: Link) -> None:
    linked, _ = link("(module (start $s) (func $s (loop (br 0))))", {})
    with pytest.raises(Trapped) as caught:
        linked.instantiate(Limits(), ticker().arm(0.02))
    assert caught.value.code is TrapCode.INTERRUPT


def test_a_deadline_may_be_set_anew(link: Link) -> None:
    linked, _ = link('(module (func (export "spin") (loop (br 0))) (func (export "nop")))', {"spin": "->", "nop": "->"})
    sandbox = linked.instantiate(Limits(), ticks())
    sandbox.set_deadline(ticker().arm(0.02))
    with pytest.raises(Trapped):
        sandbox.function("spin")()
    sandbox.set_deadline(ticks())
    sandbox.function("nop")()
    sandbox.close()


def test_memory_is_reachable_from_a_start_function(link: Link) -> None:
    def body(side: Side, pointer: int, _: int) -> int:
        return int.from_bytes(side.memory.read(pointer, 1), "little")

    linked, _ = link(
        """(module (import "host" "f" (func $f (param i32 i64) (result i64)))
        (memory (export "memory") 1) (data (i32.const 5) "\\2a") (global $g (mut i64) (i64.const 0)) (start $s)
        (func $s (global.set $g (call $f (i32.const 5) (i64.const 0))))
        (func (export "go") (result i64) (global.get $g)))""",
        {"go": "-> i64"},
        [answering(body)],
    )
    sandbox = linked.instantiate(Limits(), ticks())
    assert sandbox.function("go")() == 42
    sandbox.close()


@pytest.mark.parametrize("memory", ["", "(memory 1)", '(global (export "memory") i32 (i32.const 0))'])
def test_a_module_without_exported_memory_has_none(link: Link, memory: str) -> None:
    linked, side = link(f'(module {memory} (func (export "nop")))', {"nop": "->"})
    sandbox = linked.instantiate(Limits(), ticks())
    for reachable in (sandbox.memory, side.memory):
        with pytest.raises(OutOfBounds):
            reachable.read(0, 0)
    sandbox.close()


GROWING = """(module (memory (export "memory") 1)
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"""


def test_memory_follows_growth(link: Link) -> None:
    linked, _ = link(GROWING, {"grow": "i32 -> i32"})
    sandbox = linked.instantiate(Limits(), ticks())
    with pytest.raises(OutOfBounds):
        sandbox.memory.read(65536, 1)
    assert sandbox.function("grow")(1000) == 1
    sandbox.memory.write(65_000_000, b"x")
    assert (sandbox.memory.read(65_000_000, 1), sandbox.memory.size) == (b"x", 1001 * 65536)
    sandbox.close()


def test_growth_ends_at_the_limit(link: Link) -> None:
    linked, _ = link(GROWING, {"grow": "i32 -> i32"})
    sandbox = linked.instantiate(Limits(memory_bytes=4 * 65536), ticks())
    assert sandbox.function("grow")(4) == 2**32 - 1
    assert sandbox.function("grow")(3) == 1
    sandbox.close()


@pytest.mark.parametrize(
    "module", ["(module (memory 100))", "(module (table 100 funcref))", "(module" + "(table 1 funcref)" * 5 + ")"]
)
def test_a_minimum_above_the_limit_cannot_be_instantiated(link: Link, module: str) -> None:
    linked, _ = link(module, {})
    with pytest.raises(LinkFailed, match="exceed"):
        linked.instantiate(Limits(memory_bytes=65536, table_elements=10), ticks())


def test_an_unanswered_import_cannot_be_linked(link: Link) -> None:
    with pytest.raises(LinkFailed, match="host::f"):
        link(THROUGH, {})


def test_instances_share_nothing(link: Link) -> None:
    linked, _ = link(
        """(module (memory (export "memory") 1) (global $g (mut i32) (i32.const 0))
        (func (export "next") (result i32) (global.set $g (i32.add (global.get $g) (i32.const 1))) (global.get $g)))""",
        {"next": "-> i32"},
    )
    one, two = (linked.instantiate(Limits(), ticks()) for _ in range(2))
    one.memory.write(0, b"x")
    assert [one.function("next")(), one.function("next")(), two.function("next")()] == [1, 2, 1]
    assert two.memory.read(0, 1) == b"\0"
    one.close()
    assert two.function("next")() == 2
    two.close()


def test_after_close_everything_refuses(link: Link) -> None:
    linked, _ = link('(module (memory (export "memory") 1) (func (export "nop")))', {"nop": "->"})
    sandbox = linked.instantiate(Limits(), ticks())
    nop, memory = sandbox.function("nop"), sandbox.memory
    sandbox.close()
    sandbox.close()
    with pytest.raises(Closed):
        nop()
    with pytest.raises(Closed):
        sandbox.set_deadline(1)
    with pytest.raises(OutOfBounds):
        memory.read(0, 0)


def test_a_name_that_is_no_function_is_a_key_error(link: Link) -> None:
    linked, _ = link('(module (memory (export "memory") 1))', {"memory": "->", "nothing": "->"})
    sandbox = linked.instantiate(Limits(), ticks())
    for name in ("memory", "nothing"):
        with pytest.raises(KeyError):
            sandbox.function(name)
    sandbox.close()


# Which path -----------------------------------------------------------------------------------------------------------


def test_this_wheel_allows_the_fast_path() -> None:
    assert call_path().name == "fast"


@pytest.mark.parametrize("missing", ["wasmtime_val_raw_t", "wasmtime_instance_t", "WASMTIME_EXTERN_FUNC", "dll"])
def test_a_wheel_of_another_shape_falls_back(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    from wasmtime import _ffi

    monkeypatch.delattr(_ffi, missing)
    assert FastPath.create() is None


def test_a_wheel_without_the_function_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from wasmtime import _ffi

    from nearfield.sandbox.callpath import capi

    monkeypatch.setattr(capi, "_prototype", lambda library, name, *_: library[name + "_of_another_version"])
    assert _ffi.dll is not None
    assert FastPath.create() is None


def test_a_wheel_with_other_sizes_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from nearfield.sandbox.callpath import capi

    monkeypatch.setattr(capi, "RAW_BYTES", 24)
    assert FastPath.create() is None
