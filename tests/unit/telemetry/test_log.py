"""Warnings that do not flood, and the log of commands."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from nearfield.clock import ManualClock
from nearfield.telemetry import RepeatedWarning, configure_logging

LOGGER = logging.getLogger("test.repeated")


@pytest.fixture
def untouched_logging() -> Iterator[None]:
    """What `configure_logging` changes, put back."""
    logger = logging.getLogger("nearfield")
    before = (logger.handlers, logger.level, logger.propagate)
    yield
    logger.handlers, logger.level, logger.propagate = before


def test_first_warning_of_each_form_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    warn = RepeatedWarning(LOGGER, clock=ManualClock())
    warn("frame %d refused", 1)
    warn("frame %d refused", 2)
    warn("report refused: %s", "why")
    assert caplog.messages == ["frame 1 refused", "report refused: why"]


def test_later_warnings_say_how_many_were_left_out(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    warn = RepeatedWarning(LOGGER, clock=clock)
    for number in range(4):
        warn("frame %d refused", number)
    clock.advance(10)
    warn("frame %d refused", 4)
    clock.advance(10)
    warn("frame %d refused", 5)
    assert caplog.messages == ["frame 0 refused", "frame 4 refused (and 3 more like it)", "frame 5 refused"]


@pytest.mark.usefixtures("untouched_logging")
def test_commands_log_to_standard_error_once_however_often_configured(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    configure_logging()
    logging.getLogger("nearfield.anything").info("said")
    logging.getLogger("nearfield.anything").debug("not said")
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.count("said") == 1
    assert errors.rstrip().endswith("INFO    said")


@pytest.mark.usefixtures("untouched_logging")
def test_verbose_log_says_more(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(verbose=True)
    logging.getLogger("nearfield.anything").debug("detail")
    assert "DEBUG   detail" in capsys.readouterr().err
