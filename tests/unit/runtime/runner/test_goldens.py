"""The numbers are those of the reference implementation, through pages, chunks and batches."""

import numpy as np
import pytest
from support.goldens import golden
from support.step_driver import Job, run
from support.tiny_models import TIED, UNTIED, log_softmax, tiny_runner

pytestmark = pytest.mark.timeout(300)  # compiles two steps of each model, on a busy machine

TOLERANCE = 2e-3
NUM_PROMPTS = 8


def job_for(data: dict[str, np.ndarray], prompt: int, row: int, pages: range, **options) -> Job:
    ids = data[f"ids_{prompt}"].tolist()
    return Job(ids, len(data[f"greedy_{prompt}"]), row, pages, **options)


@pytest.mark.parametrize("name", [TIED, pytest.param(UNTIED, marks=pytest.mark.slow)])
def test_greedy_tokens_and_logprobs_equal_the_goldens(name):
    data, runner = golden(name), tiny_runner(name)
    for first in range(0, NUM_PROMPTS, 4):  # four at a time fill all rows
        prompts = range(first, first + 4)
        jobs = [
            job_for(data, p, row=3 - i, pages=range(i * 15, i * 15 + 15), top_logprobs=20)
            for i, p in enumerate(prompts)
        ]
        run(runner, jobs, chunk_tokens=40)
        for job, prompt in zip(jobs, prompts, strict=True):
            assert job.ids == data[f"greedy_{prompt}"].tolist()
            expected = log_softmax(data[f"last_logits_{prompt}"])
            top = job.results[0].top
            assert top is not None
            np.testing.assert_allclose(top.logprobs, expected[top.ids], atol=TOLERANCE)
            assert top.ids[0] == expected.argmax()


@pytest.mark.parametrize("chunk_tokens", [7, 80])
def test_prompt_logprobs_equal_the_goldens_at_every_position(chunk_tokens):
    data, runner = golden(TIED), tiny_runner(TIED)
    ids = data["ids_3"].tolist()
    job = Job(ids, 1, row=1, pages=range(20, 24), prompt_logprobs=5)
    run(runner, [job], chunk_tokens=chunk_tokens)
    expected = log_softmax(data["all_logits_3"])
    found = np.concatenate([result.prompt_logprobs for result in job.prompt_results])
    assert len(found) == len(ids) - 1
    np.testing.assert_allclose(found, expected[np.arange(len(ids) - 1), ids[1:]], atol=TOLERANCE)
    tops = [top for result in job.prompt_results for top in result.prompt_tops]
    for position, top in enumerate(tops):
        assert top.ids.tolist() == np.argsort(-expected[position])[:5].tolist()


def test_a_request_gets_the_same_tokens_alone_in_any_row_and_in_any_chunks():
    data, runner = golden(TIED), tiny_runner(TIED)
    expected = data["greedy_5"].tolist()
    for row, chunk_tokens, pages in [(0, 80, range(9)), (3, 1, range(30, 39)), (2, 33, range(9))]:
        job = job_for(data, 5, row, pages)
        run(runner, [job], chunk_tokens=chunk_tokens)
        assert job.ids == expected


def test_rows_that_share_the_pages_of_their_prefix_get_the_tokens_of_rows_that_do_not():
    data, runner = golden(TIED), tiny_runner(TIED)
    whole = job_for(data, 7, row=0, pages=range(15))
    run(runner, [whole], chunk_tokens=64)
    shared = range(11)  # 176 of 200 tokens
    others = [
        job_for(data, 7, row=row, pages=[*shared, *range(20 + row * 5, 24 + row * 5)])
        for row in (1, 2)
    ]
    for job in others:
        job.cached = len(shared) * 16
    run(runner, others, chunk_tokens=64)
    assert whole.ids == others[0].ids == others[1].ids == data["greedy_7"].tolist()


def test_a_chunk_may_read_pages_that_another_chunk_of_the_same_step_fills():
    data, runner = golden(TIED), tiny_runner(TIED)
    prompt = data["ids_3"].tolist()  # 37 tokens: two pages and a bit
    filler = Job(prompt[:33], 1, row=0, pages=[5, 6, 7])
    reader = Job(prompt, len(data["greedy_3"]), row=1, pages=[5, 6, 8, 9, 10], cached=32)
    run(runner, [filler, reader], chunk_tokens=40)
    assert reader.ids == data["greedy_3"].tolist()


@pytest.mark.parametrize("page_tokens", [1, 32])
@pytest.mark.slow
def test_page_size_does_not_change_the_tokens(page_tokens):
    data, runner = golden(TIED), tiny_runner(TIED, page_tokens=page_tokens, num_pages=1024)
    job = job_for(data, 5, row=0, pages=range(1, 1 + -(-130 // page_tokens)))
    run(runner, [job], chunk_tokens=50)
    assert job.ids == data["greedy_5"].tolist()


@pytest.mark.slow
def test_layers_scanned_over_stacked_weights_give_the_same_tokens():
    data, runner = golden(UNTIED), tiny_runner(UNTIED, stacked=True)
    job = job_for(data, 6, row=0, pages=range(15), top_logprobs=20)
    run(runner, [job], chunk_tokens=50)
    assert job.ids == data["greedy_6"].tolist()
    expected = log_softmax(data["last_logits_6"])
    top = job.results[0].top
    assert top is not None
    np.testing.assert_allclose(top.logprobs, expected[top.ids], atol=TOLERANCE)
