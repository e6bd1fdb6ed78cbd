from __future__ import annotations

import struct

import pytest

from nearfield.errors import ConfigError, GuestAbiError, GuestFailed
from nearfield.sandbox.abi.bindgen_entry import Argument, Entry, choose_entry, entries, parse_entry
from nearfield.sandbox.shape import Extern, ModuleShape
from nearfield.sandbox.signature import Signature
from tests.unit.sandbox.abi.test_bindgen_values import ARRAYS, SCALARS

ENTRY = Signature.of("i32 i32 -> i32")


def shape(*names: str) -> ModuleShape:
    return ModuleShape((), {name: Extern("function", ENTRY) for name in names})


def test_the_only_candidate_is_the_entry() -> None:
    assert choose_entry(shape("classify"), None, ENTRY) == Entry("classify")


def test_infer_is_the_entry_among_several() -> None:
    assert choose_entry(shape("classify", "infer"), None, ENTRY) == Entry("infer")


def test_the_entry_asked_for_wins() -> None:
    assert choose_entry(shape("classify", "infer"), "classify", ENTRY) == Entry("classify")


def test_parameters_may_be_given_without_a_name() -> None:
    assert choose_entry(shape("classify"), "(u8, u16)", ENTRY) == Entry("classify", (1, 3))
    assert choose_entry(shape("classify", "infer"), "()", ENTRY) == Entry("infer", ())


def test_several_candidates_without_infer_are_named() -> None:
    with pytest.raises(GuestAbiError, match="got 2 candidates: `a`, `b`, expected one; name it as `entry`"):
        choose_entry(shape("b", "a"), None, ENTRY)


def test_an_entry_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match="entry: got `c`, expected one of `a`, `b`"):
        choose_entry(shape("b", "a"), "c(u8)", ENTRY)


def test_functions_of_the_runtime_are_no_candidates() -> None:
    """`deallocate` has the type of an entry before 0.4."""
    old = Signature.of("i32 i32 ->")
    module = ModuleShape((), {name: Extern("function", old) for name in ("deallocate", "infer")})
    assert list(entries(module, old)) == ["infer"]


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("infer", Entry("infer")),
        (" infer ", Entry("infer")),
        ("infer()", Entry("infer", ())),
        ("infer( )", Entry("infer", ())),
        ("resize(u32,u32, Vec< u8 >)", Entry("resize", (5, 5, 21))),
        ("a::b(String)", Entry("a::b", (31,))),
        ("", Entry("")),
    ],
)
def test_an_entry_is_read(text: str, entry: Entry) -> None:
    assert parse_entry(text) == entry


@pytest.mark.parametrize(("kind", "name", "_"), [*SCALARS, *ARRAYS])
def test_every_type_can_be_declared_and_is_shown_as_in_rust(kind: int, name: str, _: object) -> None:
    assert parse_entry(f"f({name})") == Entry("f", (kind,))
    assert str(parse_entry(f"f({name})")) == f"f({name})"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("infer(", "entry: got `infer(`, expected a form such as `infer` or `resize(u32, u32, Vec<u8>)`"),
        ("infer()()", "entry: got `infer()()`, expected a form"),
        ("infer(u8,)", "entry: got parameter type ``, expected one of u8, i8, u16"),
        ("infer(&str)", "entry: got parameter type `&str`, expected one of u8"),
        ("infer(Vec<f32>)", "entry: got parameter type `Vec<f32>`"),
        ("infer(String, Vec<u8>)", "entry: got parameters String, Vec<u8>, expected at most one without a fixed size"),
    ],
)
def test_what_is_no_entry_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_entry(text)
    assert caught.value.what.startswith(message)


def test_without_parameters_the_payload_is_the_argument() -> None:
    assert Entry("f").arguments(b"abc") == [Argument(b"abc", 3)]


@pytest.mark.parametrize(("kind", "name", "content"), SCALARS)
def test_a_scalar_counts_as_one_whatever_its_width(kind: int, name: str, content: bytes) -> None:
    assert Entry("f", (kind,)).arguments(content) == [Argument(content, 1)]
    for wrong in (content[:-1], content + b"\0"):
        with pytest.raises(GuestFailed, match=f"payload: got {len(wrong)} bytes, expected {len(content)} for"):
            Entry("f", (kind,)).arguments(wrong)


@pytest.mark.parametrize(("kind", "name", "width"), ARRAYS)
def test_an_array_counts_its_elements(kind: int, name: str, width: int) -> None:
    for elements in range(4):
        content = b"a" * width * elements
        assert Entry("f", (kind,)).arguments(content) == [Argument(content, elements)]


@pytest.mark.parametrize(("kind", "name", "width"), [array for array in ARRAYS if array[2] > 1])
def test_half_an_element_is_refused(kind: int, name: str, width: int) -> None:
    with pytest.raises(GuestFailed, match=f"payload: got 1 bytes, expected 0 and a multiple of {width} more for"):
        Entry("f", (kind,)).arguments(b"a")


def test_the_array_gets_what_the_scalars_leave() -> None:
    payload = struct.pack("<IH", 640, 480) + b"pixels" + struct.pack("<?d", True, 0.5)
    assert Entry("f", (5, 3, 21, 11, 10)).arguments(payload) == [
        Argument(struct.pack("<I", 640), 1),
        Argument(struct.pack("<H", 480), 1),
        Argument(b"pixels", 6),
        Argument(b"\1", 1),
        Argument(struct.pack("<d", 0.5), 1),
    ]


@pytest.mark.parametrize(
    ("kind", "content"), [(11, b"\2"), (12, b"\xff\xff\xff\xff"), (12, b"\0\xd8\0\0"), (31, b"a\xff")]
)
def test_bytes_that_would_be_no_value_in_rust_never_reach_the_guest(kind: int, content: bytes) -> None:
    with pytest.raises(GuestFailed, match=r"payload: got .* from byte 0 on, expected a valid"):
        Entry("f", (kind,)).arguments(content)
