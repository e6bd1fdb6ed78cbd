"""Commands as real processes; a failing test shows what they said."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import OPEN, Commands


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    """Starts commands, and ends them when the test is over."""
    with Commands(tmp_path) as commands:
        yield commands


@pytest.fixture(scope="module")
def module_commands(tmp_path_factory: pytest.TempPathFactory, state_directory: Path) -> Iterator[Commands]:
    """Starts commands that all tests of a module share."""
    with Commands(tmp_path_factory.mktemp("shared")) as commands:
        yield commands


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    if report.failed and report.when == "call":
        for commands in OPEN:
            for command in commands.started:
                report.sections.append((f"nearfield {command.arguments[0]} [{command.pid}]", command.describe()))
    return report
