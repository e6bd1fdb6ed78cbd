"""Links between documents, and what documents say about this repository's files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.reader import ROOT

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
_LINK = re.compile(r"\[(?P<text>[^\]\[]*)\]\((?P<target>[^)\s]+)\)", re.DOTALL)


def anchors_of(path: Path) -> set[str]:
    """Anchors of a document's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for match in _LINK.finditer(path.read_text(encoding="utf-8")):
        target, _, anchor = match["target"].partition("#")
        if "://" in target:
            continue
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), f"{match['target']}: no such file"
        assert not anchor or anchor in anchors_of(file), f"{match['target']}: no such heading"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_of_tests_exist(path: Path) -> None:
    for name in re.findall(r"`(tests/[\w./]+)`", path.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name


def test_tests_that_the_table_of_failures_names_exist() -> None:
    """Rows end in a link to a test file whose text is the file's name, or that of a test in it."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| \[`(\w+(?:\.py)?)`\]\(\.\./(tests/[\w/]+\.py)\) \|$", text, re.MULTILINE)
    assert rows
    for name, file in rows:
        path = ROOT / file
        assert path.is_file(), file
        assert name == path.name or f"def {name}(" in path.read_text(encoding="utf-8"), f"{file}: no `{name}`"
