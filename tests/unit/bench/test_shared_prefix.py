"""What is asked, and how differences are told."""

import shared_prefix
from streaming import Answer


def test_all_requests_share_the_prefix_and_differ_after_it():
    prompts = [body["prompt"] for body in shared_prefix.requests("tiny", seed=5)]
    assert len(prompts) == 64
    assert len({tuple(prompt[:512]) for prompt in prompts}) == 1
    assert len({tuple(prompt) for prompt in prompts}) == 64


def test_half_of_the_requests_are_sampled_with_a_seed_of_their_own():
    bodies = shared_prefix.requests("tiny", seed=5)
    assert [body["temperature"] for body in bodies[:4]] == [0, 0.8, 0, 0.8]
    assert len({body["seed"] for body in bodies if "seed" in body}) == 32


def test_a_prefix_is_new_for_each_seed():
    first, second = [shared_prefix.requests("tiny", seed)[0]["prompt"] for seed in (1, 2)]
    assert first[:512] != second[:512]


def test_a_different_answer_is_named_with_its_first_different_step():
    found = [Answer((1, 2, 3), 0, 0.0, 0.0), Answer((1, 2), 0, 0.0, 0.0)]
    assert shared_prefix.differing("alone", [(1, 2, 3), (1, 2)], found) == []
    assert shared_prefix.differing("alone", [(1, 9, 3), (1, 2, 3)], found) == [
        "alone: request 0 differs from step 1 on",
        "alone: request 1 differs from step 2 on",
    ]
