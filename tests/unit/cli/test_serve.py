"""From the workflow to the dispatcher's policies."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearfield.cli.serve import policy_of, serve
from nearfield.config import DeliveryConfig, FunctionConfig, SandboxConfig
from nearfield.errors import ConfigError
from nearfield.zipper import GroupPolicy


def test_delivery_settings_become_a_policy() -> None:
    delivery = DeliveryConfig(
        mode="live", queue=5, max_age_s=0.5, retries=4, order="source", timeout_s=1.5, dead_letter=32
    )
    assert policy_of(FunctionConfig(name="detect", observe=(16, 17), delivery=delivery)) == GroupPolicy(
        "detect", frozenset({16, 17}), "live", 5, 500_000_000, 4, "source", 1_500_000_000, 32
    )


@pytest.mark.parametrize(("run", "timeout_s"), [("detect.wasm", 0.5 + 3 + 2), ("detect.py", 60), (None, 60)])
def test_guest_that_is_started_here_counts_as_stuck_once_its_own_watchdog_should_have_ended_it(
    run: str | None, timeout_s: float
) -> None:
    sandbox = SandboxConfig(deadline_s=0.5, grace_s=3)
    function = FunctionConfig(name="detect", run=None if run is None else Path(run), sandbox=sandbox)
    assert policy_of(function).timeout_ns == timeout_s * 1e9


def test_defaults_of_workflow_and_dispatcher_agree() -> None:
    assert policy_of(FunctionConfig(name="detect")) == GroupPolicy("detect")


def test_rights_that_would_not_be_enforced_are_refused() -> None:
    workflow = Path(__file__).parents[3] / "examples" / "two-tenants" / "workflow.yaml"
    with pytest.raises(ConfigError, match="not enforced"):
        serve(workflow)
