"""The engine's loop with the toy runner, in this process, against a link that is a script."""

import re
from collections import deque
from collections.abc import Sequence

import pytest
from support.serving import LIMITS, request
from support.tiny import tiny_vocabulary
from support.toy_engine import ToyUpkeep
from support.toy_runner import ToyHandle, ToyRunner, expected_tokens

from radixloom_runtime.engine.controls import Controls
from radixloom_runtime.engine.guides import Guides
from radixloom_runtime.engine.loop import EngineLoop
from radixloom_runtime.engine.meter import BUSY_SECONDS, IDLE_SECONDS, Meter
from radixloom_runtime.errors import EngineError
from radixloom_runtime.runner.profiler import Profiler
from radixloom_runtime.scheduler.scheduler import Scheduler
from radixloom_runtime.wire.messages import (
    Abort,
    Done,
    Drain,
    EngineMessage,
    Output,
    Pause,
    Rejected,
    Resume,
    ServerMessage,
    Stats,
    TimedOut,
    UpdateWeights,
)
from radixloom_runtime.wire.plan import StepPlan, StepResult


class ScriptedLink:
    """Gives one batch of messages a turn, and passes time when asked to wait."""

    def __init__(self, *turns: Sequence[ServerMessage]) -> None:
        self._turns = deque(turns)
        self.sent: list[EngineMessage] = []
        self.waits: list[float] = []
        self.now = 0.0

    def send(self, messages: Sequence[EngineMessage]) -> None:
        self.sent += messages

    def receive(self, *, timeout_seconds: float) -> list[ServerMessage]:
        if self._turns:
            return list(self._turns.popleft())
        self.waits.append(timeout_seconds)
        self.now += timeout_seconds
        return []

    def clock(self) -> float:
        self.now += 0.001
        return self.now


class Journal(ToyRunner):
    """Notes the order of starts and finishes."""

    def __init__(self, limits) -> None:
        super().__init__(limits)
        self.events: list[str] = []

    def start(self, plan: StepPlan) -> ToyHandle:
        self.events.append(f"start {plan.number}")
        return super().start(plan)

    def finish(self, handle: ToyHandle) -> StepResult:
        self.events.append(f"finish {handle.number}")
        return super().finish(handle)


def loop_of(
    link: ScriptedLink, runner: ToyRunner | None = None, guides: Guides | None = None
) -> EngineLoop:
    scheduler = Scheduler(LIMITS, max_queued_requests=2)
    meter = Meter(scheduler, link.clock, lambda: 0)
    controls = Controls(Profiler(None))
    return EngineLoop(
        scheduler,
        runner or ToyRunner(LIMITS),
        link,
        meter,
        controls,
        link.clock,
        guides=guides,
        upkeep=ToyUpkeep(),
    )


def outputs_of(link: ScriptedLink, request_id: str) -> list[int]:
    outputs = [m for m in link.sent if isinstance(m, Output) and m.request_id == request_id]
    return [token_id for output in outputs for token_id in output.token_ids]


def test_the_next_step_starts_before_the_last_one_is_finished():
    link, runner = ScriptedLink([request("a", [1, 2], max_tokens=3), Drain()]), Journal(LIMITS)
    loop_of(link, runner).run()
    assert runner.events == ["start 0", "start 1", "finish 0", "start 2", "finish 1", "finish 2"]
    assert outputs_of(link, "a") == expected_tokens(request("a", [1, 2], max_tokens=3), LIMITS)[0]


def test_a_drained_loop_returns_after_the_last_answer():
    requests = [request("a", [1], max_tokens=9), request("b", [2], max_tokens=3)]
    link = ScriptedLink(requests, [Drain()])
    loop_of(link).run()
    for each in requests:
        assert outputs_of(link, each.request_id) == expected_tokens(each, LIMITS)[0]


def test_a_request_that_comes_after_drain_is_rejected_to_be_retried():
    link = ScriptedLink([Drain(), request("late", [1])])
    loop_of(link).run()
    (rejected,) = (message for message in link.sent if isinstance(message, Rejected))
    assert rejected.request_id == "late"
    assert rejected.retry_after_seconds is not None


def test_what_the_scheduler_rejects_is_told():
    link = ScriptedLink([request("big", [1] * 500), Drain()])
    loop_of(link).run()
    assert [m.request_id for m in link.sent if isinstance(m, Rejected)] == ["big"]


def test_an_abort_takes_effect_between_steps():
    link = ScriptedLink([request("a", [1], max_tokens=50)], [], [Abort("a"), Drain()])
    loop_of(link).run()
    assert 0 < len(outputs_of(link, "a")) < 50


def test_an_idle_loop_blocks_until_the_next_report_and_a_busy_one_never_does():
    link = ScriptedLink()
    loop = loop_of(link)
    for _ in range(4):
        loop.turn()
    reports = [message for message in link.sent if isinstance(message, Stats)]
    assert len(reports) == 4
    assert BUSY_SECONDS - 0.1 < link.waits[0] <= BUSY_SECONDS
    assert all(IDLE_SECONDS - 0.1 < wait <= IDLE_SECONDS for wait in link.waits[1:])
    busy = ScriptedLink([request("a", [1], max_tokens=5), Drain()])
    loop_of(busy).run()
    assert set(busy.waits) == {0.0}


def test_a_scheduler_that_has_requests_but_plans_nothing_is_a_loud_error(monkeypatch):
    link = ScriptedLink([request("a", [1])])
    monkeypatch.setattr(Scheduler, "plan", lambda _: None)
    with pytest.raises(EngineError, match="plans nothing"):
        loop_of(link).run()


def test_a_paused_loop_finishes_the_step_in_flight_and_waits_without_spinning():
    link, runner = (
        ScriptedLink([request("a", [1], max_tokens=50)], [], [Pause(request_id="p")]),
        (Journal(LIMITS)),
    )
    loop = loop_of(link, runner)
    for _ in range(6):
        loop.turn()
    assert runner.events == ["start 0", "start 1", "finish 0", "finish 1"]
    assert [m.request_id for m in link.sent if isinstance(m, Done)] == ["p"]
    assert len(outputs_of(link, "a")) == 2
    assert all(wait > 0 for wait in link.waits)


def test_after_a_pause_the_answers_are_what_they_would_have_been():
    asked = [request("a", [1, 2], max_tokens=9), request("b", [3], max_tokens=5)]
    link = ScriptedLink(
        asked[:1], [], [Pause(request_id="p")], asked[1:], [], [Resume(request_id="r")], [Drain()]
    )
    loop_of(link).run()
    for each in asked:
        assert outputs_of(link, each.request_id) == expected_tokens(each, LIMITS)[0]


def test_a_paused_loop_that_is_drained_goes_on():
    link = ScriptedLink([Pause(request_id="p"), request("a", [1], max_tokens=3)], [Drain()])
    loop_of(link).run()
    assert len(outputs_of(link, "a")) == 3


def test_a_request_expires_while_the_loop_is_paused():
    late = request("a", [1], deadline=1.0)
    link = ScriptedLink([Pause(request_id="p"), late])
    loop = loop_of(link)
    for _ in range(8):
        loop.turn()
    assert [m.request_id for m in link.sent if isinstance(m, TimedOut)] == ["a"]


def test_new_weights_wait_for_the_step_in_flight_and_the_next_one_waits_for_them():
    asked = request("a", [1, 2], max_tokens=5)
    link = ScriptedLink([asked], [], [UpdateWeights(request_id="u", folder="new"), Drain()])
    runner = Journal(LIMITS)
    loop_of(link, runner).run()
    assert runner.events[:5] == ["start 0", "start 1", "finish 0", "finish 1", "start 2"]
    assert [m.request_id for m in link.sent if isinstance(m, Done)] == ["u"]
    assert outputs_of(link, "a") == expected_tokens(asked, LIMITS)[0]


THREE_SIGNS = "start: /[!-A]{3}/"
"""Over tokens that the toy may sample, of the tiny tokenizer."""


def guided_loop(link: ScriptedLink) -> EngineLoop:
    return loop_of(link, guides=Guides(tiny_vocabulary))


def test_a_guided_request_is_served_once_its_grammar_is_compiled():
    guided = request("a", [1, 2], max_tokens=9, grammar=THREE_SIGNS)
    link = ScriptedLink([guided, request("b", [1]), Drain()])
    guided_loop(link).run()
    vocabulary = tiny_vocabulary()
    answer = vocabulary.decode_str(outputs_of(link, "a"))
    assert re.fullmatch(r"[!-A]{3}", answer)
    assert outputs_of(link, "b") == expected_tokens(request("b", [1]), LIMITS)[0]


def test_a_grammar_with_a_mistake_rejects_its_request_alone():
    link = ScriptedLink([request("a", [1], grammar="start: nothing"), request("b", [1]), Drain()])
    guided_loop(link).run()
    (rejected,) = (message for message in link.sent if isinstance(message, Rejected))
    assert rejected.request_id == "a"
    assert rejected.is_grammars_fault
    assert rejected.retry_after_seconds is None
    assert len(outputs_of(link, "b")) == 4


def test_a_client_that_goes_away_while_its_grammar_is_compiled_is_not_served():
    link = ScriptedLink([request("a", [1], grammar=THREE_SIGNS), Abort("a"), Drain()])
    guided_loop(link).run()
    assert not outputs_of(link, "a")
