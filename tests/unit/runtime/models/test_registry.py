"""A model's rows describe its weights; every way to lay them out loads the same numbers."""

import jax
import numpy as np
import pytest
from support.goldens import folder
from support.tiny_models import TIED, UNTIED, tiny_model, tiny_weights

from radixloom_runtime.runner.checkpoint import Checkpoint, open_tensors


@pytest.mark.parametrize("name", [TIED, UNTIED])
def test_every_tensor_of_the_checkpoint_is_named_by_exactly_one_row(name):
    named = [part_name for spec in tiny_model(name).specs for part_name in spec.checkpoint]
    assert len(named) == len(set(named))
    stored = Checkpoint(folder(name))
    assert set(named) == set(stored.names)


def test_rows_are_in_the_order_of_the_leaves():
    model = tiny_model(UNTIED)
    weights = tiny_weights(UNTIED, model)
    assert [spec.shape for spec in model.specs] == [weight.shape for weight in weights]
    network = model.bind(weights)
    table = open_tensors(folder(UNTIED)).tensor("lm_head.weight", (512, 64)).astype(np.float32)
    hidden = np.eye(64, dtype=np.float32)[:3]
    normed = network.norm(jax.numpy.asarray(hidden))
    np.testing.assert_allclose(network.logits(hidden), normed @ table.T, atol=1e-5)


def test_stacked_weights_are_those_of_the_layers():
    apart, together = tiny_model(TIED), tiny_model(TIED, stacked=True)
    assert together.device_bytes == apart.device_bytes
    one_by_one = {
        spec.checkpoint: weight
        for spec, weight in zip(apart.specs, tiny_weights(TIED, apart), strict=True)
    }
    stacked = tiny_weights(TIED, together)
    compared = 0
    for spec, weight in zip(together.specs, stacked, strict=True):
        for layer, part in enumerate(spec.parts() if spec.layers else []):
            np.testing.assert_array_equal(weight[layer], one_by_one[part.checkpoint])
            compared += 1
    assert compared == 2 * 6  # layers; qkv, out, gate_up, down and two norms


def test_attention_bias_adds_rows_for_the_biases():
    from dataclasses import replace

    from radixloom_runtime.models.registry import make_model
    from radixloom_runtime.ops.attention_cpu import CPUAttention

    config = replace(tiny_model(TIED).config, qkv_bias=True, out_bias=True)
    model = make_model(config, dtype="float32", attention=CPUAttention(), stacked=False)
    biases = [spec for spec in model.specs if spec.checkpoint[0].endswith(".bias")]
    assert [spec.shape for spec in biases] == [(72,), (120,)] * 2
    fused = next(spec for spec in biases if len(spec.checkpoint) == 3)
    assert fused.checkpoint[0] == "model.layers.0.self_attn.q_proj.bias"
