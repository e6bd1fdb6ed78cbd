"""Holding back known lines of native code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nearfield.inference.native_log import without_lines_on_stderr


def test_only_lines_with_the_given_beginning_are_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with without_lines_on_stderr(re.compile(b"INFO: known")) as kept_back:
        os.write(2, b"INFO: known line\nWARNING: other\nINFO: kn")
    assert capfd.readouterr().err == "WARNING: other\nINFO: kn"
    assert kept_back == [b"INFO: known line\n"]


def test_the_descriptor_is_restored_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="broken"), without_lines_on_stderr(re.compile(b"x")):
        os.write(2, b"reason\n")
        raise ValueError("broken")
    os.write(2, b"later\n")
    assert capfd.readouterr().err == "reason\nlater\n"


def test_a_process_without_descriptor_2_goes_on() -> None:
    script = (
        "import os, re\n"
        "from nearfield.inference.native_log import without_lines_on_stderr\n"
        "os.close(2)\n"
        "with without_lines_on_stderr(re.compile(b'x')) as kept_back:\n"
        "    print('ran', kept_back)\n"
    )
    source = str(Path(__file__).parents[3] / "src")
    ended = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": source}, stdout=subprocess.PIPE, check=True
    )
    assert ended.stdout == b"ran []\n"
