"""Which layers are linear, and what of linear attention is refused by name."""

import json

import pytest
from support.goldens import folder

from radixloom_runtime.errors import ModelError
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
