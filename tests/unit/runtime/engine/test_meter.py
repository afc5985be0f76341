"""Times and reports, with a clock that the test turns."""

from support.serving import LIMITS, request
from support.toy_runner import ToyRunner

from radixloom_runtime.engine.meter import BUSY_SECONDS, IDLE_SECONDS, Meter
from radixloom_runtime.scheduler.scheduler import Scheduler


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def meter_of(clock: Clock, *, compiles: int = 0) -> Meter:
    return Meter(Scheduler(LIMITS, max_queued_requests=4), clock, lambda: compiles)


def test_host_seconds_are_the_step_without_the_device():
    clock = Clock()
    meter = meter_of(clock)
    with meter.step():
        clock.now += 1.0
        with meter.device():
            clock.now += 5.0
        clock.now += 2.0
    stats = meter.report(clock.now)
    assert (stats.step_seconds, stats.host_seconds) == (8.0, 3.0)


def test_a_call_to_the_device_is_timed_while_it_goes_on():
    clock = Clock()
    meter = meter_of(clock)
    assert meter.seconds_on_device(clock.now) == 0
    with meter.device():
        clock.now += 5.0
        assert meter.seconds_on_device(clock.now) == 5.0
    assert meter.seconds_on_device(clock.now) == 0


def test_reports_are_frequent_with_steps_and_rare_without():
    clock = Clock()
    meter = meter_of(clock)
    meter.report(clock.now)
    assert meter.seconds_to_report(clock.now) == IDLE_SECONDS
    meter.steps += 1
    assert meter.seconds_to_report(clock.now) == BUSY_SECONDS
    clock.now += BUSY_SECONDS
    assert meter.is_report_due(clock.now)
    meter.report(clock.now)
    assert not meter.is_report_due(clock.now)


def test_seconds_since_step_count_from_the_last_step():
    clock = Clock()
    meter = meter_of(clock)
    with meter.step():
        clock.now += 1.0
    clock.now += 7.0
    assert meter.report(clock.now).seconds_since_step == 7.0


def test_a_report_shows_requests_tokens_pages_and_compiles():
    clock = Clock()
    scheduler = Scheduler(LIMITS, max_queued_requests=4)
    meter, runner = Meter(scheduler, clock, lambda: 3), ToyRunner(LIMITS)
    scheduler.submit(request("a", range(10)))
    plan = scheduler.plan()
    assert plan is not None
    scheduler.submit(request("b", [1]))
    scheduler.commit(plan, runner.finish(runner.start(plan)))
    stats = meter.report(clock.now)
    assert (stats.num_running, stats.num_waiting) == (1, 1)
    assert (stats.prompt_tokens, stats.cached_tokens, stats.output_tokens) == (10, 0, 1)
    assert (stats.kv_tokens_used, stats.kv_tokens_cached, stats.kv_tokens_total) == (12, 0, 256)
    assert stats.compiles_after_warmup == 3
