"""Any bytes give a workflow or findings; a workflow that was written down is read back."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from nearfield.config import check_content, parse_duration
from nearfield.config.yaml import YamlRefused, read_yaml

BASE = Path("/base")

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63)
    | st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcnr_", min_size=1), inner, max_size=4),
    max_leaves=12,
)
KEYS = (
    "name",
    "host",
    "port",
    "functions",
    "models",
    "peers",
    "namespace",
    "certificates",
    "limits",
    "observe",
    "emit",
)
# Nearly workflows: right keys, any values, at any depth.
NEAR = st.recursive(
    PLAIN | st.sampled_from(["500ms", "1MiB", "live", 0x10, "0x10"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,20}", fullmatch=True)
FUNCTIONS = st.fixed_dictionaries(
    {"name": NAMES},
    optional={
        "observe": st.lists(st.integers(0, 0x7FFF), min_size=1, max_size=3, unique=True),
        "emit": st.lists(st.integers(0x10000, 2**32 - 1), min_size=1, max_size=3, unique=True),
        "instances": st.integers(1, 256),
        "run": NAMES,
        "delivery": st.fixed_dictionaries({}, optional={"queue": st.integers(1, 65536), "max_age": st.just("1.5s")}),
    },
)
WORKFLOWS = st.fixed_dictionaries(
    {"name": NAMES, "functions": st.lists(FUNCTIONS, max_size=4, unique_by=lambda function: str(function["name"]))},
    optional={"port": st.integers(1, 65535), "namespace": NAMES},
)


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_give_a_workflow_or_an_error(content: bytes) -> None:
    check = check_content(content, base=BASE)
    assert check.workflow is not None or check.errors


@given(st.text("ab:-[]{}&*!|>'\"%#?,~<\\ \t\n0x1.", max_size=80))
@settings(max_examples=300)
def test_any_yaml_like_text_is_read_or_refused_on_one_line(text: str) -> None:
    try:
        document = read_yaml(text.encode())
    except YamlRefused as refused:
        message = refused.finding.located("w")
        assert message.isprintable(), message
        assert refused.finding.line is None or 1 <= refused.finding.line <= text.count("\n") + 1
    else:
        assert all(1 <= line <= text.count("\n") + 1 for line in document.lines.values())


@given(PLAIN)
def test_json_is_read_as_json_says(value: object) -> None:
    assert read_yaml(json.dumps({"value": value}, ensure_ascii=False).encode()).data == {"value": value}


@given(NEAR)
@settings(max_examples=200)
def test_near_workflows_give_findings_with_lines_and_printable_text(value: object) -> None:
    check = check_content(json.dumps(value, indent=1, ensure_ascii=False).encode(), base=BASE)
    assert check.workflow is not None or check.errors
    for finding in check.findings:
        assert finding.located("w").isprintable()
        assert finding.line is not None or value is None


@given(WORKFLOWS)
def test_written_workflow_is_read_back(data: dict[str, object]) -> None:
    check = check_content(json.dumps(data).encode(), base=BASE)
    assert check.errors == ()
    workflow = check.workflow
    assert workflow is not None
    assert workflow.name == data["name"]
    assert workflow.port == data.get("port", 9900)
    functions = data["functions"]
    assert isinstance(functions, list)
    for function, given_data in zip(workflow.functions, functions, strict=True):
        assert list(function.observe) == given_data.get("observe", [])
        assert list(function.emit) == given_data.get("emit", [])
        assert function.run == (BASE / given_data["run"] if "run" in given_data else None)
        max_age = given_data.get("delivery", {}).get("max_age")
        assert function.delivery.max_age_s == (None if max_age is None else parse_duration(max_age))
