"""How errors become lines and exit codes. Whole commands are in tests/integration."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearfield.cli.app import COMMANDS, fail, main
from nearfield.errors import NearfieldError, TransportError
from nearfield.version import __version__


def status_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["nearfield", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert isinstance(caught.value.code, int | None)
    return caught.value.code or 0


def test_every_command_has_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(monkeypatch, "--help") == 0
    listed = capsys.readouterr().out
    for command in COMMANDS:
        assert command in listed
        assert status_of(monkeypatch, command, "--help") == 0
        assert command in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nonsense"], ["run"], ["run", "--nonsense", "x"], ["serve", "--port", "0"]])
def test_usage_errors_end_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert status_of(monkeypatch, *arguments) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert "Traceback" not in errors
    assert errors


def test_our_errors_are_one_line_and_their_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    absent = str(tmp_path / "absent.yaml")
    assert status_of(monkeypatch, "validate", absent) == 2
    assert "absent.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [(TransportError("lost"), 1), (KeyboardInterrupt(), 130), (NearfieldError("a\nb"), 1)],
    ids=repr,
)
def test_end_of_a_command_decides_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int
) -> None:
    def end() -> None:
        raise error

    monkeypatch.setattr("nearfield.cli.version.version", end)
    assert status_of(monkeypatch, "version") == status


def test_version_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(monkeypatch, "version") == 0
    assert __version__ in capsys.readouterr().out


def test_each_problem_gets_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail("first\nsecond", 2) == 2
    assert capsys.readouterr().err == "error: first\nerror: second\n"
