"""Computes that become one: who is waited for, what each gets, and what a bad or late frame does to the others.

The patience of these graphs has no end, so that a batch closes for the reason that the test is about, or never.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from nearfield.errors import InferenceError
from nearfield.inference import BatchSettings
from nearfield.inference.batch_runner import BatchStatistics, ComputeLate
from nearfield.inference.batching import BatchingGraph
from tests.unit.inference.batch_kit import PATIENCE_S, POISON, Callers, ScriptedGraph, all_doubled, doubled, fill

WAIT_S = 1000.0
Eventually = Callable[..., None]


@pytest.fixture
def below() -> ScriptedGraph:
    return ScriptedGraph()


@pytest.fixture
def callers() -> Callers:
    return Callers()


def batching(
    below: ScriptedGraph, most: int = 8, *, at_once: int = 1, clock: Callable[[], float] = time.monotonic
) -> BatchingGraph:
    return BatchingGraph(below, BatchSettings(most, WAIT_S), at_once=at_once, clock=clock)


def test_a_frame_alone_is_computed_at_once(below: ScriptedGraph) -> None:
    graph = batching(below)
    with graph.expecting():
        context = fill(graph.acquire(), 1.0)
        context.compute()
        assert context.output(0) == doubled(1.0)
    assert below.batches == [1]
    assert graph.statistics() == BatchStatistics(computes=1, frames=1, largest=1)


def test_frames_of_several_threads_are_computed_together_when_all_are_there(
    below: ScriptedGraph, callers: Callers
) -> None:
    graph = batching(below)
    contexts = [graph.acquire() for _ in range(3)]
    for value, context in enumerate(contexts):
        callers.start(context, float(value))
    assert all_doubled(callers.join(), [0.0, 1.0, 2.0])
    assert below.batches == [3]
    assert graph.statistics() == BatchStatistics(computes=1, frames=3, largest=3)
    assert below.open_contexts == 0


def test_a_full_batch_does_not_wait_for_more(below: ScriptedGraph, callers: Callers) -> None:
    graph = batching(below, most=2)
    contexts = [graph.acquire() for _ in range(3)]
    for value in (0, 1):
        callers.start(contexts[value], float(value))
    assert all_doubled(callers.join(), [0.0, 1.0])
    assert below.batches == [2]
    contexts[2].close()


def test_more_frames_than_one_batch_takes_become_several(below: ScriptedGraph, callers: Callers) -> None:
    graph = batching(below, most=4)
    contexts = [graph.acquire() for _ in range(10)]
    for value, context in enumerate(contexts):
        callers.start(context, float(value))
    assert all_doubled(callers.join(), [float(value) for value in range(10)])
    assert sum(below.batches) == 10
    assert max(below.batches) == 4


def test_a_thread_at_a_frame_is_waited_for_before_it_has_a_context(
    below: ScriptedGraph, callers: Callers, eventually: Eventually
) -> None:
    graph = batching(below)
    with graph.expecting():
        callers.start(graph.acquire(), 1.0)
        eventually(lambda: graph._open is not None, "a batch that waits")
        fill(graph.acquire(), 2.0).compute()
    assert all_doubled(callers.join(), [1.0])
    assert below.batches == [2]


def test_a_frame_that_ends_without_a_compute_is_not_waited_for_any_longer(
    below: ScriptedGraph, callers: Callers, eventually: Eventually
) -> None:
    graph = batching(below)
    with graph.expecting():
        callers.start(graph.acquire(), 1.0)
        eventually(lambda: graph._open is not None, "a batch that waits")
        assert below.batches == []
    assert all_doubled(callers.join(), [1.0])


def test_a_context_that_is_closed_unused_is_not_waited_for_any_longer(
    below: ScriptedGraph, callers: Callers, eventually: Eventually
) -> None:
    graph = batching(below)
    unused = graph.acquire()
    callers.start(graph.acquire(), 1.0)
    eventually(lambda: graph._open is not None, "a batch that waits")
    unused.close()
    unused.close()
    assert all_doubled(callers.join(), [1.0])


def test_one_thread_with_two_contexts_does_not_wait_for_itself(below: ScriptedGraph) -> None:
    graph = batching(below)
    first, second = fill(graph.acquire(), 1.0), fill(graph.acquire(), 2.0)
    first.compute()
    second.compute()
    assert (first.output(0), second.output(0)) == (doubled(1.0), doubled(2.0))


def test_a_context_computes_again_with_its_inputs(below: ScriptedGraph) -> None:
    context = fill(batching(below).acquire(), 1.0)
    context.compute()
    context.compute()
    assert context.output(0) == doubled(1.0)
    assert below.batches == [1, 1]


def test_inputs_are_copied(below: ScriptedGraph) -> None:
    context = batching(below).acquire()
    buffer = bytearray(doubled(1.0))
    context.set_input(0, buffer)
    context.set_input(1, bytes(4))
    buffer[:] = bytes(len(buffer))
    context.compute()
    assert context.output(0) == doubled(2.0)


def test_a_batch_goes_on_gathering_while_there_is_no_room_for_its_compute(
    below: ScriptedGraph, callers: Callers, eventually: Eventually
) -> None:
    graph = batching(below)
    gate = threading.Event()
    below.on_compute = lambda frames: _pass(gate)
    callers.start(graph.acquire(), 0.0)
    eventually(lambda: below.batches == [1])
    for waiting in (1, 2, 3):  # one after the other, so that each could have gone alone
        callers.start(graph.acquire(), float(waiting))
        eventually(lambda waiting=waiting: graph._open is not None and len(graph._open.members) == waiting)
    gate.set()
    assert all_doubled(callers.join(), [0.0, 1.0, 2.0, 3.0])
    assert below.batches == [1, 3]


def test_batches_compute_beside_each_other_where_there_is_room(
    below: ScriptedGraph, callers: Callers, eventually: Eventually
) -> None:
    graph = batching(below, at_once=2)
    gate = threading.Event()
    below.on_compute = lambda frames: None if frames == 2 else _pass(gate)
    callers.start(graph.acquire(), 0.0)
    eventually(lambda: below.batches == [1])
    for value, context in enumerate([graph.acquire(), graph.acquire()], start=1):
        callers.start(context, float(value))
    eventually(lambda: below.batches == [1, 2], "a batch beside the one that computes")
    gate.set()
    assert all_doubled(callers.join(), [0.0, 1.0, 2.0])


def test_a_deadline_does_not_wait_for_room(below: ScriptedGraph, callers: Callers, eventually: Eventually) -> None:
    graph = batching(below, clock=lambda: 50.0)
    gate = threading.Event()
    below.on_compute = lambda frames: None if len(below.batches) == 2 else _pass(gate)
    callers.start(graph.acquire(), 0.0)
    eventually(lambda: below.batches == [1])
    hurried = Callers()
    graph._runner._recent.add(5.0)
    hurried.start(graph.acquire(), 1.0, by_s=54.0)
    assert all_doubled(hurried.join(), [1.0])
    gate.set()
    assert all_doubled(callers.join(), [0.0])


def test_a_poisonous_frame_fails_alone(below: ScriptedGraph, callers: Callers) -> None:
    graph = batching(below)
    values = [1.0, POISON, 3.0]
    contexts = [graph.acquire() for _ in values]
    for value, context in zip(values, contexts, strict=True):
        callers.start(context, value)
    callers.join()
    assert callers.outputs == {1.0: doubled(1.0), 3.0: doubled(3.0)}
    assert list(callers.errors) == [POISON]
    assert str(callers.errors[POISON]) == "model `doubler`: compute failed: poison"
    assert below.batches == [3, 1, 1, 1]
    assert graph.statistics() == BatchStatistics(computes=2, frames=2, largest=1, alone=3)
    assert below.open_contexts == 0


def test_a_poisonous_frame_by_itself_is_computed_once(below: ScriptedGraph) -> None:
    context = fill(batching(below).acquire(), POISON)
    with pytest.raises(InferenceError, match="poison"):
        context.compute()
    with pytest.raises(InferenceError, match="output 0: read before a successful compute"):
        context.output(0)
    assert below.batches == [1]


def test_poison_does_not_end_batching(below: ScriptedGraph) -> None:
    graph = batching(below)
    for _ in range(5):
        _compute_together(graph, [1.0, POISON])
    assert below.batches == [2, 1, 1] * 5


def test_a_model_that_fails_in_batches_only_is_not_batched_any_longer(
    below: ScriptedGraph, caplog: pytest.LogCaptureFixture
) -> None:
    graph = batching(below)
    below.gives_wrong_sizes = True
    for _ in range(5):
        assert all_doubled(_compute_together(graph, [1.0, 2.0]), [1.0, 2.0])
    assert below.batches.count(2) == 3
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["model `doubler` is not batched any longer: output 0: got 16 bytes for 2 frames, expected 32"]


def test_a_frame_whose_time_is_over_is_not_computed(below: ScriptedGraph) -> None:
    graph = batching(below, clock=lambda: 50.0)
    context = fill(graph.acquire(), 1.0)
    with pytest.raises(ComputeLate, match=r"^model `doubler`: not computed: its deadline passed before its turn came$"):
        context.compute(by_s=50.0)
    assert below.batches == []
    assert graph.statistics() == BatchStatistics(late=1)
    context.compute(by_s=50.1)
    assert context.output(0) == doubled(1.0)


def test_a_late_frame_does_not_hurry_those_that_wait(
    below: ScriptedGraph, callers: Callers, eventually: Eventually
) -> None:
    graph = batching(below, clock=lambda: 50.0)
    with graph.expecting():
        callers.start(graph.acquire(), 1.0)
        eventually(lambda: graph._open is not None, "a batch that waits")
        late = Callers()
        late.start(graph.acquire(), 2.0, by_s=49.0)
        late.join()
        assert isinstance(late.errors[2.0], ComputeLate)
        assert below.batches == []
    assert all_doubled(callers.join(), [1.0])


def test_a_deadline_closes_the_batch_in_time(below: ScriptedGraph, callers: Callers, eventually: Eventually) -> None:
    """The compute before took 5 s, so a result by 54 s is computed at once; one by 1,000 s waits."""
    now_s = [45.0]
    graph = batching(below, clock=lambda: now_s[0])

    def take_five_seconds(frames: int) -> None:
        now_s[0] += 5.0

    below.on_compute = take_five_seconds
    fill(graph.acquire(), 0.0).compute()
    with graph.expecting():
        callers.start(graph.acquire(), 1.0, by_s=1000.0)
        eventually(lambda: graph._open is not None, "a batch that waits")
        callers.start(graph.acquire(), 2.0, by_s=54.0)
        callers.join()
    assert all_doubled(callers, [1.0, 2.0])
    assert below.batches == [1, 2]


def test_a_frame_that_became_late_while_it_waited_fails_and_the_others_do_not(
    below: ScriptedGraph, callers: Callers, eventually: Eventually
) -> None:
    now_s = [50.0]
    graph = batching(below, clock=lambda: now_s[0])
    with graph.expecting():
        callers.start(graph.acquire(), 1.0, by_s=60.0)
        eventually(lambda: graph._open is not None, "a batch that waits")
        callers.start(graph.acquire(), 2.0)
        eventually(lambda: graph._open is not None and len(graph._open.members) == 2)
        now_s[0] = 61.0
    callers.join()
    assert callers.outputs == {2.0: doubled(2.0)}
    assert isinstance(callers.errors[1.0], ComputeLate)
    assert (below.batches, graph.statistics().late) == ([1], 1)


def test_an_interrupted_leader_leaves_nobody_behind(
    below: ScriptedGraph, callers: Callers, eventually: Eventually
) -> None:
    graph = batching(below)

    class Interrupted(BaseException):
        pass

    def interrupt(frames: int) -> None:
        raise Interrupted

    below.on_compute = interrupt
    contexts = [graph.acquire() for _ in range(2)]
    fill(contexts[0], 1.0)
    outcome: list[BaseException] = []

    def compute() -> None:
        try:
            contexts[0].compute()
        except BaseException as error:
            outcome.append(error)

    with graph.expecting():  # holds the batch open until both are in it
        leader = threading.Thread(target=compute, daemon=True)
        leader.start()
        eventually(lambda: graph._open is not None, "a batch that waits")
        callers.start(contexts[1], 2.0)
        eventually(lambda: graph._open is not None and len(graph._open.members) == 2)
    leader.join(PATIENCE_S)
    callers.join()
    assert [type(error) for error in outcome] == [Interrupted]
    assert str(callers.errors[2.0]) == "model `doubler`: compute was interrupted"
    below.on_compute = lambda frames: None
    assert all_doubled(_compute_together(graph, [3.0, 4.0]), [3.0, 4.0])


def test_a_batch_of_the_callers_own_goes_to_the_graph_below(below: ScriptedGraph) -> None:
    context = batching(below).acquire(batch=2)
    context.set_input(0, doubled(0.5) + doubled(1.0))
    context.set_input(1, bytes(8))
    context.compute()
    assert context.output(0) == doubled(1.0) + doubled(2.0)
    context.close()
    assert below.open_contexts == 0


def test_one_frame_at_a_time_is_the_graph_below(below: ScriptedGraph) -> None:
    context = batching(below, most=1).acquire()
    assert below.open_contexts == 1
    context.close()


def test_a_model_for_single_frames_is_refused() -> None:
    below = ScriptedGraph(is_batchable=False)
    with pytest.raises(
        InferenceError, match=r"^model `doubler`: batch: got up to 8 frames, expected 1: not every input"
    ):
        batching(below)
    assert batching(below, most=1).acquire() is not None


def test_misuse_of_a_context_is_told(below: ScriptedGraph) -> None:
    context = batching(below).acquire()
    with pytest.raises(InferenceError, match="input 0: got 3 bytes, expected 16 bytes"):
        context.set_input(0, b"abc")
    with pytest.raises(InferenceError, match="input index: got 2, expected 0 to 1"):
        context.set_input(2, b"")
    with pytest.raises(InferenceError, match="gaps"):
        context.set_input(0, memoryview(bytes(32))[::2])
    context.set_input(0, bytes(16))
    with pytest.raises(InferenceError, match="input 1: not set before compute"):
        context.compute()
    with pytest.raises(InferenceError, match="output index: got -1"):
        context.output(-1)
    context.close()
    for use in (context.compute, lambda: context.set_input(0, bytes(16)), lambda: context.output(0)):
        with pytest.raises(InferenceError, match="execution context: used after close"):
            use()


def test_what_the_graph_below_tells_is_passed_on(below: ScriptedGraph) -> None:
    graph = batching(below)
    assert (graph.inputs, graph.outputs, graph.label) == (below.inputs, below.outputs, below.label)
    assert (graph.encoding, graph.device, graph.is_batchable) == (below.encoding, below.device, True)
    assert repr(graph) == "<BatchingGraph 'doubler' max=8 wait=1000s>"


def _pass(gate: threading.Event) -> None:
    assert gate.wait(PATIENCE_S)


def _compute_together(graph: BatchingGraph, values: list[float]) -> Callers:
    callers = Callers()
    contexts = [graph.acquire() for _ in values]
    for value, context in zip(values, contexts, strict=True):
        callers.start(context, value)
    return callers.join()
