"""Both config schemas mean the same; what cannot be served is refused by name."""

import json

import pytest
from support.goldens import folder
from support.tiny_models import DENSE, HYBRID, SPARSE, TIED, UNTIED

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.registry import parse_config, read_config

LONG = {"type": "longrope", "short_factor": [1.0], "original_max_position_embeddings": 8}


def raw(name: str = TIED, file: str = "config.json") -> dict:
    return json.loads((folder(name) / file).read_text())


ONE_SCHEMA = {"bailing-moe-v1", "bailing-moe-v2"}
"""Families that transformers 5 does not know."""


@pytest.mark.parametrize("name", sorted({TIED, UNTIED, *DENSE, *SPARSE, *HYBRID} - ONE_SCHEMA))
def test_both_schemas_give_the_same_config(name):
    assert parse_config(raw(name)) == parse_config(raw(name, "config.v5.json"))


def test_head_dim_and_kv_heads_have_defaults():
    described = raw()
    del described["num_key_value_heads"]
    config = parse_config(described)
    assert (config.head_dim, config.num_kv_heads) == (8, 9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": "72"}, "wants hidden_size as int, found '72'"),
        ({"num_key_value_heads": 2}, "9 attention heads are not a multiple of 2"),
        ({"hidden_act": "gelu"}, "activation 'gelu' is not supported"),
        ({"rope_scaling": {"rope_type": "dynamic"}}, "rope type 'dynamic' is not supported"),
        ({"rope_scaling": {"type": "yarn"}}, "wants factor as a number, found None"),
        ({"rope_scaling": LONG | {"long_factor": 2}}, "long_factor as a list of numbers, found 2"),
        ({"rope_scaling": {"rope_type": "linear"}}, "wants factor as a number, found None"),
        ({"hidden_size": 27, "num_attention_heads": 9}, "wants an even head_dim, found 3"),
    ],
)
def test_a_config_that_cannot_be_served_is_refused(change, message):
    with pytest.raises(ModelError, match=message):
        parse_config(raw() | change)


def test_a_model_reaches_as_far_as_its_yarn():
    described = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}
    assert parse_config(raw() | {"rope_scaling": described}).max_positions == 2048
    assert parse_config(raw()).max_positions == raw()["max_position_embeddings"]


def test_an_unknown_architecture_is_refused_with_a_list_of_the_known():
    with pytest.raises(ModelError, match=r"'MambaForCausalLM' is not supported; .*, Gemma2"):
        parse_config(raw() | {"architectures": ["MambaForCausalLM"]})


def test_a_folder_without_a_config_says_what_it_should_hold(tmp_path):
    with pytest.raises(ModelError, match=r"holds no config\.json; --model wants a Hugging Face"):
        read_config(tmp_path)


def test_a_broken_config_is_a_model_error(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read as JSON"):
        read_config(tmp_path)


def test_a_quantized_checkpoint_is_refused_and_never_read_without_its_scales():
    quantized = raw() | {"quantization_config": {"quant_method": "compressed-tensors"}}
    with pytest.raises(ModelError, match="quantized \\(compressed-tensors\\)"):
        parse_config(quantized)
