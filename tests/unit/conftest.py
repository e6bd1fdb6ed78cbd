"""For all units: nothing that only time brings about."""

from __future__ import annotations

import pytest

from nearfield.recovery import rounds


@pytest.fixture(autouse=True)
def senders_are_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would say how many frames they sent when a test takes half a second."""
    monkeypatch.setattr(rounds, "TICK_S", 3_600.0)
