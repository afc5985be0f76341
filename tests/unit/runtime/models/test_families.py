"""Every family's numbers are the reference implementation's, through pages, chunks and batches.

The prompts reach past every window; each checkpoint's reference was made so that a feature done
wrong moves its logits by far more than the tolerance.
"""

import re

import jax.numpy as jnp
import pytest
from support.golden_jobs import assert_gives_goldens
from support.goldens import assert_same_top, folder, golden
from support.step_driver import Job, run
from support.tiny_models import (
    DENSE,
    HYBRID,
    SPARSE,
    WHOLE_ONLY,
    runner_of,
    tiny_model,
    tiny_runner,
)

from radixloom_runtime.models.registry import make_model
from radixloom_runtime.ops.attention_tpu import TPUAttention
from radixloom_runtime.runner.checkpoint import Checkpoint

pytestmark = pytest.mark.timeout(300)  # compiles two steps of each model, on a busy machine

QUICK = {"gemma3-text"}
"""Windows, two ropes, norms of queries and keys, before and after: the most that one has."""

families = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in (*DENSE, *SPARSE, *HYBRID, *WHOLE_ONLY)
    ],
)


@families
def test_greedy_tokens_and_logprobs_equal_the_goldens(name):
    assert_gives_goldens(tiny_runner(name), name)


@pytest.mark.slow
def test_a_long_engine_turns_long_requests_by_the_long_factors():
    """The checkpoint's own limit is 512, its original one 64: prompts 4 to 7 are longer."""
    assert_gives_goldens(tiny_runner("phi3-longrope"), "phi3-longrope", (4, 5, 6, 7))


@pytest.mark.slow
def test_the_tpus_attention_gives_gpt_oss_its_tokens_with_sinks_and_windows():
    name = "gpt-oss-mxfp4"
    model = make_model(
        tiny_model(name).config,
        dtype=jnp.dtype("float32"),
        attention=TPUAttention(interpret=True),
        stacked=True,
    )
    assert_gives_goldens(runner_of(model, folder(name)), name)


@families
def test_logprobs_equal_the_goldens_at_every_position(name):
    data = golden(name)
    ids = data["ids_3"].tolist()
    job = Job(ids, 1, row=1, pages=range(20, 24), prompt_logprobs=20)
    run(tiny_runner(name), [job], chunk_tokens=7)
    tops = [top for result in job.prompt_results for top in result.prompt_tops]
    assert len(tops) == len(ids) - 1
    expected = zip(data["all_top_ids"], data["all_top_logprobs"], strict=True)
    for top, (top_ids, logprobs) in zip(tops, expected, strict=False):
        assert_same_top(top, top_ids, logprobs)


READ_IN_TWO = "kv_b_proj.weight"
"""Its rows for keys and its rows for values are two weights."""


def after_the_last(tensor: str, name: str) -> bool:
    """Whether a tensor belongs to a layer that predicts further tokens, which is not read."""
    parts = tensor.split(".")
    return parts[1] == "layers" and int(parts[2]) >= tiny_model(name).config.num_layers


@families
def test_every_tensor_of_the_checkpoint_is_named_by_exactly_one_row(name):
    named = [part for spec in tiny_model(name).specs for part in spec.checkpoint]
    whole = [part for part in named if not part.endswith(READ_IN_TWO)]
    assert len(whole) == len(set(whole))
    stored = Checkpoint(folder(name))
    read = {each for each in stored.names if not after_the_last(each, name)}
    assert set(named) == {re.sub("_(blocks|scales)$", "", each) for each in read}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gemma3-text", "gpt-oss-mxfp4", "qwen3-moe-sparse", *HYBRID])
def test_layers_scanned_over_stacked_weights_give_the_same_tokens(name):
    data = golden(name)
    ids, greedy = data["ids_7"].tolist(), data["greedy_7"].tolist()
    job = Job(ids, len(greedy), row=0, pages=range(15))
    run(tiny_runner(name, stacked=True), [job], chunk_tokens=50)
    assert job.ids == greedy
