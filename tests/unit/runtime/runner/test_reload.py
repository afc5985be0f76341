"""Other weights in a running engine: the tokens are those of an engine that began with them."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.goldens import folder, golden
from support.serving import Service, request
from support.tiny_models import UNTIED, quantized_model, runner_of, tiny_model

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.registry import read_config
from radixloom_runtime.models.sharding import MeshShape
from radixloom_runtime.runner.mesh import make_mesh
from radixloom_runtime.runner.reload import Reload
from radixloom_runtime.runner.runner import JaxRunner

pytestmark = pytest.mark.timeout(300)  # may have to compile

PROMPT = golden(UNTIED)["ids_3"].tolist()
FORMS = [
    pytest.param(False, MeshShape(), id="branched"),
    pytest.param(True, MeshShape(), id="stacked"),
    pytest.param(True, MeshShape(tensor=2), id="stacked-and-cut"),
]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the same model whose weights were trained a little further."""
    path = tmp_path_factory.mktemp("other")
    generator = np.random.default_rng(0)
    tensors = {
        name: tensor + generator.normal(size=tensor.shape, scale=0.05).astype(tensor.dtype)
        for name, tensor in load_file(folder(UNTIED) / "model.safetensors").items()
    }
    save_file(tensors, path / "model.safetensors")
    (path / "config.json").write_text((folder(UNTIED) / "config.json").read_text())
    return path


def made(*, stacked: bool = False, mesh_shape: MeshShape | None = None) -> tuple[JaxRunner, Reload]:
    model = tiny_model(UNTIED, stacked=stacked, mesh_shape=mesh_shape or MeshShape())
    runner = runner_of(model, folder(UNTIED))
    mesh = make_mesh(model.mesh_shape, jax.devices())
    return runner, Reload(runner, read_config(folder(UNTIED)), model, mesh)


def tokens_of(service: Service, name: str) -> list[int]:
    return service.serve(request(name, PROMPT, max_tokens=12))[name].token_ids


@pytest.mark.slow
@pytest.mark.parametrize(("stacked", "mesh_shape"), FORMS)
def test_answers_are_those_of_an_engine_that_began_with_the_new_weights(
    other: Path, stacked: bool, mesh_shape: MeshShape
):
    runner, reload = made(stacked=stacked, mesh_shape=mesh_shape)
    fresh = runner_of(tiny_model(UNTIED, stacked=stacked, mesh_shape=mesh_shape), other)
    service = Service(runner.limits, runner=runner)
    old = tokens_of(service, "old")
    reload.check_weights(other)
    service.scheduler.forget_kv()
    reload.load_weights(other)
    new = tokens_of(service, "new")
    assert new == tokens_of(Service(fresh.limits, runner=fresh), "fresh")
    assert new != old
    assert service.answers["new"].cached_tokens == 0


@pytest.mark.slow
def test_an_answer_that_was_under_way_goes_on_with_the_new_weights(other: Path):
    runner, reload = made()
    service = Service(runner.limits, runner=runner, overlap=False)
    service.submit(request("a", PROMPT, max_tokens=12))
    for _ in range(5):
        service.step()
    before = list(service.answers["a"].token_ids)
    service.scheduler.forget_kv()
    reload.load_weights(other)
    service.run()
    rest = service.serve(request("rest", PROMPT + before, max_tokens=12 - len(before)))["rest"]
    assert service.answers["a"].token_ids == before + rest.token_ids


def test_a_checkpoint_of_another_model_is_refused_by_what_differs(other: Path, tmp_path: Path):
    config = json.loads((other / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    runner, reload = made()
    weights = runner.weights
    with pytest.raises(ModelError, match=r"num_layers 1 for \d"):
        reload.check_weights(tmp_path)
    assert runner.weights is weights


@pytest.mark.parametrize("stacked", [False, True])
def test_matrices_that_are_kept_small_are_those_of_the_new_checkpoint(other: Path, stacked: bool):
    model = quantized_model(folder(UNTIED), "int8", stacked=stacked)
    runner, mesh = runner_of(model, folder(UNTIED)), make_mesh(model.mesh_shape, jax.devices())
    reload = Reload(runner, read_config(folder(UNTIED)), model, mesh)
    reload.check_weights(other)
    reload.load_weights(other)
    fresh = runner_of(model, other).weights
    assert any(leaf.dtype == np.int8 for leaf in jax.tree.leaves(fresh))
    jax.tree.map(np.testing.assert_array_equal, runner.weights, fresh)


def test_numbers_that_mean_others_by_another_scheme_are_refused(other: Path, tmp_path: Path):
    config = json.loads((other / "config.json").read_text())
    kind = {"quant_method": "gptq", "bits": 4, "group_size": 32}
    (tmp_path / "config.json").write_text(json.dumps(config | {"quantization_config": kind}))
    served = read_config(tmp_path)
    (tmp_path / "config.json").write_text(
        json.dumps(config | {"quantization_config": kind | {"sym": False}})
    )
    model = tiny_model(UNTIED)
    runner, mesh = runner_of(model, folder(UNTIED)), make_mesh(model.mesh_shape, jax.devices())
    with pytest.raises(ModelError, match=r"quantization .*is_symmetric=False.* for .*=True"):
        Reload(runner, served, model, mesh).check_weights(tmp_path)


@pytest.mark.parametrize("stacked", [False, True])
def test_a_checkpoint_that_lacks_a_tensor_is_refused_before_anything_changes(
    other: Path, tmp_path: Path, stacked: bool
):
    tensors = load_file(other / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((other / "config.json").read_text())
    runner, reload = made(stacked=stacked)
    with pytest.raises(ModelError, match=r"no tensor model\.layers\.1\.mlp\.up_proj\.weight"):
        reload.check_weights(tmp_path)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(runner.weights))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    _, reload = made()
    with pytest.raises(ModelError, match="nowhere"):
        reload.check_weights(tmp_path / "nowhere")
