"""A service of two hosts serves from two TPU nodes, and starts again as a whole when one is lost.

The nodes offer `google.com/tpu` and have no TPU: the engines run on CPU devices, the placement, the
network between the pods and their restarts are the real ones.
"""

import shutil

import pytest
from support.goldens import folder, golden
from support.space import manifest
from support.tiny import FOLDER as TOKENIZER

from hack.cluster.layout import shared_folder
from hack.demo import volumes

NAME = "duo"
GOLDEN = "llama-rope3-gqa-untied"
PROMPT = 2
READY_SECONDS = 400

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900, func_only=True)]


@pytest.fixture(scope="module")
def served(installation, spaces):
    model = shared_folder() / "models" / f"golden-{GOLDEN}"
    shutil.copytree(folder(GOLDEN), model, dirs_exist_ok=True)
    for file in TOKENIZER.glob("tokenizer*"):
        shutil.copy(file, model)
    space = spaces("e2e-tpu")
    engine = {
        "hostResources": {"cpu": "50m", "memory": "1Gi"},
        "args": ["--cpu-devices=2", "--tensor-parallel=4", "--max-model-len=64"],
        "env": [
            {"name": "JAX_PLATFORMS", "value": "cpu"},
            {"name": "RADIXLOOM_MAX_RUNNING_REQUESTS", "value": "4"},
            {"name": "RADIXLOOM_STEP_TOKENS", "value": "16"},
            {"name": "RADIXLOOM_KV_CACHE_TOKENS", "value": "512"},
        ],
    }
    tpu = {"generation": "v5e", "topology": "2x4", "chipsPerHost": 4}
    uri = f"pvc://{volumes.MODELS_CLAIM}/{model.name}"
    space.apply(manifest(NAME, model={"uri": uri, "name": "golden"}, tpu=tpu, engine=engine))
    space.wait_ready(NAME, timeout_seconds=READY_SECONDS)
    yield space
    space.kubectl("delete", "llmservice", NAME, "--timeout=120s", timeout_seconds=150)
    shutil.rmtree(model)


def answer(space) -> list[int]:
    prompt = [int(token) for token in golden(GOLDEN)[f"ids_{PROMPT}"]]
    extra = {"return_token_ids": True, "ignore_eos": True}
    with space.client(NAME) as client:
        completion = client.completions.create(
            model="golden", prompt=prompt, max_tokens=24, temperature=0, extra_body=extra
        )
    return completion.model_dump()["choices"][0]["token_ids"]


def wanted() -> list[int]:
    return [int(token) for token in golden(GOLDEN)[f"greedy_{PROMPT}"]]


def restarts(space) -> int:
    return space.status(NAME)["slices"][0]["restarts"]


def test_two_hosts_on_two_nodes_give_the_goldens_tokens(served):
    assert len({pod["spec"]["nodeName"] for pod in served.pods(NAME)}) == 2
    assert answer(served) == wanted()
    assert restarts(served) == 0


def test_a_killed_follower_restarts_the_slice_once_and_it_serves_again(served):
    leader, follower = served.pods(NAME)
    served.kubectl("delete", "pod", follower["metadata"]["name"], "--grace-period=0", "--force")
    served.wait_until("the slice is started again", lambda: restarts(served) == 1, NAME)
    served.wait_ready(NAME, timeout_seconds=READY_SECONDS)
    served.wait_until("it serves again", lambda: answer(served) == wanted(), NAME)
    before = {pod["metadata"]["uid"] for pod in (leader, follower)}
    after = served.pods(NAME)
    assert before.isdisjoint(pod["metadata"]["uid"] for pod in after), "as a whole"
    ended = [pod["status"]["containerStatuses"][0]["restartCount"] for pod in after]
    assert (restarts(served), ended) == (1, [0, 0]), "once, and no kubelet had to"
    last = served.status(NAME)["slices"][0]["lastRestart"]
    assert (last["reason"], last["pod"]) == ("PodLost", follower["metadata"]["name"])
