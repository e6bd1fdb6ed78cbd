"""Shared by all tests: a state directory of their own, free ports, and waiting without sleeping for long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import processes

# The same examples in every run; machines that are shared make timing checks of hypothesis meaningless.
settings.register_profile(
    "nearfield",
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("nearfield")

POLL_INTERVAL_S = 0.01


@pytest.fixture(scope="session", autouse=True)
def state_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where this test run keeps its certificates and caches; the user's own are never touched."""
    path = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEARFIELD_STATE_DIR", str(path))
        yield path


@pytest.fixture
def free_port() -> int:
    """A port that is free for UDP and TCP on 127.0.0.1 at this moment."""
    return processes.free_port()


Eventually = Callable[..., None]


@pytest.fixture
def eventually() -> Eventually:
    """Wait until a condition holds: `eventually(lambda: sink.dropped == 3, "three frames dropped")`."""

    def wait(condition: Callable[[], object], expected: str = "", *, timeout_s: float = 10.0) -> None:
        give_up_at = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() >= give_up_at:
                raise AssertionError(f"not within {timeout_s:g} s: {expected or condition}")
            time.sleep(POLL_INTERVAL_S)

    return wait
