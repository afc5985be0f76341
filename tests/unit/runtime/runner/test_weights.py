"""Loading: one file or shards; errors name the tensor, the shape wanted and the shape found."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.goldens import folder
from support.tiny_models import TIED, UNTIED, tiny_model, tiny_weights

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.sharding import MeshShape
from radixloom_runtime.runner.mesh import local_places, make_mesh
from radixloom_runtime.runner.weights import load_weights, num_bytes


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    return load_file(folder(TIED) / "model.safetensors")


def test_a_sharded_checkpoint_loads_like_a_single_file(tmp_path, tensors):
    shards: list[dict[str, np.ndarray]] = [{}, {}]
    for index, (name, tensor) in enumerate(tensors.items()):
        shards[index % 2][name] = tensor
    for index, shard in enumerate(shards):
        save_file(shard, tmp_path / f"model-{index}.safetensors")
    weight_map = {
        name: f"model-{i}.safetensors" for i, shard in enumerate(shards) for name in shard
    }
    index_file = tmp_path / "model.safetensors.index.json"
    index_file.write_text(json.dumps({"weight_map": weight_map}))
    model = tiny_model(TIED)
    single = tiny_weights(TIED, model)
    for one, other in zip(single, tiny_weights(TIED, model, tmp_path), strict=True):
        np.testing.assert_array_equal(one, other)


def test_progress_ends_at_the_bytes_of_the_model():
    model, reports = tiny_model(TIED), []
    mesh = make_mesh(model.mesh_shape, jax.devices())
    load_weights(folder(TIED), model, mesh, reports.append)
    assert reports == sorted(reports)
    assert reports[-1] == num_bytes(model, mesh)


def test_progress_goes_layer_by_layer_where_layers_are_stacked():
    model, reports = tiny_model(TIED, stacked=True), []
    mesh = make_mesh(model.mesh_shape, jax.devices())
    load_weights(folder(TIED), model, mesh, reports.append)
    stacks = sum(bool(spec.layers) for spec in model.specs)
    assert len(reports) == len(model.specs) + stacks * (model.config.num_layers - 1)
    assert reports[-1] == num_bytes(model, mesh)


def test_a_missing_tensor_is_named(tmp_path, tensors):
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"no tensor model\.layers\.1\.mlp\.up_proj\.weight"):
        tiny_weights(TIED, tiny_model(TIED), tmp_path)


def test_a_tensor_of_another_shape_is_refused_with_both_shapes(tmp_path, tensors):
    tensors["model.norm.weight"] = np.ones(71, np.float32)
    save_file(tensors, tmp_path / "model.safetensors")
    wanted = r"model\.norm\.weight .*wanted shape \(72,\) by config\.json, found \(71,\)"
    with pytest.raises(ModelError, match=wanted):
        tiny_weights(TIED, tiny_model(TIED), tmp_path)


def test_a_cut_off_file_is_a_model_error(tmp_path):
    whole = (folder(TIED) / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"tensor \S+ of \S+: wanted shape .* it is cut off"):
        tiny_weights(TIED, tiny_model(TIED), tmp_path)


def test_a_folder_without_weights_says_so(tmp_path):
    with pytest.raises(ModelError, match="holds neither"):
        tiny_weights(TIED, tiny_model(TIED), tmp_path)


def test_an_index_that_names_an_absent_shard_is_refused(tmp_path):
    index = {"weight_map": {"model.norm.weight": "model-9.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"lacks model-9\.safetensors"):
        tiny_weights(TIED, tiny_model(TIED), tmp_path)


@pytest.mark.parametrize(
    ("name", "stacked"),
    [
        ("phi3", False),
        *(
            pytest.param(name, stacked, marks=pytest.mark.slow)
            for name in (UNTIED, "qwen3-moe-sparse", "deepseek-v2-lite")
            for stacked in (False, True)
        ),
    ],
)
def test_every_device_has_its_own_stretches_of_the_whole_weights(name, stacked):
    model = tiny_model(name, stacked=stacked, mesh_shape=MeshShape(expert=2, tensor=2))
    mesh = make_mesh(model.mesh_shape)
    wholes = tiny_weights(name, tiny_model(name, stacked=stacked))
    for spec, whole, cut in zip(model.specs, wholes, tiny_weights(name, model), strict=True):
        parts = {part.device: np.asarray(part.data) for part in cut.addressable_shards}
        for device, place in local_places(mesh):
            expected = np.asarray(whole)
            for dim, stretches in enumerate(spec.held(place)):
                kept = [expected.take(range(s.start, s.stop), axis=dim) for s in stretches]
                expected = np.concatenate(kept, axis=dim)
            np.testing.assert_array_equal(parts[device], expected)
