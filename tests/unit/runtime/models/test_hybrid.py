"""A state holds its own request's tokens, however that is cut, stopped or preempted."""

from dataclasses import replace

import pytest
from support.goldens import golden
from support.serving import Service, request
from support.step_driver import Job, run
from support.tiny_models import HYBRID, tiny_runner

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # compiles, on a busy machine

hybrids = pytest.mark.parametrize("name", HYBRID)


@hybrids
@pytest.mark.parametrize("chunk_tokens", [1, 7, 40, 80])
def test_a_row_that_others_had_before_gives_the_goldens_with_chunks_of_any_size(name, chunk_tokens):
    data = golden(name)
    for prompts in ((0, 1, 2, 3), (7, 6, 5, 4)):
        jobs = [
            Job(data[f"ids_{p}"].tolist(), 24, row, range(row * 15, row * 15 + 15))
            for row, p in enumerate(prompts)
        ]
        run(tiny_runner(name), jobs, chunk_tokens=chunk_tokens)
        for job, prompt in zip(jobs, prompts, strict=True):
            assert job.ids == data[f"greedy_{prompt}"].tolist()


@hybrids
def test_a_request_that_stops_hurts_no_later_owner_of_its_row(name):
    data = golden(name)
    runner = tiny_runner(name)
    service = Service(runner.limits, runner=runner)
    expected: dict[str, list[int]] = {}
    for prompt in range(8):  # four rows: each has several owners
        greedy = data[f"greedy_{prompt}"].tolist()
        stop = greedy[9]  # known after the next token is planned: that chunk is wasted
        expected |= {f"whole {prompt}": greedy, f"stops {prompt}": greedy[: greedy.index(stop) + 1]}
        ids = data[f"ids_{prompt}"].tolist()
        service.submit(
            request(f"whole {prompt}", ids, max_tokens=24),
            request(f"stops {prompt}", ids, max_tokens=24, stop_token_ids=[stop]),
        )
    answers = service.run()
    assert {name: answer.token_ids for name, answer in answers.items()} == expected


@hybrids
def test_a_preempted_request_goes_on_with_the_same_tokens(name):
    data = golden(name)
    runner = tiny_runner(name)
    # Four at once want three pages each.
    service = Service(replace(runner.limits, num_pages=8, max_model_len=128), runner=runner)
    ids, greedy = data["ids_2"].tolist(), data["greedy_2"].tolist()
    answers = service.serve(*(request(str(i), ids, max_tokens=24) for i in range(6)))
    assert [answer.token_ids for answer in answers.values()] == [greedy] * 6
    assert service.scheduler.totals.preemptions > 0
    assert service.scheduler.totals.cached_tokens == 0
