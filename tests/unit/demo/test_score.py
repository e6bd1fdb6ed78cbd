"""What the demonstration makes of its results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nearfield.demo import Score
from nearfield.demo.assets import TRUTH as TRUTH_FILE
from nearfield.demo.score import Truth, TruthFrame, percentile, read_truth, summarise
from nearfield.errors import InternalError

TRUTH = Truth([TruthFrame(0, "gear", "x"), TruthFrame(1, None, "x"), TruthFrame(2, "nut", "x")])
GROUP: dict[str, Any] = {"completed": 3, "failed": {}, "dropped": {"stale": 1}, "handler_ms_mean": 1.5}


def test_results_are_compared_with_the_truth_where_there_is_one() -> None:
    score = Score(TRUTH)
    for sequence, label in enumerate(["gear", "gear", "gear", "gear"]):
        score.add(sequence, label, latency_ms=2.0 + sequence, now=10 + sequence / 10)
    assert (score.results, score.scored, score.agreed) == (4, 3, 2)  # picture 3 is picture 0 again
    assert score.agreement() == pytest.approx(2 / 3)
    assert score.frames_per_s() == pytest.approx(10)
    assert score.labels == {"gear": 4}


def test_nothing_is_claimed_without_results() -> None:
    score = Score(TRUTH)
    assert (score.agreement(), score.frames_per_s()) == (None, None)
    summary = summarise(score, {"sent": 4}, GROUP)
    assert (summary["agreement"], summary["frames_per_s"], summary["latency_ms"]) == (
        None,
        None,
        {"p50": None, "p99": None},
    )


def test_summary_holds_what_was_measured() -> None:
    score = Score(TRUTH)
    score.add(0, "gear", 2.004, 10.0)
    score.add(2, "gear", 3.0, 10.5)
    assert summarise(score, {"sent": 4}, GROUP) == {
        "sent": 4,
        "handled": 3,
        "failed": {},
        "dropped": {"stale": 1},
        "results": 2,
        "frames_per_s": 2.0,
        "latency_ms": {"p50": 2.0, "p99": 3.0},
        "agreement": 0.5,
        "scored": 2,
        "handler_ms_mean": 1.5,
        "seen": {"gear": 2},
    }


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 2), (51, 3), (75, 3), (99, 4), (100, 4)])
def test_percentile_is_the_nearest_rank(percent: float, value: float) -> None:
    assert percentile([4, 1, 3, 2], percent) == value


def test_percentile_of_nothing_is_nothing() -> None:
    assert percentile([], 50) is None


def test_shipped_truth_is_whole() -> None:
    truth = read_truth(TRUTH_FILE)
    assert truth.frames
    assert truth.label_at(len(truth.frames)) == truth.label_at(0)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"frames": []}',
        json.dumps({"frames": [{"index": 1, "label": "gear", "state": "x"}]}),
        json.dumps({"frames": [{"index": 0, "label": 3, "state": "x"}]}),
    ],
)
def test_damaged_truth_is_our_own_fault(tmp_path: Path, content: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(content)
    with pytest.raises(InternalError, match=r"truth.json"):
        read_truth(path)
