"""Copies of the attention on devices of their own: each request gets what it gets alone."""

import re

import pytest
from support.goldens import golden
from support.serving import Answer, Service
from support.tiny_models import UNTIED, tiny_runner

from radixloom_runtime.models.sharding import ONE_DEVICE, MeshShape
from radixloom_runtime.scheduler.speculation import Speculation
from radixloom_runtime.wire.messages import Sampling, Submit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SPARSE = "qwen3-moe-sparse"
DATA = {name: golden(name) for name in (UNTIED, SPARSE)}
TWO_BY_TWO, TWO = MeshShape(data=2, tensor=2), MeshShape(data=2)
HOW = (
    {},
    {"temperature": 0.9, "top_p": 0.8},
    {"repetition_penalty": 1.3, "frequency_penalty": 0.5},
    {"temperature": 0.7, "logit_bias": {5: 4.0, 9: -8.0}},
    {"temperature": 1.0, "min_p": 0.05, "presence_penalty": 1.0},
)


def asked(name: str, index: int) -> Submit:
    """One of several kinds of requests, of which three share the start of their prompts."""
    prompt = DATA[name][f"ids_{2 + index % 2}"].tolist()
    return Submit(
        request_id=f"r{index}",
        prompt_ids=[*prompt, *range(index % 4)],
        max_tokens=7 + index % 5,
        sampling=Sampling(seed=index, **({"temperature": 0.0} | HOW[index % len(HOW)])),
        logprobs=3 if index % 4 == 1 else None,
        prompt_logprobs=2 if index == 6 else None,
    )


def runner_of(name: str, shape: MeshShape, num_pages: int = 40):
    return tiny_runner(name, page_tokens=4, num_pages=num_pages, mesh_shape=shape)


def alone(name: str, requests: list[Submit]) -> dict[str, Answer]:
    """Each by itself, on one device, without a cache."""
    runner = runner_of(name, ONE_DEVICE)
    service = Service(runner.limits, runner=runner, prefix_cache=False)
    for each in requests:
        service.serve(each)
    return service.answers


@pytest.mark.parametrize(
    ("name", "shape", "num_pages"),
    [(UNTIED, TWO_BY_TWO, 40), (SPARSE, TWO, 40), (SPARSE, TWO_BY_TWO, 18)],
)
def test_requests_on_groups_get_what_each_gets_alone_on_one_device(name, shape, num_pages):
    """The smaller pool has room for one and a half of the longest: some are preempted."""
    requests = [asked(name, index) for index in range(12)]
    runner = runner_of(name, shape, num_pages)
    service = Service(runner.limits, runner=runner, speculation=Speculation(2))
    service.submit(*requests[:7])
    for _ in range(3):
        service.step()
    answers = service.serve(*requests[7:])
    expected = alone(name, requests)
    for each in requests:
        ours, theirs = answers[each.request_id], expected[each.request_id]
        assert (ours.token_ids, ours.finish_reason) == (theirs.token_ids, theirs.finish_reason)
        for found, wanted in zip(logprobs_of(ours), logprobs_of(theirs), strict=True):
            assert found == pytest.approx(wanted, abs=2e-3)
    groups = {runner.limits.group_of_row(s.row) for plan in service.plans for s in plan.starts}
    assert groups == {0, 1}
    assert any(answers[each.request_id].cached_tokens for each in requests)
    assert bool(service.scheduler.totals.preemptions) == (num_pages < 40)


def logprobs_of(answer: Answer) -> list[float]:
    entries = [entry for output in answer.outputs for entry in output.logprobs or ()]
    entries += [
        entry for output in answer.outputs for entry in output.prompt_logprobs or () if entry
    ]
    return [entry.logprob for entry in entries]


def test_experts_are_held_once_by_all_groups_and_attention_by_each():
    one = runner_of(SPARSE, ONE_DEVICE).programs.model
    two = runner_of(SPARSE, TWO).programs.model

    def num_bytes(model, *, experts: bool) -> int:
        return sum(
            spec.num_bytes(model.dtype, model.mesh_shape)
            for spec in model.specs
            if any(dim[0].name == "experts" for dim in spec.dims) == experts
        )

    assert num_bytes(two, experts=True) * 2 == num_bytes(one, experts=True)
    assert num_bytes(two, experts=False) == num_bytes(one, experts=False)
    assert two.token_bytes == one.token_bytes


def test_groups_tell_each_other_tokens_for_the_experts_and_results_and_nothing_else():
    runner = runner_of(SPARSE, TWO)
    bucket = next(bucket for bucket in runner.programs.layouts if not bucket.mixed)
    text = runner.programs.step(bucket).as_text()
    told = re.findall(r"= (\S+?)(?:\{\S*)? (all-\S+?|reduce-scatter|collective-\S+?)\(", text)
    embed, rows = runner.programs.model.config.embed_dim, bucket.rows
    assert sorted(told) == sorted(
        [
            (f"f32[{2 * rows},{embed}]", "all-gather"),
            (f"f32[{rows},{embed}]", "reduce-scatter"),
            (f"s32[{2 * rows}]", "all-gather"),  # sampled ids, and whether each counts
            (f"pred[{2 * rows}]", "all-gather"),
            (f"f32[{2 * rows}]", "all-gather"),
            (f"s32[{2 * rows},20]", "all-gather"),
            (f"f32[{2 * rows},20]", "all-gather"),
        ]
    )
