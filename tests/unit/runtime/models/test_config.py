"""Both config schemas mean the same; what cannot be served is refused by name."""

import json

import pytest
from support.goldens import folder
from support.tiny_models import DENSE, HYBRID, SPARSE, TIED, UNTIED

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.config import Activation
from radixloom_runtime.models.registry import parse_config, read_config

LONG = {"type": "longrope", "short_factor": [1.0], "original_max_position_embeddings": 8}


def raw(name: str = TIED, file: str = "config.json") -> dict:
    return json.loads((folder(name) / file).read_text())


ONE_SCHEMA = {"bailing-moe-v1", "bailing-moe-v2", "gpt-oss-mxfp4", "qwen"}
"""Families that transformers 5 does not know; and gpt-oss, of which an own test is below."""


@pytest.mark.parametrize("name", sorted({TIED, UNTIED, *DENSE, *SPARSE, *HYBRID} - ONE_SCHEMA))
def test_both_schemas_give_the_same_config(name):
    assert parse_config(raw(name)) == parse_config(raw(name, "config.v5.json"))


def test_both_schemas_of_gpt_oss_give_the_same_config():
    old = raw("gpt-oss-mxfp4")
    new = {key: old[key] for key in old if key not in ("rope_scaling", "rope_theta", "torch_dtype")}
    new |= {"dtype": "bfloat16", "swiglu_alpha": 1.702}
    new["rope_parameters"] = old["rope_scaling"] | {"rope_theta": old["rope_theta"]}
    config = parse_config(old)
    assert parse_config(new) == config
    assert config.windows == (16, None)
    assert config.max_positions == 512


@pytest.mark.parametrize("kind", [{}, {"rope_type": "default"}, {"type": "default"}])
def test_scores_of_a_deepseek_without_yarn_are_not_enlarged_whatever_mscale_says(kind):
    described = raw("deepseek-v3") | {"rope_scaling": {"mscale_all_dim": 1.0, "factor": 40} | kind}
    config = parse_config(described)
    assert config.attention_scale == config.head_dim**-0.5
    assert parse_config(raw("deepseek-v3")).attention_scale != config.attention_scale


def test_a_gpt_oss_without_layer_types_begins_with_a_window():
    described = raw("gpt-oss-mxfp4")
    del described["layer_types"]
    assert parse_config(described).windows == (16, None)


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
        ({"rope_scaling": {"rope_type": "linear"}}, "wants factor as a number, found None"),
        ({"hidden_size": 27, "num_attention_heads": 9}, "wants an even head_dim, found 3"),
    ],
)
def test_a_config_that_cannot_be_served_is_refused(change, message):
    with pytest.raises(ModelError, match=message):
        parse_config(raw() | change)


def test_longrope_wants_its_factors_as_lists():
    described = {"rope_scaling": LONG | {"long_factor": 2}}
    with pytest.raises(ModelError, match="long_factor as a list of numbers, found 2"):
        parse_config(raw("phi3-longrope") | described)


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


@pytest.mark.parametrize(
    ("described", "named"),
    [
        ({"quant_method": "bitsandbytes"}, "'bitsandbytes', which is not supported"),
        ({"bits": 4}, "None, which is not supported"),
        ("fp8", "wants quantization_config as an object, found 'fp8'"),
    ],
)
def test_a_quantization_that_is_not_supported_is_refused_by_name(described, named):
    with pytest.raises(ModelError, match=named):
        parse_config(raw() | {"quantization_config": described})


@pytest.mark.parametrize("found", [{"type": "longrope"}, {"rope_type": "su"}])
def test_longrope_is_refused_outside_of_the_family_whose_numbers_are_checked(found):
    with pytest.raises(ModelError, match=r"rope type '\w+' is not supported in this family"):
        parse_config(raw() | {"rope_scaling": LONG | {"long_factor": [1.0]} | found})


def test_a_smollm3_with_windows_is_refused_and_not_served_with_those_of_other_layers():
    change = {"use_sliding_window": True, "sliding_window": 32}
    with pytest.raises(ModelError, match="use_sliding_window of a SmolLM3 is not supported"):
        parse_config(raw("smollm3") | change)


def test_a_gemma_that_names_no_activation_has_its_familys_own():
    described = raw("gemma3-text")
    del described["hidden_activation"]
    assert parse_config(described).activation is Activation.GELU_TANH


def test_a_config_without_what_its_family_looks_up_is_a_model_error_that_names_it():
    described = raw("deepseek-v3")
    del described["kv_lora_rank"]
    with pytest.raises(ModelError, match="kv_lora_rank"):
        parse_config(described)


def test_a_request_to_a_qwen_1_ends_where_its_rope_would_be_stretched():
    longer = {"seq_length": 256, "max_position_embeddings": 512}
    assert parse_config(raw("qwen") | longer).max_positions == 256


@pytest.mark.parametrize(
    ("key", "value"), [("no_bias", False), ("rotary_pct", 0.25), ("scale_attn_weights", False)]
)
def test_a_qwen_1_that_no_reference_output_checks_is_refused(key, value):
    with pytest.raises(ModelError, match=f"{key} {value} of a Qwen 1 is not supported"):
        parse_config(raw("qwen") | {key: value})


def test_several_ropes_are_refused_where_the_family_has_one():
    ropes = {"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}}
    with pytest.raises(ModelError, match="several: full_attention, sliding_attention"):
        parse_config(raw("qwen3") | {"rope_parameters": ropes})


def test_qwens_windows_are_those_of_its_layer_types_where_it_names_them():
    described = raw("qwen3") | {"use_sliding_window": True, "sliding_window": 32}
    types = ["sliding_attention"] + ["full_attention"] * (described["num_hidden_layers"] - 1)
    windows = parse_config(described | {"layer_types": types, "max_window_layers": 0}).windows
    assert windows == (32, *(None,) * (len(types) - 1))
