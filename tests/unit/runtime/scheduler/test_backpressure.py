"""When those who find the queue full are told to come again."""

from radixloom_runtime.scheduler.backpressure import (
    DEFAULT_RETRY_SECONDS,
    LONGEST_SECONDS,
    MEMORY_SECONDS,
    SHORTEST_SECONDS,
    CompletionRate,
)


def test_before_anything_has_finished_a_default_is_told():
    assert CompletionRate().retry_after_seconds(100.0, 50) == DEFAULT_RETRY_SECONDS


def test_it_is_the_time_in_which_a_tenth_of_the_queue_will_have_finished():
    rate = CompletionRate()
    for second in range(11):
        rate.note(float(second), 2)
    seconds = rate.retry_after_seconds(10.0, 400)
    assert abs(seconds - 40 * 10 / 22) < 1e-9


def test_a_slower_engine_sends_clients_further_away():
    fast, slow = CompletionRate(), CompletionRate()
    for second in range(20):
        fast.note(float(second), 10)
        slow.note(float(second), 1)
    assert slow.retry_after_seconds(20.0, 200) == 10 * fast.retry_after_seconds(20.0, 200)


def test_old_completions_are_forgotten():
    rate = CompletionRate()
    rate.note(0.0, 1000)
    assert rate.retry_after_seconds(MEMORY_SECONDS + 1, 10) == DEFAULT_RETRY_SECONDS


def test_it_is_never_too_soon_and_never_for_ever():
    rate = CompletionRate()
    rate.note(0.0, 1)
    assert rate.retry_after_seconds(25.0, 1_000_000) == LONGEST_SECONDS
    rate.note(25.0, 1_000_000)
    assert rate.retry_after_seconds(25.0, 10) == SHORTEST_SECONDS
