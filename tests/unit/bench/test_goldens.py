"""The judge of the goldens must be able to say no."""

from dataclasses import replace
from typing import Any

import goldens
import pytest

GOLDEN: dict[str, Any] = {
    "id": 0,
    "prompt_ids": [1, 2, 3],
    "greedy_ids": [7, 8, 9],
    "top5_logprobs": [[-0.1, -2.0, -3.0, -4.0, -5.0]] * 3,
    "ambiguous_steps": [1],
}
EQUAL = goldens.Answer(
    prompt_ids=[1, 2, 3],
    token_ids=[7, 8, 9],
    top_logprobs=[[-0.101, -2.0, -3.0, -4.0, -5.0]] * 3,
    cached_tokens=0,
)


def test_the_same_ids_and_near_logprobs_are_equal():
    verdict = goldens.compare(GOLDEN, EQUAL)
    assert verdict.problem == ""
    assert verdict.steps_compared == 3
    assert verdict.largest_difference == pytest.approx(1e-3)


def test_another_choice_at_an_ambiguous_step_ends_the_comparison_in_peace():
    verdict = goldens.compare(GOLDEN, replace(EQUAL, token_ids=[7, 6, 6]))
    assert (verdict.problem, verdict.steps_compared) == ("", 1)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"prompt_ids": [1, 2]}, "the prompt's ids differ"),
        ({"token_ids": [7, 8]}, "wanted 3 tokens, got 2"),
        ({"token_ids": [6, 8, 9]}, "step 0: wanted id 7, got 6"),
        ({"token_ids": [7, 8, 6]}, "step 2: wanted id 9, got 6"),
        (
            {"top_logprobs": [[-0.103, -2.0, -3.0, -4.0, -5.0]] * 3},
            "step 0: logprobs differ by 3.0e-03",
        ),
    ],
)
def test_anything_else_is_a_problem(changed: dict[str, Any], problem: str):
    assert goldens.compare(GOLDEN, replace(EQUAL, **changed)).problem == problem


def test_problems_are_counted(capsys: pytest.CaptureFixture[str]):
    wrong = replace(EQUAL, prompt_ids=[])
    assert goldens.report([GOLDEN, GOLDEN], [(EQUAL, EQUAL), (EQUAL, wrong)]) == 1
    assert capsys.readouterr().out.count("equal") == 3
