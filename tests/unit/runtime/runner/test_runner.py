"""What a plan may ask for beside plain decoding, through the compiled step."""

from dataclasses import replace

import numpy as np
import pytest
from support.goldens import golden
from support.serving import Service, as_text, request
from support.step_driver import GREEDY, Job, run
from support.tiny_models import TIED, log_softmax, tiny_runner

from radixloom_runtime.errors import EngineError
from radixloom_runtime.runner.programs import CHANGE_GRANTS
from radixloom_runtime.wire.messages import Sampling
from radixloom_runtime.wire.plan import Chunk, PageGrant, RowStart, StepPlan

pytestmark = pytest.mark.timeout(300)  # may have to compile

DATA = golden(TIED)
PROMPT = DATA["ids_3"].tolist()
GREEDY_IDS = DATA["greedy_3"].tolist()


def job(row: int = 0, max_tokens: int = len(GREEDY_IDS), **options) -> Job:
    return Job(PROMPT, max_tokens, row, range(row * 8, row * 8 + 8), **options)


def finish(*jobs: Job, chunk_tokens: int = 40) -> None:
    run(tiny_runner(TIED), jobs, chunk_tokens=chunk_tokens)


def test_a_plan_without_chunks_gives_no_results():
    runner = tiny_runner(TIED)
    result = runner.finish(runner.start(StepPlan(17, (), (), ())))
    assert (result.number, result.chunks) == (17, ())


def test_a_bias_is_added_to_the_logits_but_not_to_the_logprobs():
    biased = job(sampling=Sampling(temperature=0.0, logit_bias={3: 100.0}), top_logprobs=1)
    finish(biased)
    assert set(biased.ids) == {3}
    expected = log_softmax(DATA["last_logits_3"])
    assert biased.results[0].logprob == pytest.approx(expected[3], abs=2e-3)
    assert biased.results[0].top is not None
    assert biased.results[0].top.ids.tolist() == [GREEDY_IDS[0]]


def test_as_many_biases_as_a_client_may_send_all_work():
    ban = {token: -100.0 for token in range(512) if token != 77}
    only = job(sampling=Sampling(temperature=0.0, logit_bias=ban))
    finish(only)
    assert set(only.ids) == {77}


def test_a_frequency_penalty_counts_output_tokens_and_not_the_prompt():
    plain = job(max_tokens=1)
    penalized = job(row=1, sampling=Sampling(temperature=0.0, frequency_penalty=100.0))
    finish(plain, penalized)
    assert penalized.ids[0] == plain.ids[0]
    assert len(set(penalized.ids)) == len(penalized.ids)


def test_a_repetition_penalty_counts_the_prompt_too():
    penalized = job(sampling=Sampling(temperature=0.0, repetition_penalty=1e6))
    finish(penalized)
    logits = DATA["last_logits_3"].copy()
    seen = np.unique(PROMPT)
    logits[seen] = np.where(logits[seen] > 0, logits[seen] / 1e6, logits[seen] * 1e6)
    assert penalized.ids[0] == logits.argmax()
    assert not set(penalized.ids) & set(PROMPT)


def test_a_row_forgets_the_penalties_of_the_request_before():
    finish(job(sampling=Sampling(temperature=0.0, frequency_penalty=2.0, logit_bias={5: 50.0})))
    after = job(sampling=Sampling(temperature=0.0, presence_penalty=1e-6))
    finish(after)
    assert after.ids == GREEDY_IDS


def test_a_stop_token_is_not_sampled_before_its_first_position():
    stop = GREEDY_IDS[0]
    kept = job(stop_token_ids=(stop,), min_tokens=2)
    free = job(row=1, stop_token_ids=(stop,))
    finish(kept, free)
    assert free.ids == GREEDY_IDS
    assert stop not in kept.ids[:2]


def test_a_preempted_request_goes_on_with_the_same_tokens():
    how = Sampling(temperature=0.9, top_p=0.9, seed=2**32 - 5, frequency_penalty=0.5)
    whole = job(sampling=how)
    finish(whole)
    assert whole.ids != GREEDY_IDS
    runner, kept = tiny_runner(TIED), whole.ids[:10]
    history = (*PROMPT, *kept)
    plan = StepPlan(
        0,
        (RowStart(3, how, history, len(PROMPT)),),
        (PageGrant(3, 0, tuple(range(50, 58))),),
        (Chunk(3, 0, history, samples=True),),
    )
    again = [runner.finish(runner.start(plan)).chunks[0].token_id]
    for position in range(len(history), len(history) + 3):
        chunk = Chunk(3, position, (), samples=True)
        result = runner.finish(runner.start(StepPlan(1, (), (), (chunk,))))
        again.append(result.chunks[0].token_id)
    assert again == whole.ids[10:14]


def test_guided_answers_batched_and_preempted_are_those_served_alone():
    """The toy's grammar, over the first 53 tokens of the model."""
    asked = [
        request(f"r{index}", PROMPT[: 8 + 5 * index], max_tokens=50 + index, grammar="60")
        for index in range(5)
    ]
    plain = request("plain", PROMPT, max_tokens=len(GREEDY_IDS))
    tight = replace(tiny_runner(TIED).limits, num_pages=8)
    together = Service(tight, runner=tiny_runner(TIED))
    together.serve(*asked, plain)
    assert together.scheduler.totals.preemptions > 0
    assert together.answers["plain"].token_ids == GREEDY_IDS
    for each in asked:
        alone = Service(tight, runner=tiny_runner(TIED), overlap=False)
        alone.serve(each)
        assert as_text(alone.answers)[each.request_id] == as_text(together.answers)[each.request_id]
        assert max(alone.answers[each.request_id].token_ids) < 53


def test_sampled_tokens_do_not_depend_on_the_batch():
    how = Sampling(temperature=1.0, top_k=50, min_p=0.01, seed=123)
    alone = job(row=2, sampling=how)
    finish(alone)
    beside = job(row=1, sampling=how)
    others = [
        Job(DATA["ids_5"].tolist(), 5, 0, range(20, 28), Sampling(temperature=2.0, seed=1)),
        Job(DATA["ids_1"].tolist(), 40, 3, range(40, 46), GREEDY),
    ]
    finish(others[0], beside, others[1], chunk_tokens=11)
    assert beside.ids == alone.ids


def test_a_known_token_decodes_like_the_one_fed_back_on_the_device():
    runner = tiny_runner(TIED)
    first = job(max_tokens=1)
    finish(first)
    chunk = Chunk(0, len(PROMPT), (GREEDY_IDS[0],), samples=True)
    result = runner.finish(runner.start(StepPlan(0, (), (), (chunk,))))
    assert result.chunks[0].token_id == GREEDY_IDS[1]


def test_more_changes_than_a_step_carries_are_all_applied():
    runner = tiny_runner(TIED)
    table = tuple(range(8, 16))
    many = [PageGrant(2, 8 + i % 24, (i % 64,)) for i in range(2 * CHANGE_GRANTS)]
    plan = StepPlan(
        0,
        (RowStart(2, GREEDY, tuple(PROMPT), len(PROMPT)),),
        (*many, PageGrant(2, 0, table)),
        (Chunk(2, 0, tuple(PROMPT), samples=True),),
    )
    assert runner.finish(runner.start(plan)).chunks[0].token_id == GREEDY_IDS[0]


def test_results_are_in_the_order_of_the_chunks_even_with_a_decode_last():
    runner = tiny_runner(TIED)
    finish(job(max_tokens=1))
    prompt = DATA["ids_2"].tolist()
    plan = StepPlan(
        0,
        (RowStart(1, GREEDY, tuple(prompt), len(prompt)),),
        (PageGrant(1, 0, (30, 31)),),
        (Chunk(1, 0, tuple(prompt), samples=True), Chunk(0, len(PROMPT), (), samples=True)),
    )
    found = [chunk.token_id for chunk in runner.finish(runner.start(plan)).chunks]
    assert found == [DATA["greedy_2"][0], GREEDY_IDS[1]]


def test_a_plan_over_the_limits_is_an_engine_error():
    runner = tiny_runner(TIED)
    plan = StepPlan(9, (), (), (Chunk(0, 0, tuple(range(81)), samples=False),))
    with pytest.raises(EngineError, match="step 9 has 81 tokens in 1 chunks, over the limits of"):
        runner.start(plan)
