"""Everything a document tells its reader to do is done here, as real processes.

A hidden comment above a fenced block says what happens with it:

=========================================  ==========================================================================
``<!-- test: run -->``                     shell or Python: run it to its end; `status=2`: expect that exit status
``<!-- test: background NAME -->``         shell, one command: leave it running; `ready="text"`: wait for that output
``<!-- test: stop NAME -->``               end a background command first; above any other mark
``<!-- test: file NAME -->``               save the block under this name
``<!-- test: shown -->``                   output of the last `run`: each line must have been printed, whatever the
                                           numbers; `…` stands for anything; `by=NAME`: of a background command,
                                           which is given time to print it
``<!-- test: message KIND -->``            the block is this message of `nearfield.frame.control`, with all its fields
``<!-- test: scene -->``                   begin anew: other folder, other port, nothing running; above any other mark
``<!-- test: skip REASON -->``             do nothing
=========================================  ==========================================================================

Shell and Python blocks without a mark are refused, so that none stays untested by oversight. Commands run in a folder
that looks like a fresh clone; port 9900 is replaced by a free one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearfield.config import check_content
from nearfield.frame import control
from tests.docs.markdown import Block, Mark, read_blocks
from tests.docs.reader import ROOT, Reader

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
MUST_BE_MARKED = {"sh", "bash", "shell", "console", "python"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def scenes_of(path: Path) -> Iterator[list[Block]]:
    """The blocks of a document, divided where a new scene begins; scenes without a mark are left out."""
    scene: list[Block] = []
    for block in read_blocks(path):
        if any(mark.verb == "scene" for mark in block.marks):
            yield scene
            scene = []
        scene.append(block)
    yield scene


SCENES = [
    pytest.param(scene, id=f"{name_of(path)}:{next(block.line for block in scene if block.marks)}")
    for path in DOCUMENTS
    for scene in scenes_of(path)
    if any(mark.verb != "skip" for block in scene for mark in block.marks)
]
YAML_BLOCKS = [
    pytest.param(block.text, id=f"{name_of(path)}:{block.line}")
    for path in DOCUMENTS
    for block in read_blocks(path)
    if block.language in ("yaml", "yml")
]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_snippet_is_marked(path: Path) -> None:
    for block in read_blocks(path):
        assert block.marks or block.language not in MUST_BE_MARKED, f"{name_of(path)}:{block.line}: no `<!-- test: -->`"


@pytest.mark.parametrize("scene", SCENES)
def test_snippets_do_what_the_document_says(scene: list[Block], tmp_path: Path, free_port: int) -> None:
    with Reader(tmp_path, free_port) as reader:
        for block in scene:
            for mark in block.marks:
                follow(reader, mark, block)


@pytest.mark.parametrize("text", YAML_BLOCKS)
def test_yaml_block_is_a_valid_workflow(text: str, tmp_path: Path) -> None:
    assert [str(finding) for finding in check_content(text.encode(), base=tmp_path).findings] == []


def follow(reader: Reader, mark: Mark, block: Block) -> None:
    """Do what one mark says."""
    match mark.verb:
        case "run" if block.language == "python":
            reader.save(".snippet.py", block.text)
            reader.run("python .snippet.py", int(mark.options.get("status", 0)))
        case "run":
            reader.run(block.text, int(mark.options.get("status", 0)))
        case "background":
            (name,) = mark.arguments
            reader.start(name, block.text, mark.options.get("ready"))
        case "stop":
            (name,) = mark.arguments
            reader.stop(name)
        case "file":
            (name,) = mark.arguments
            reader.save(name, block.text)
        case "shown":
            reader.check_shown(block.text, mark.options.get("by"))
        case "message":
            (kind,) = mark.arguments
            message = control.decode(getattr(control, kind), block.text.encode())
            assert json.loads(control.encode(message)) == json.loads(block.text)
        case "scene" | "skip":
            pass
        case _:
            raise AssertionError(f"line {mark.line}: unknown mark `{mark.verb}`")
