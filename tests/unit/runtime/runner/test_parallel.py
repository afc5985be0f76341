"""However the model is cut over devices, the tokens are those of one device."""

import math
import re

import pytest
from support.golden_jobs import assert_gives_goldens
from support.goldens import golden
from support.step_driver import Job, run
from support.tiny_models import TIED, UNTIED, tiny_model, tiny_runner

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.models.sharding import MeshShape
from radixloom_runtime.ops.sampling import MAX_TOP
from radixloom_runtime.wire.messages import Sampling

pytestmark = pytest.mark.timeout(300)  # compiles two steps of each model, on a busy machine


def cut(tensor: int, expert: int = 1, data: int = 1) -> MeshShape:
    return MeshShape(data, expert, tensor)


def param(name: str, shape: MeshShape, *, slow: bool = True):
    marks = (pytest.mark.slow,) if slow else ()
    sizes = "x".join(map(str, shape.sizes if shape.data > 1 else shape.sizes[1:]))
    return pytest.param(name, shape, marks=marks, id=f"{name}-{sizes}")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        param(UNTIED, cut(4), slow=False),
        param(UNTIED, cut(2)),
        param(UNTIED, cut(2, 2)),
        param("qwen3", cut(2)),
        param("qwen3", cut(4)),
        param("qwen", cut(4)),
        param("qwen2-bias", cut(4)),
        param("phi3", cut(2)),
        param("phi3", cut(4)),
        param("olmo2", cut(4)),
        param("glm4", cut(4)),
        param("gemma2", cut(4)),
        param("gemma3-text", cut(4)),
        param("mistral-swa", cut(4)),
        param("smollm3", cut(4)),
        param("mixtral", cut(4)),
        param("qwen2-moe", cut(2, 2)),
        param("qwen3-moe-sparse", cut(2, 2)),
        param("qwen3-moe-sparse", cut(1, 4)),
        param("qwen3-moe-sparse", cut(4)),
        param("qwen3-moe-sparse", cut(1, 2)),
        param("deepseek-v2-lite", cut(4)),
        param("deepseek-v2-lite", cut(2, 2)),
        param("deepseek-v3", cut(2)),
        param("deepseek-v3", cut(1, 4)),
        param("glm4-moe", cut(2, 2)),
        param("gpt-oss-mxfp4", cut(2)),
        param("gpt-oss-mxfp4", cut(4)),
        param("gpt-oss-mxfp4", cut(2, 2)),
        param("gpt-oss-mxfp4", cut(1, 4)),
        param("bailing-moe-v1", cut(2, 2)),
        param("bailing-moe-v2", cut(2, 2)),
        param("bailing-hybrid", cut(2)),
        param("qwen3-next", cut(2)),
        param(UNTIED, cut(1, data=2)),
        param(UNTIED, cut(2, data=2)),
        param("qwen3-moe-sparse", cut(1, data=2)),
        param("qwen3-moe-sparse", cut(2, data=2)),
        param("qwen3-moe-sparse", cut(2, 2, data=2)),
        param("deepseek-v3", cut(1, data=2)),
        param("deepseek-v2-lite", cut(2, data=2)),
        param("deepseek-v3", cut(1, data=4)),
        param("gemma3-text", cut(1, data=2)),
        param("qwen3-next", cut(2, data=2)),
    ],
)
def test_a_model_cut_over_devices_gives_the_goldens_tokens(name, shape):
    assert_gives_goldens(tiny_runner(name, mesh_shape=shape), name)


@pytest.mark.parametrize(
    ("name", "shape", "found", "fitting"),
    [
        (TIED, cut(2), "9 heads cannot be shared out evenly over 2 devices", "1"),
        (UNTIED, cut(3), "8 heads cannot be shared out evenly over 3 devices", "1, 2, 4, 8"),
        ("qwen3-moe-sparse", cut(1, 3), "4 heads cannot be shared out evenly over 3", "none"),
        ("qwen2-moe", cut(1, data=4), "10 experts cannot be shared out evenly over 4", "none"),
    ],
)
def test_what_does_not_divide_is_refused_with_the_sizes_that_would(name, shape, found, fitting):
    with pytest.raises(ConfigurationError) as raised:
        tiny_model(name, mesh_shape=shape)
    assert found in str(raised.value)
    assert str(raised.value).endswith(f"tensor_parallel can be: {fitting}")


@pytest.mark.parametrize(
    ("name", "shape", "sums"), [(UNTIED, cut(4), 3), ("qwen3-moe-sparse", cut(2, 2), 5)]
)
def test_devices_tell_each_other_sums_of_activations_and_never_weights_or_scores(name, shape, sums):
    runner = tiny_runner(name, mesh_shape=shape)
    bucket = next(bucket for bucket in runner.programs.layouts if not bucket.mixed)
    text = runner.programs.step(bucket).as_text()
    told = re.findall(
        r"= \w+\[([\d,]*)\](?:\{\S*)? (all-gather|all-reduce|all-to-all|collective-\S+?)\(", text
    )
    activations = (f"{bucket.tokens},{runner.programs.model.config.embed_dim}", "all-reduce")
    assert told.count(activations) == sums
    others = [sizes for sizes, _ in told if sizes != activations[0]]
    assert others  # the sampler's: a few numbers for each row
    for sizes in others:
        numbers = math.prod(int(size) for size in sizes.split(",") if size)
        assert numbers <= bucket.rows * MAX_TOP * shape.num_devices, sizes


SAMPLINGS = (
    Sampling(temperature=0.0, repetition_penalty=1.4, logit_bias={3: 4.0, 200: 2.0}),
    Sampling(temperature=1.0, seed=3),
    Sampling(temperature=0.8, top_k=40, min_p=0.01, seed=4, frequency_penalty=0.7),
    Sampling(temperature=1.3, top_p=0.9, seed=5),
)
PAGES = 7
"""Of each request, for 97 tokens and 12 more."""


def sampled_on(shape: MeshShape) -> list[Job]:
    """Sample in all ways at once; groups take turns, so that they want different branches."""
    runner = tiny_runner(UNTIED, mesh_shape=shape)
    prompt, limits = golden(UNTIED)["ids_5"].tolist(), runner.limits
    jobs: list[Job] = []
    for index, sampling in enumerate(SAMPLINGS):
        place, group = divmod(index, limits.num_groups)
        first_page = group * limits.num_pages + place * PAGES
        row, pages = group * limits.max_rows + place, range(first_page, first_page + PAGES)
        jobs.append(Job(prompt, 12, row, pages, sampling, top_logprobs=3))
    run(runner, jobs, chunk_tokens=40)
    return jobs


@pytest.mark.parametrize(
    "shape",
    [
        cut(4),
        pytest.param(MeshShape(data=2, tensor=2), marks=pytest.mark.slow),
        pytest.param(cut(2), marks=pytest.mark.slow),
    ],
    ids=lambda shape: f"{shape.data}x{shape.tensor}",
)
def test_a_vocabulary_cut_over_devices_samples_the_tokens_of_one(shape: MeshShape):
    for one, several in zip(sampled_on(cut(1)), sampled_on(shape), strict=True):
        assert one.ids == several.ids, one.sampling
        for expected, found in zip(one.results, several.results, strict=True):
            assert found.logprob == pytest.approx(expected.logprob, abs=1e-3)
            assert found.top is not None
            assert expected.top is not None
            assert found.top.ids.tolist() == expected.top.ids.tolist()


def test_a_device_keeps_its_own_part_of_weights_and_pages_and_no_more():
    one, four = tiny_runner(UNTIED), tiny_runner(UNTIED, mesh_shape=cut(4))
    whole, part = (runner.programs.model for runner in (one, four))
    assert part.token_bytes * 2 == whole.token_bytes  # 2 kv heads: pairs of devices share one
    assert part.device_bytes < 0.3 * whole.device_bytes
