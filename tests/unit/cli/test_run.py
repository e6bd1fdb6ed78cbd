"""How `nearfield run` finds what to run. Whole commands are in tests/integration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from nearfield.cli.run import run
from nearfield.errors import NearfieldError, UsageError

TWO = """
from nearfield import StreamFunction
one = StreamFunction("one", observe=[1], handler=print)
two = StreamFunction("two", observe=[2], handler=print)
bare = None
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    monkeypatch.setattr("nearfield.cli.run.configure_logging", lambda **_: None)
    return tmp_path / "app.py"


def error_of(*arguments: str) -> NearfieldError:
    app = typer.Typer()
    app.command()(run)
    error = CliRunner().invoke(app, list(arguments)).exception
    assert isinstance(error, NearfieldError), error
    return error


@pytest.mark.parametrize(
    ("text", "chosen", "message"),
    [
        (TWO, "", r"app.py: found 2 StreamFunctions (one, two), expected 1; choose with FILE:NAME"),
        ("", "", r"app.py: found 0 StreamFunctions (none), expected 1; choose with FILE:NAME"),
        (TWO, ":three", r"app.py: no StreamFunction `three`; found: one, two"),
        (
            "from nearfield import StreamFunction\nf = StreamFunction('f')",
            "",
            "app.py: function `f` has no handler; decorate one with it",
        ),
    ],
)
def test_program_without_a_clear_choice_is_refused(program: Path, text: str, chosen: str, message: str) -> None:
    program.write_text(text)
    error = error_of(f"{program}{chosen}")
    assert isinstance(error, UsageError)
    assert str(error).endswith(message)


def test_program_is_told_apart_from_being_run_as_a_script(program: Path) -> None:
    program.write_text("if __name__ == '__main__':\n    raise SystemExit(9)")
    assert "found 0 StreamFunctions" in str(error_of(str(program)))


@pytest.mark.parametrize("target", ["absent.wasm", "absent.py", "absent.py:one"])
def test_missing_file_is_named(program: Path, target: str) -> None:
    assert str(error_of(target)) == f"{target.split(':', maxsplit=1)[0]}: no such file"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--instance", "thread"], "--instance: got `thread`, expected frame or worker"),
        (["--deadline", "1"], "--deadline: got `1`, expected a duration with its unit"),
        (["--memory", "lots"], "--memory: got `lots`, expected a size"),
        (["--observe", "x"], "--observe: got 'x', expected a tag"),
        (["--name", "a/b"], "function name: got 'a/b', expected"),
    ],
)
def test_option_that_cannot_be_is_named(program: Path, arguments: list[str], message: str) -> None:
    guest = program.with_name("guest.wasm")
    guest.touch()
    assert str(error_of(str(guest), *arguments)).startswith(message)


def test_name_of_the_function_is_that_of_the_program_unless_it_is_given(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.write_text(TWO)
    dialled: list[Any] = []

    def refuse(*arguments: Any, **options: Any) -> None:
        dialled.append(arguments)
        raise UsageError("far enough")

    monkeypatch.setattr("nearfield.cli.run.dial", refuse)
    assert str(error_of(f"{program}:one", "--zipper", "there:1")) == "far enough"
    assert dialled == [("there:1",)]
