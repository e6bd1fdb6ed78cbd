"""Keys, names and tags: what is written is read back; any text gives one of them or the one named error."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from nearfield.errors import RemoteProtocolError, UsageError
from nearfield.frame import MAX_TAG, check_name, format_tag, is_name, keys, name_from, parse_tag
from nearfield.transport import Address, parse_address

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}", fullmatch=True)
TAGS = st.integers(0, MAX_TAG)
SEGMENTS = (
    NAMES | st.sampled_from(["*", "**", "$*", "@a", "", "frames", "nearfield", "16", "0x10"]) | st.text(max_size=5)
)


@given(NAMES, TAGS, NAMES, NAMES, st.just(keys.SOURCE) | NAMES)
def test_frame_key_is_read_back_as_it_was_written(namespace: str, tag: int, zipper: str, origin: str, by: str) -> None:
    key = keys.FrameKey(namespace, tag, zipper, origin, by)
    assert keys.parse_frame_key(str(key)) == key
    assert key.is_emitted == (by != keys.SOURCE)
    assert keys.origin_in(str(key)) == origin
    assert keys.tag_in(str(key)) == str(tag)


@given(st.text(max_size=40) | st.lists(SEGMENTS, max_size=8).map("/".join))
def test_any_text_may_be_asked_for_tag_and_origin(text: str) -> None:
    assert keys.tag_in(text) in ["", *text.split("/")]
    assert keys.origin_in(text) in ["", *text.split("/")]


@given(NAMES, NAMES)
def test_instance_is_read_back_from_the_keys_that_end_with_it(function: str, instance: str) -> None:
    qualified = keys.qualified(function, instance)
    for key in (keys.dispatch, keys.reports, keys.alive):
        assert keys.qualified_in(key("default", "z", qualified)) == qualified


@given(st.text(max_size=40) | st.lists(SEGMENTS, max_size=8).map("/".join))
def test_any_text_ends_with_an_instance_or_is_refused_by_name(text: str) -> None:
    try:
        qualified = keys.qualified_in(text)
    except RemoteProtocolError as error:
        assert str(error).startswith("key: got ")
    else:
        assert text == qualified or text.endswith(f"/{qualified}")


@given(st.text(max_size=80) | st.lists(SEGMENTS, max_size=8).map("/".join))
@example("nearfield/default/frames/" + "9" * 5000 + "/z/o/-")
def test_any_text_is_a_frame_key_or_refused_by_name(text: str) -> None:
    try:
        key = keys.parse_frame_key(text)
    except RemoteProtocolError as error:
        assert str(error).startswith("key: got ")
        assert len(str(error)) < 400
    else:
        assert str(key) == text
        assert not set("*$?#@") & set(text)


@given(NAMES)
def test_well_formed_name_is_accepted_as_it_is(name: str) -> None:
    assert is_name(name)
    assert check_name("source", name) == name
    assert name_from(name).rstrip("-.") == name.rstrip("-.")


@given(st.text(max_size=100))
@example("-" * 100)
@example("ü" * 70)
@example("a\n")
def test_every_text_gives_a_well_formed_name(text: str) -> None:
    assert is_name(name_from(text))


@given(TAGS)
def test_tag_is_read_back_however_it_was_written(tag: int) -> None:
    assert parse_tag(format_tag(tag)) == tag
    assert parse_tag(str(tag)) == tag
    assert parse_tag(tag) == tag


@given(st.text(max_size=20) | st.integers())
@example("9" * 5000)
def test_anything_is_a_tag_or_refused_by_name(value: str | int) -> None:
    try:
        assert 0 <= parse_tag(value) <= MAX_TAG
    except UsageError as error:
        assert "expected a tag from 0 to 4294967295" in str(error)


@given(NAMES | st.from_regex(r"\[[0-9a-f:]{2,20}\]", fullmatch=True), st.integers(1, 65535))
def test_address_is_read_back_as_it_was_written(host: str, port: int) -> None:
    address = parse_address(f"{host}:{port}")
    assert address.port == port
    assert parse_address(str(address)) == address
    assert parse_address(address.quic) == address


@given(
    st.text(max_size=30) | st.lists(st.sampled_from(["[", "]", ":", "a", "1", "/", "quic"]), max_size=8).map("".join)
)
@example("localhost:" + "9" * 5000)
def test_any_text_is_an_address_or_refused_by_name(text: str) -> None:
    try:
        address = parse_address(text)
    except UsageError as error:
        assert str(error).startswith("address: got ")
    else:
        assert isinstance(address, Address)
        assert 1 <= address.port <= 65535
        assert parse_address(str(address)) == address
