"""Adapters in one batch, each token with its own: as if each had its merged weights."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.goldens import folder, golden
from support.peft_folders import ATTENTION, FUSED, MLP, write_adapter, write_merged
from support.step_driver import Job, run
from support.tiny_models import UNTIED, runner_of, tiny_model

from radixloom_runtime.errors import ConfigurationError, ModelError
from radixloom_runtime.models.adapters import AdapterRoom
from radixloom_runtime.models.registry import Model, make_model, read_config
from radixloom_runtime.models.sharding import MeshShape
from radixloom_runtime.ops.attention_cpu import CPUAttention
from radixloom_runtime.runner.adapters import load_adapter, warm
from radixloom_runtime.runner.compile_cache import CompileCounter
from radixloom_runtime.runner.mesh import make_mesh
from radixloom_runtime.runner.runner import JaxRunner

pytestmark = pytest.mark.timeout(300)  # may have to compile

TOLERANCE = 2e-3
ROOM = AdapterRoom(count=3, rank=8)
DATA = golden(UNTIED)
PROMPTS = [DATA[f"ids_{index}"].tolist() for index in (1, 2, 3)]


@dataclass(frozen=True)
class Case:
    """A base checkpoint, adapters of it, and each merged into it."""

    base: Path
    adapters: tuple[Path, ...]
    merged: tuple[Path, ...]


@lru_cache
def case_of(name: str, path: Path) -> Case:
    base = folder(name)
    kinds: list[dict[str, Any]] = [
        {"seed": 1},
        {
            "seed": 2,
            "rank": 8,
            "modules": (*ATTENTION[:2], *MLP[1:], *FUSED[:1]),
            "use_rslora": True,
        },
    ]
    adapters = tuple(
        write_adapter(path / f"{name}-{i}", base, **kind) for i, kind in enumerate(kinds)
    )
    merged = tuple(
        write_merged(path / f"{name}-merged-{i}", base, each) for i, each in enumerate(adapters)
    )
    return Case(base, adapters, merged)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adapters")


def loaded(model: Model, case: Case, slots: dict[int, int]) -> JaxRunner:
    """A runner with `adapters[slots[s]]` in each slot s."""
    runner = runner_of(model, case.base)
    mesh = make_mesh(model.mesh_shape, jax.devices())
    for slot, index in slots.items():
        runner.weights = load_adapter(runner.weights, model, mesh, case.adapters[index], slot)
    return runner


def job(index: int, slot: int, max_tokens: int = 8) -> Job:
    pages = range(index * 16, index * 16 + 16)
    return Job(PROMPTS[index % 3], max_tokens, index, pages, adapter_slot=slot, top_logprobs=5)


def assert_same(found: Job, wanted: Job) -> None:
    assert found.ids == wanted.ids
    for one, other in zip(found.results, wanted.results, strict=True):
        np.testing.assert_allclose(one.logprob, other.logprob, atol=TOLERANCE)
        assert one.top is not None
        assert other.top is not None
        np.testing.assert_allclose(one.top.logprobs, other.top.logprobs, atol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stacked", "mesh_shape"),
    [
        pytest.param(UNTIED, False, MeshShape(), id="branched"),
        pytest.param(UNTIED, True, MeshShape(), id="stacked"),
        pytest.param(UNTIED, True, MeshShape(tensor=4), id="over-four-devices"),
        pytest.param(UNTIED, False, MeshShape(data=2, tensor=2), id="two-groups"),
        pytest.param("qwen3", False, MeshShape(), id="norms-of-heads"),
        pytest.param("qwen2-bias", False, MeshShape(), id="with-biases"),
        pytest.param("phi3", True, MeshShape(tensor=2), id="fused"),
    ],
)
def test_a_mixed_batch_answers_as_each_one_s_merged_weights(
    path: Path, name: str, stacked: bool, mesh_shape: MeshShape
):
    case = case_of(name, path)
    form: dict[str, Any] = {"stacked": stacked, "mesh_shape": mesh_shape}
    runner = loaded(tiny_model(name, room=ROOM, **form), case, {1: 0, 3: 1})
    mixed = [job(index, slot) for index, slot in enumerate((0, 1, 3, 1))]
    run(runner, mixed, chunk_tokens=16)
    for folder_, slot in ((case.base, 0), (case.merged[0], 1), (case.merged[1], 3)):
        alone = runner_of(tiny_model(name, **form), folder_)
        wanted = [job(i, 0) for i, each in enumerate(mixed) if each.adapter_slot == slot]
        run(alone, wanted, chunk_tokens=40)
        for each in wanted:
            assert_same(mixed[each.row], each)


@pytest.mark.slow
def test_a_slot_takes_another_adapter_and_nothing_is_compiled(path: Path):
    case, model = case_of(UNTIED, path), tiny_model(UNTIED, room=ROOM)
    mesh = make_mesh(model.mesh_shape, jax.devices())
    runner = loaded(model, case, {})
    runner.weights = warm(runner.weights, model, mesh)
    base, first = job(0, 0), job(1, 2)
    run(runner, [base], chunk_tokens=40)
    counter = CompileCounter()
    counter.mark_warm()
    found: list[Job] = []
    for index in (0, 1):
        runner.weights = load_adapter(runner.weights, model, mesh, case.adapters[index], 2)
        found.append(replace(first, results=[], prompt_results=[]))
        run(runner, found[-1:], chunk_tokens=40)
    assert counter.after_warmup == 0
    for again, merged in zip(found, case.merged, strict=True):
        wanted = job(1, 0)
        run(runner_of(tiny_model(UNTIED), merged), [wanted], chunk_tokens=40)
        assert_same(again, wanted)


def test_a_model_without_layers_that_could_change_is_refused():
    config = read_config(folder("deepseek-v3"))
    config = replace(config, sparse_layers=(True,) * config.num_layers)
    with pytest.raises(ConfigurationError, match="max_loras"):
        make_model(
            config,
            dtype=np.dtype("float32"),
            attention=CPUAttention(),
            stacked=True,
            room=ROOM,
        )


def test_the_attention_of_a_mixture_of_experts_has_room():
    model = tiny_model("mixtral", room=ROOM)
    names = {tensor.name for spec in model.specs if spec.is_adapter for tensor in spec.stored}
    assert names
    assert all("self_attn" in name for name in names)


def test_without_room_no_weight_is_added():
    assert not any(spec.is_adapter for spec in tiny_model(UNTIED).specs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 16}, "room for rank 8"),
        ({"modules": ("lm_head",)}, "lm_head, which adapters cannot change here; they can"),
        ({"base": "llama-tied"}, "of another model"),
    ],
)
def test_an_adapter_without_a_place_is_refused(tmp_path: Path, changes: Any, message: str):
    base = folder(changes.pop("base", UNTIED))
    model = tiny_model(UNTIED, room=ROOM)
    adapter = write_adapter(tmp_path, base, **changes)
    mesh = make_mesh(model.mesh_shape, jax.devices())
    with pytest.raises(ModelError, match=message):
        load_adapter((), model, mesh, adapter, 1)


@pytest.mark.parametrize(
    ("half", "spoilt"), [("A", np.nan), ("B", np.inf), ("B", 1e38)], ids=["nan", "inf", "too-large"]
)
def test_numbers_that_would_spoil_other_requests_answers_are_refused(
    tmp_path: Path, half: str, spoilt: float
):
    model = tiny_model(UNTIED, room=ROOM)
    file = write_adapter(tmp_path, folder(UNTIED), lora_alpha=64) / "adapter_model.safetensors"
    tensors = load_file(file)
    name = f"base_model.model.model.layers.1.self_attn.q_proj.lora_{half}.weight"
    tensors[name][0, 0] = spoilt
    save_file(tensors, file)
    mesh = make_mesh(model.mesh_shape, jax.devices())
    with pytest.raises(ModelError, match=r"layers\.1\.self_attn\.q_proj has numbers that are not"):
        load_adapter((), model, mesh, tmp_path, 1)
