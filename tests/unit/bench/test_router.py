"""What the conversations of the router's benchmark have in common, and what not."""

import random

import pytest
import router

import radixloom_runtime.router_settings as settings


def test_conversations_share_the_system_prompt_and_nothing_else():
    texts = router.conversations(random.Random(3), 5, 4)
    assert [len(each) for each in texts] == [5] * 5
    assert len({each[0] for each in texts}) == 1
    assert len({text for each in texts for text in each[1:]}) == 20


def test_another_round_has_other_conversations():
    one, other = (router.conversations(random.Random(f"7 prefix {n}"), 2, 2) for n in (0, 1))
    assert one[0][0] != other[0][0]


def test_the_policies_compared_are_all_there_are():
    assert set(router.POLICIES) == set(settings.RoutePolicy)


def test_the_report_tells_the_share_that_was_cached(capsys: pytest.CaptureFixture[str]):
    router.report("prefix", [router.Turn(100, 25, 0.5), router.Turn(300, 175, 0.1)], 2.0)
    told = capsys.readouterr().out
    assert "400 prompt tokens in 2.0 s, 50.0% cached" in told
    assert "TTFT median 0.300 s" in told
