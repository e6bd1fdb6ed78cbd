"""From the workflow to the dispatcher's policies."""

from __future__ import annotations

from nearfield.cli.serve import policy_of
from nearfield.config import DeliveryConfig, FunctionConfig
from nearfield.zipper import GroupPolicy


def test_delivery_settings_become_a_policy() -> None:
    delivery = DeliveryConfig(mode="live", queue=5, max_age_s=0.5, retries=4)
    assert policy_of(FunctionConfig(name="detect", observe=(16, 17), delivery=delivery)) == GroupPolicy(
        "detect", frozenset({16, 17}), "live", 5, 500_000_000, 4
    )


def test_defaults_of_workflow_and_dispatcher_agree() -> None:
    assert policy_of(FunctionConfig(name="detect")) == GroupPolicy("detect")
