"""`nearfield demo`: the whole factory line, and nothing of it left behind."""

from __future__ import annotations

import os
import signal

import pytest

from tests.processes import Commands, descendants_of, until_gone

PICTURES = 450
INSTANCES = 2
AGREES_AT_LEAST = 0.97


@pytest.mark.video
def test_the_demonstration_accounts_for_every_frame_agrees_with_the_truth_and_leaves_nothing(
    commands: Commands,
) -> None:
    demo = commands.start("demo")
    demo.until(lambda: demo.frames, "the first result")
    # serve, its instances, watch, send
    started = descendants_of(demo.pid)
    assert len(started) == 3 + INSTANCES, started

    assert demo.finish(timeout_s=90.0) == 0
    until_gone(started)
    summary = demo.event("summary")
    print(summary)
    assert summary["sent"] == PICTURES
    assert summary["sent"] == summary["handled"] + sum(summary["dropped"].values()) + sum(summary["failed"].values())
    assert summary["results"] == summary["handled"] == len(demo.frames)
    assert summary["failed"] == {}
    assert summary["agreement"] >= AGREES_AT_LEAST
    assert summary["scored"] > 0
    assert set(summary["seen"]) >= {"bolt", "nut", "washer", "gear", "bearing", "bracket", "empty"}
    assert demo.stderr == ""


def test_an_interrupted_demonstration_ends_everything(commands: Commands) -> None:
    demo = commands.start("demo", "--loop", "--fps", "10")
    demo.until(lambda: len(demo.frames) >= 3, "three results")
    started = descendants_of(demo.pid)
    assert demo.stop(signal.SIGINT) == 130
    until_gone(started)
    assert demo.event("summary")["results"] >= 3


def test_a_killed_demonstration_leaves_no_process(commands: Commands) -> None:
    demo = commands.start("demo", "--loop", "--fps", "10")
    demo.until(lambda: demo.frames, "the first result")
    started = descendants_of(demo.pid)
    os.kill(demo.pid, signal.SIGKILL)
    until_gone(started)
