"""Caches of fewer bits: near the float32 goldens, and the same answer however it is computed."""

import numpy as np
import pytest
from support.goldens import golden
from support.logprob_error import error, top_logprobs
from support.serving import Service
from support.step_driver import Job, run
from support.tiny_models import TIED, UNTIED, tiny_model, tiny_runner

from radixloom_runtime.models.sharding import MeshShape
from radixloom_runtime.wire.messages import Sampling, Submit

pytestmark = pytest.mark.timeout(300)  # compiles two steps of each model, on a busy machine

LATENT, EXPERTS = "deepseek-v3", "qwen3-moe-sparse"
SMALL = ("float8_e4m3fn", "int8")

ERRORS = {"bfloat16": (0.05, 0.9), "float8_e4m3fn": (0.45, 0.55), "int8": (0.12, 0.85)}
"""Bounds: mean |difference of a logprob|, and how often the likeliest token is the same.

As for quantized weights, the random weights of these models make rounding show more than it does
in a trained one. What was found is in docs/measurements.md.
"""


def near(name: str, dtype: str) -> None:
    mean, share = error(top_logprobs(tiny_runner(name, kv_dtype=dtype), name)[0], golden(name))
    most, least = ERRORS[dtype]
    assert mean <= most
    assert share >= least
    assert mean > 1e-6, "nothing was rounded"


@pytest.mark.parametrize("dtype", [SMALL[0], pytest.param(SMALL[1], marks=pytest.mark.slow)])
def test_a_small_cache_stays_near_the_float32_goldens(dtype):
    near(UNTIED, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ERRORS)
@pytest.mark.parametrize("name", [TIED, UNTIED, "qwen3", "gemma2", EXPERTS, LATENT])
def test_every_dtype_stays_near_the_float32_goldens(name, dtype):
    near(name, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", *SMALL])
def test_no_step_copies_or_widens_the_cache(dtype):
    runner = tiny_runner(UNTIED, kv_dtype=dtype, num_pages=4096)
    for bucket in runner.programs.layouts:
        memory = runner.programs.step(bucket).memory_analysis()
        assert memory.temp_size_in_bytes < runner.pool_bytes / 4


def alone(runner, data, prompt: int, *, row: int = 0, chunk_tokens: int = 80, first: int = 0):
    ids = data[f"ids_{prompt}"].tolist()
    job = Job(ids, 24, row, range(first, first + 15))
    run(runner, [job], chunk_tokens=chunk_tokens)
    return job.ids


@pytest.mark.slow
@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize("name", [UNTIED, LATENT])
def test_chunks_rows_pages_and_neighbours_do_not_change_the_answer(name, dtype):
    data, runner = golden(name), tiny_runner(name, kv_dtype=dtype)
    prompts = (5, 6, 3, 1)
    expected = [alone(runner, data, prompt) for prompt in prompts]
    for row, chunk_tokens, first in ((3, 1, 30), (2, 33, 50)):
        others = {"row": row, "chunk_tokens": chunk_tokens, "first": first}
        assert [alone(runner, data, prompt, **others) for prompt in prompts] == expected
    together = [
        Job(data[f"ids_{prompt}"].tolist(), 24, row, range(row * 15, row * 15 + 15))
        for row, prompt in enumerate(prompts)
    ]
    run(runner, together, chunk_tokens=29)
    assert [job.ids for job in together] == expected
    shared = Job(data["ids_5"].tolist(), 24, 1, [*range(4), *range(70, 80)], cached=64)
    run(runner, [shared], chunk_tokens=50)  # on the first pages of the one that ran in row 0
    assert shared.ids == expected[0]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", SMALL)
def test_preempted_cached_and_in_host_memory_the_answers_are_the_same(dtype):
    data = golden(TIED)
    runner = tiny_runner(TIED, page_tokens=4, num_pages=24, num_host_pages=30, kv_dtype=dtype)

    def asked(name: str, first: int) -> Submit:
        tokens = np.resize(data["ids_5"], 40 + 5 * first).tolist()
        how = Sampling(temperature=0.8, seed=first)
        return Submit(request_id=name, prompt_ids=[first, *tokens], max_tokens=12, sampling=how)

    plain = Service(runner.limits, runner=runner, prefix_cache=False)
    for index in range(3):
        plain.serve(asked(f"r{index}", index))
    expected = [plain.answers[f"r{index}"].token_ids for index in range(3)]
    service = Service(runner.limits, runner=runner)
    service.serve(*(asked(f"r{index}", index) for index in range(3)))
    assert [service.answers[f"r{index}"].token_ids for index in range(3)] == expected
    for index in range(3):
        answer = service.serve(asked(f"again{index}", index))[f"again{index}"]
        assert answer.token_ids == expected[index]
    moves = [move.to_host for plan in service.plans for move in plan.moves]
    assert set(moves) == {True, False}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize(
    ("name", "shape"), [(UNTIED, MeshShape(tensor=4)), (LATENT, MeshShape(expert=1, tensor=2))]
)
def test_cut_over_devices_the_answer_is_that_of_one(name, shape, dtype):
    data = golden(name)
    one = alone(tiny_runner(name, kv_dtype=dtype), data, 5)
    assert alone(tiny_runner(name, kv_dtype=dtype, mesh_shape=shape), data, 5) == one


@pytest.mark.parametrize("name", [UNTIED, LATENT])
def test_a_token_takes_half_the_memory_of_bfloat16_and_scales_little_more(name):
    tokens = {d: tiny_model(name, kv_dtype=d).token_bytes for d in ("bfloat16", *SMALL)}
    assert tokens["float8_e4m3fn"] * 2 == tokens["bfloat16"]
    assert tokens["float8_e4m3fn"] < tokens["int8"] < 1.2 * tokens["float8_e4m3fn"]
