"""Pages that go to host memory and come back, through the real pool of a tiny model."""

import numpy as np
import pytest
from support.goldens import golden
from support.serving import Service
from support.tiny_models import TIED, UNTIED, tiny_runner

from radixloom_runtime.errors import EngineError
from radixloom_runtime.models.sharding import ONE_DEVICE, MeshShape
from radixloom_runtime.wire.messages import Sampling, Submit
from radixloom_runtime.wire.plan import PageMove, StepPlan

pytestmark = pytest.mark.timeout(300)  # may have to compile

DATA = golden(TIED)


def runner_of(name: str, shape: MeshShape):
    """A pool that holds one prompt and a half in each group."""
    return tiny_runner(name, page_tokens=4, num_pages=24, num_host_pages=80, mesh_shape=shape)


def asked(name: str, first: int, length: int) -> Submit:
    tokens = np.resize(DATA["ids_5"], length).tolist()
    return Submit(
        request_id=name,
        prompt_ids=[first, *tokens],
        max_tokens=6,
        sampling=Sampling(temperature=0.8, seed=first),
    )


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (TIED, ONE_DEVICE),
        pytest.param(TIED, MeshShape(data=2), marks=pytest.mark.slow),
        pytest.param(UNTIED, MeshShape(data=2, tensor=2), marks=pytest.mark.slow),
        pytest.param("deepseek-v2-lite", MeshShape(data=2, tensor=2), marks=pytest.mark.slow),
    ],
)
def test_answers_are_the_same_though_their_prompts_were_in_host_memory_meanwhile(name, shape):
    runner = runner_of(name, shape)
    num_prompts = 3 * shape.data
    prompts = [asked(f"r{index}", index, 60 + 5 * (index % 3)) for index in range(num_prompts)]
    plain = Service(runner.limits, runner=runner, prefix_cache=False)
    for each in prompts:
        plain.serve(each)
    service = Service(runner.limits, runner=runner)
    for each in prompts:
        service.serve(each)
    again = [asked(f"again{i}", i, 60 + 5 * (i % 3)) for i in range(num_prompts)]
    for before, each in zip(prompts, again, strict=True):
        answer = service.serve(each)[each.request_id]
        assert answer.cached_tokens > 0
        assert answer.token_ids == plain.answers[before.request_id].token_ids
    moves = [move for plan in service.plans for move in plan.moves]
    assert {move.to_host for move in moves} == {True, False}
    assert len(moves) > 16, "more than a block"


def test_moves_without_host_memory_are_an_engine_error():
    plan = StepPlan(0, (), (), (), (PageMove(0, 0, to_host=True),))
    with pytest.raises(EngineError, match="of which none was set aside"):
        tiny_runner(TIED).start(plan)
