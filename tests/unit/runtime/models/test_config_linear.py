"""Which layers are linear, and what of linear attention is refused by name."""

import json

import pytest
from support.goldens import folder

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.config_linear import KimiDelta
from radixloom_runtime.models.registry import parse_config


def raw(name: str) -> dict:
    return json.loads((folder(name) / "config.json").read_text())


def test_every_fourth_layer_of_a_qwen3_next_has_pages():
    config = parse_config(raw("qwen3-next") | {"num_hidden_layers": 10})
    assert [i for i, is_paged in enumerate(config.paged_layers) if is_paged] == [3, 7]
    assert config.num_paged_layers == 2


def test_layer_types_win_over_the_interval():
    types = ["full_attention", "linear_attention", "linear_attention", "full_attention"]
    config = parse_config(raw("qwen3-next") | {"layer_types": types})
    assert config.paged_layers == (True, False, False, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer_types": ["linear_attention"] * 3}, "wants 4 layer_types of linear_attention and"),
        ({"layer_types": ["sliding_attention"] * 4}, "found .'sliding_attention'"),
        ({"full_attention_interval": 0}, "or full_attention_interval as a positive int; found 0"),
        (
            {"linear_num_value_heads": 3},
            "3 value heads of linear attention are not a multiple of 2",
        ),
        ({"linear_conv_kernel_dim": None}, "wants linear_conv_kernel_dim as int, found None"),
        ({"hidden_act": "gelu_pytorch_tanh"}, "hidden_act 'gelu_pytorch_tanh' of a Qwen3-Next"),
    ],
)
def test_a_qwen3_next_that_cannot_be_served_is_refused(change, message):
    with pytest.raises(ModelError, match=message):
        parse_config(raw("qwen3-next") | change)


def test_the_last_layer_of_each_group_of_a_bailing_hybrid_has_pages():
    config = parse_config(raw("bailing-hybrid") | {"num_hidden_layers": 6, "layer_group_size": 3})
    assert config.paged_layers == (False, False, True) * 2
    assert config.sparse_layers == (False, True, True, True, True, True)


def test_a_gate_without_a_bound_is_told_from_one_with():
    for is_safe, kimi in ((True, KimiDelta(-5.0)), (False, KimiDelta(None))):
        linear = parse_config(raw("bailing-hybrid") | {"kda_safe_gate": is_safe}).linear
        assert linear is not None
        assert linear.kimi == kimi


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention_bias": True}, "attention_bias True of a Bailing hybrid is not supported"),
        ({"score_function": "softmax"}, "only 'sigmoid' is"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings True of a Bailing hybrid"),
        ({"rope_scaling": {"type": "yarn", "factor": 4}}, "rope_type 'yarn' of a Bailing hybrid"),
        ({"mlp_layer_types": ["dense"]}, "wants 4 mlp_layer_types of dense and sparse"),
        ({"layer_types": ["lightning_attention"] * 4}, "found .'lightning_attention'"),
    ],
)
def test_a_bailing_hybrid_that_cannot_be_served_is_refused(change, message):
    with pytest.raises(ModelError, match=message):
        parse_config(raw("bailing-hybrid") | change)


@pytest.mark.parametrize("name", ["BailingMoeLinearV2ForCausalLM", "BailingMoeV2_5ForCausalLM"])
def test_bailings_with_lightning_attention_are_refused_by_name(name):
    with pytest.raises(ModelError, match=f"architecture '{name}' is not supported"):
        parse_config(raw("bailing-hybrid") | {"architectures": [name]})
