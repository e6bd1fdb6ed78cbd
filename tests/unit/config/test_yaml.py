"""The YAML reader: scalars of YAML 1.2, lines of every value, and what is refused."""

from __future__ import annotations

import pytest

from nearfield.config.yaml import MAX_ALIASES, MAX_BYTES, YamlRefused, read_yaml


def refusal(text: str | bytes) -> str:
    with pytest.raises(YamlRefused) as caught:
        read_yaml(text if isinstance(text, bytes) else text.encode())
    return caught.value.finding.located("w.yaml")


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("true", True),
        ("false", False),
        ("True", "True"),
        ("yes", "yes"),
        ("on", "on"),
        ("n", "n"),
        ("", None),
        ("~", None),
        ("null", None),
        ("Null", "Null"),
        ("12", 12),
        ("-3", -3),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2026-01-02", "2026-01-02"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.2.3", "1.2.3"),
        ("'12'", "12"),
        ('"true"', "true"),
        ('""', ""),
        ("=", "="),
    ],
)
def test_scalar_means_what_yaml_1_2_says(scalar: str, value: object) -> None:
    data = read_yaml(f"key: {scalar}".encode()).data
    assert data == {"key": value}
    assert type(data["key"]) is type(value)


def test_every_value_knows_its_line() -> None:
    text = "# comment\nname: a\n"
    text += "functions:\n  - name: f\n    observe:\n      - 1\n      - 2\n  - {name: g,\n     emit: [3]}\n"
    assert read_yaml(text.encode()).lines == {
        (): 2,
        ("name",): 2,
        ("functions",): 3,
        ("functions", 0): 4,
        ("functions", 0, "name"): 4,
        ("functions", 0, "observe"): 5,
        ("functions", 0, "observe", 0): 6,
        ("functions", 0, "observe", 1): 7,
        ("functions", 1): 8,
        ("functions", 1, "name"): 8,
        ("functions", 1, "emit"): 9,
        ("functions", 1, "emit", 0): 9,
    }


def test_numbers_keep_the_form_they_were_written_in() -> None:
    assert read_yaml(b"a: 0x10\nb: text").written == {("a",): "0x10"}


def test_empty_text_is_nothing() -> None:
    assert read_yaml(b"").data is None
    assert read_yaml(b"# only a comment\n").data is None


def test_byte_order_mark_is_skipped() -> None:
    assert read_yaml(b"\xef\xbb\xbfa: 1").data == {"a": 1}


def test_alias_repeats_a_value() -> None:
    assert read_yaml(b"a: &x {b: 1}\nc: *x").data == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "w.yaml:3: a: duplicate key; it stands in line 1 already"),
        ("f:\n- a: 1\n  a: 1", "w.yaml:3: f[0].a: duplicate key; it stands in line 2 already"),
        ("a: !x 1", 'w.yaml:1: got the tag "!x", expected plain values; tags are not supported'),
        (
            "a:\n  !!python/object/apply:os.system [id]",
            (
                'w.yaml:2: got the tag "tag:yaml.org,2002:python/object/apply:os.system", '
                "expected plain values; tags are not supported"
            ),
        ),
        (
            "a: &m {b: 1}\nc:\n  <<: *m",
            "w.yaml:3: c: got the merge key `<<`, expected plain keys; merging is not supported",
        ),
        ("1: a", "w.yaml:1: got 1 as a key, expected text; put it in quotes"),
        ("a:\n  ~: b", "w.yaml:2: a: got nothing as a key, expected text; put it in quotes"),
        ("? [a]\n: b", "w.yaml:1: got a list or mapping as a key, expected text"),
        ("a: 1\n---\nb: 1", "w.yaml:2: got a second document, expected one"),
        (
            "a: [1",
            "w.yaml:1: not valid YAML: expected ',' or ']', but got '<stream end>' (while parsing a flow sequence)",
        ),
        (
            "a:\n\tb: 1",
            (
                "w.yaml:2: not valid YAML: found character '\\t' that cannot start any token "
                "(while scanning for the next token); indent with spaces, not tabs"
            ),
        ),
        ("a: *x", "w.yaml:1: not valid YAML: found undefined alias 'x'"),
        ("a: b\nc: \x07", "w.yaml:2: got the character U+0007, which YAML does not allow"),
        ('a: 1\nb: "\\UFFFFFFFF"', "w.yaml:2: got an escape that names no character"),
        ('a: "\\uD800"', "w.yaml:1: a: got half of a surrogate pair, expected characters"),
        (b"a: 1\nb: \xff", "w.yaml:2: got byte 0xff, expected UTF-8 text"),
        ("a: " + "9" * 5000, "w.yaml:1: a: got a number of 5000 characters, expected at most 64"),
        ("&a [*a]", "w.yaml:1: nested more than 64 levels deep"),
        ("[" * 3000, "w.yaml:1: nested more than 64 levels deep"),
        ("#" * (MAX_BYTES + 1), "w.yaml: got more than 1048576 bytes, expected a file of at most 1 MiB"),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_what_yaml_would_bend_or_hide_is_refused_with_its_line(text: str | bytes, message: str) -> None:
    assert refusal(text) == message


def test_billion_laughs_are_refused_before_they_grow() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 8)]
    message = refusal("\n".join(lines))
    assert message in (
        "w.yaml: got more than 20000 values, expected at most that many",
        f"w.yaml:8: got more than {MAX_ALIASES} aliases, expected at most that many",
    )


def test_many_aliases_are_refused() -> None:
    text = "a: &a 1\nb: [" + ", ".join(["*a"] * (MAX_ALIASES + 1)) + "]"
    assert refusal(text) == "w.yaml:2: got more than 64 aliases, expected at most that many"


def test_too_many_values_are_refused_where_they_begin_to_be() -> None:
    assert refusal("a: 1\nb:\n" + "-\n" * 20_000) == (
        "w.yaml:19998: got more than 20000 values, expected at most that many"
    )


def test_few_aliases_that_grow_are_refused() -> None:
    lines = ["a0: &a0 [" + ", ".join("x" * 10) + "]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 6)]
    assert refusal("\n".join(lines)) == "w.yaml: got more than 20000 values, expected at most that many"
