"""A draft model through the compiled steps of real, tiny models: the tokens stay the same."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.goldens import folder, golden
from support.serving import Service
from support.tiny_models import TIED, UNTIED, runner_of, tiny_model, tiny_runner

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.models.registry import read_config
from radixloom_runtime.models.sharding import MeshShape
from radixloom_runtime.runner.build import build_runner
from radixloom_runtime.runner.draft_model import read_draft_config
from radixloom_runtime.runner.runner import JaxRunner
from radixloom_runtime.scheduler.speculation import Drafts, Speculation
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.wire.messages import Sampling, Starting, Submit

pytestmark = pytest.mark.timeout(300)  # may have to compile

PROMPT = golden(TIED)["ids_3"].tolist()


def asked(index: int, **how: Any) -> Submit:
    sampling = Sampling(seed=index, **({"temperature": 0.0} | how))
    return Submit(
        request_id=f"r{index}",
        prompt_ids=[*PROMPT[:16], index, *PROMPT[16:]],
        max_tokens=24,
        sampling=sampling,
    )


REQUESTS = [
    asked(0),
    asked(1, temperature=0.9, top_k=20),
    asked(2, temperature=0.5, logit_bias={7: 3.0}),
    asked(3, frequency_penalty=0.3),
    asked(4, temperature=1.2, top_p=0.9),
]


def answers_of(service: Service, *, together: bool) -> dict[str, list[int]]:
    for batch in [REQUESTS] if together else [[each] for each in REQUESTS]:
        service.serve(*batch)
    return {name: answer.token_ids for name, answer in service.answers.items()}


def drafting(runner: JaxRunner, most: int = 3, **changes: int) -> Service:
    limits = replace(runner.limits, **changes)
    return Service(limits, runner=runner, speculation=Speculation(most, Drafts))


def plain(name: str) -> dict[str, list[int]]:
    runner = tiny_runner(name)
    return answers_of(Service(runner.limits, runner=runner), together=False)


def rate_of(service: Service) -> float:
    speculation = service.scheduler.speculation
    assert speculation is not None
    assert speculation.num_guessed > 10
    return speculation.num_right / speculation.num_guessed


@pytest.mark.parametrize("together", [False, True])
def test_a_model_that_guesses_for_itself_is_right_greedy_or_not(together):
    """Its guesses are drawn with the noise of the tokens: a seed's draw is guessed, too."""
    service = drafting(tiny_runner(TIED, draft=TIED))
    assert answers_of(service, together=together) == plain(TIED)
    assert rate_of(service) > 0.95


def test_a_greedy_answer_with_a_draft_model_is_the_golden_one():
    data = golden(TIED)
    service = drafting(tiny_runner(TIED, draft=TIED))
    for index in range(4):
        prompt, greedy = data[f"ids_{index}"].tolist(), data[f"greedy_{index}"].tolist()
        submit = Submit(
            request_id=f"golden{index}",
            prompt_ids=prompt,
            max_tokens=len(greedy),
            sampling=Sampling(temperature=0.0),
        )
        assert service.serve(submit)[submit.request_id].token_ids == greedy


@pytest.mark.slow
def test_a_draft_model_that_knows_nothing_changes_no_token():
    service = drafting(tiny_runner(TIED, draft=UNTIED))
    assert answers_of(service, together=True) == plain(TIED)
    speculation = service.scheduler.speculation
    assert speculation is not None
    assert 0 <= speculation.num_right < speculation.num_guessed / 4


def test_a_preempted_request_is_guessed_for_again_with_all_its_pages():
    long = [
        Submit(request_id=f"r{index}", prompt_ids=[index, *PROMPT[:5]], max_tokens=70)
        for index in range(2)
    ]
    service = drafting(tiny_runner(TIED, draft=TIED), num_pages=8)
    answers = service.serve(*long)
    assert service.scheduler.totals.preemptions > 0
    assert rate_of(service) > 0.9
    runner = tiny_runner(TIED)
    expected = Service(runner.limits, runner=runner).serve(*long)
    assert {name: answer.token_ids for name, answer in answers.items()} == {
        name: answer.token_ids for name, answer in expected.items()
    }


@pytest.mark.slow
def test_pages_that_come_back_from_host_memory_come_back_for_the_draft_model_too():
    runner = tiny_runner(TIED, draft=TIED, num_host_pages=64)
    service = drafting(runner, num_pages=8)
    answers_of(service, together=False)
    for each in REQUESTS:
        again = replace_id(each)
        service.serve(again)
        assert service.answers[again.request_id].token_ids == plain(TIED)[each.request_id]
    assert service.scheduler.ledgers[0].num_restored > 0
    assert rate_of(service) > 0.95


def replace_id(submit: Submit) -> Submit:
    return Submit(
        request_id=f"again-{submit.request_id}",
        prompt_ids=submit.prompt_ids,
        max_tokens=submit.max_tokens,
        sampling=submit.sampling,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "draft", "shape"),
    [
        (UNTIED, UNTIED, MeshShape(tensor=2)),
        ("qwen3-moe-sparse", "qwen3", MeshShape(expert=2, tensor=1)),
        ("qwen3-moe-sparse", "qwen3-moe-sparse", MeshShape(data=2)),
        ("deepseek-v3", TIED, MeshShape()),
        ("deepseek-v2-lite", "deepseek-v2-lite", MeshShape()),
        ("gemma2", "gemma2", MeshShape(tensor=2)),
    ],
)
def test_the_tokens_are_the_same_with_a_draft_model_on_any_mesh(target, draft, shape):
    service = drafting(tiny_runner(target, mesh_shape=shape, draft=draft))
    assert answers_of(service, together=True) == plain(target)
    if target == draft:
        assert rate_of(service) > 0.9


# --- which checkpoints may guess for which


def tokenizer(path: Path, vocabulary: dict[str, int], added: dict[str, int]) -> Path:
    path.mkdir()
    shutil.copy(folder(TIED) / "config.json", path)
    tokens = [{"content": content, "id": index} for content, index in added.items()]
    raw = {"model": {"type": "BPE", "vocab": vocabulary}, "added_tokens": tokens}
    (path / "tokenizer.json").write_text(json.dumps(raw))
    return path


def other_size(path: Path, size: int) -> Path:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"vocab_size": size}))
    return path


def test_a_draft_model_with_other_tokens_is_refused_with_one_of_them(tmp_path):
    target = tokenizer(tmp_path / "target", {"a": 0, "b": 1}, {"<end>": 2})
    draft = tokenizer(tmp_path / "draft", {"a": 0, "c": 1}, {"<end>": 3})
    wanted = r"3 of 3 differ, such as 'b', id 1 in the model and none in the draft model"
    with pytest.raises(ConfigurationError, match=wanted):
        read_draft_config(draft, target, read_config(target))


def test_a_vocabulary_padded_to_another_size_is_the_same_one(tmp_path):
    target = tokenizer(tmp_path / "target", {"a": 0, "b": 1}, {"<end>": 2})
    draft = tokenizer(tmp_path / "draft", {"a": 0, "b": 1}, {"<end>": 2})
    padded = read_draft_config(other_size(draft, 640), target, read_config(target))
    assert (padded.vocab_size, read_config(target).vocab_size) == (640, 512)


def test_vocabularies_of_two_sizes_without_tokenizers_are_refused_with_both(tmp_path):
    shutil.copy(folder(TIED) / "config.json", tmp_path)
    draft = other_size(tmp_path, 640)
    with pytest.raises(ConfigurationError, match="640 tokens, the model 512"):
        read_draft_config(draft, folder(TIED), read_config(folder(TIED)))


def test_a_draft_model_that_keeps_a_state_is_refused():
    draft = folder("qwen3-next")
    with pytest.raises(ConfigurationError, match="keeps a recurrent state"):
        read_draft_config(draft, folder(TIED), read_config(folder(TIED)))


@pytest.mark.slow
def test_a_padded_draft_model_guesses_only_tokens_that_the_target_has(tmp_path):
    """Its rows are longer, or shorter, than those that the target samples from."""
    expected = plain(TIED)
    for size in (500, 640):
        shutil.copytree(folder(TIED), tmp_path / str(size))
        resized(other_size(tmp_path / str(size), size), size)
        service = drafting(runner_of(tiny_model(TIED), folder(TIED), draft=tmp_path / str(size)))
        assert answers_of(service, together=True) == expected
        assert rate_of(service) > 0.8


def resized(path: Path, size: int) -> None:
    tensors = load_file(path / "model.safetensors")
    name = "model.embed_tokens.weight"
    rows = np.resize(tensors[name], (size, tensors[name].shape[1]))
    save_file(tensors | {name: rows}, path / "model.safetensors")


# --- from settings


def test_a_single_row_leaves_no_place_for_guesses_and_is_refused():
    settings = RuntimeSettings(model=folder(TIED), speculation="ngram", max_running_requests=1)
    with pytest.raises(ConfigurationError, match="max_running_requests 1 and step_tokens None"):
        build_runner(settings, lambda _: None)


@pytest.mark.slow
def test_an_engine_is_built_with_its_draft_model(compile_cache):
    settings = RuntimeSettings(
        model=folder(TIED),
        speculation="draft",
        draft_model=folder(UNTIED),
        max_running_requests=2,
        step_tokens=8,
        kv_cache_tokens=256,
        host_cache_gb=0.001,
        compile_cache_dir=compile_cache,
    )
    reports: list[Starting] = []
    built = build_runner(settings, reports.append)
    assert [report.unit for report in reports if report.done == report.total][-1] == "buckets"
    models = [tiny_model(TIED), tiny_model(UNTIED)]
    pages = 1 + built.runner.limits.num_pages
    page_bytes = 16 * sum(model.token_bytes for model in models)
    assert built.runner.pool_bytes == pages * page_bytes
    assert built.runner.limits.num_host_pages == 1_000_000 // page_bytes
    service = drafting(built.runner)
    answer = service.serve(asked(0))["r0"]
    assert built.compiles_after_warmup() == 0  # asked before the other runner compiles its own
    assert answer.token_ids == plain(TIED)["r0"]
    assert service.scheduler.speculation is not None
    assert service.scheduler.speculation.num_guessed > 0
