"""What a config.json says of quantization is understood, or refused by name."""

import pytest

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.awq import AWQ
from radixloom_runtime.formats.compressed_tensors import CompressedTensors, Strategy
from radixloom_runtime.formats.fp8 import Float8
from radixloom_runtime.formats.gptq import GPTQ
from radixloom_runtime.formats.mxfp4 import MXFP4
from radixloom_runtime.formats.scheme import parse_quantization

Q = "model.layers.3.self_attn.q_proj"


def parse(**config):
    return parse_quantization({"quantization_config": config})


def weights(**own):
    given = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}
    return given | own


def compressed(weights, activations=None, written="int-quantized", **own):
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    return parse(
        quant_method="compressed-tensors", format=written, config_groups={"group_0": group}, **own
    )


def test_a_checkpoint_without_quantization_has_no_schemes():
    assert parse_quantization({}).of(Q) is None


def test_awq_leaves_out_the_modules_that_hold_a_name():
    quantization = parse(
        quant_method="awq",
        bits=4,
        group_size=64,
        zero_point=True,
        version="gemm",
        modules_to_not_convert=["visual", "mlp.gate"],
    )
    assert quantization.of(Q) == AWQ(64)
    assert quantization.of("model.visual.0.q_proj") is None
    assert quantization.of("model.layers.0.mlp.gate") is None


def test_gptq():
    quantization = parse(quant_method="gptq", bits=4, group_size=-1, sym=False, desc_act=True)
    assert quantization.of(Q) == GPTQ(4, None, is_symmetric=False, has_act_order=True)
    assert quantization.of("lm_head") is None


def test_gptq_of_the_second_version_with_modules_left_out():
    quantization = parse(
        quant_method="gptq",
        bits=8,
        group_size=128,
        sym=True,
        checkpoint_format="gptq_v2",
        dynamic={r"-:.*\.q_proj": {}},
    )
    assert quantization.of("model.layers.0.mlp.up_proj") == GPTQ(
        8, 128, is_symmetric=True, has_act_order=False, is_version_1=False
    )
    assert quantization.of(Q) is None


def test_float8_in_blocks_and_with_one_scale():
    blocks = parse(quant_method="fp8", weight_block_size=[128, 128], activation_scheme="dynamic")
    assert blocks.of(Q) == Float8((128, 128))
    assert blocks.of("lm_head") is None
    plain = parse(quant_method="fp8", modules_to_not_convert=["model.layers.0.mlp.gate"])
    assert plain.of(Q) == Float8(None, "weight_scale")
    assert plain.of("model.layers.0.mlp.gate") is None
    assert plain.of("model.layers.0.mlp.gate_proj") == Float8(None, "weight_scale")


def test_mxfp4_is_of_experts_alone():
    left = [
        "model.layers.*.self_attn",
        "model.layers.*.mlp.router",
        "lm_head",
        "model.layers.1.mlp",
    ]
    quantization = parse(quant_method="mxfp4", modules_to_not_convert=left)
    assert quantization.of("model.layers.0.mlp.experts.gate_up_proj") == MXFP4()
    assert quantization.of("model.layers.0.mlp.experts.down_proj") == MXFP4()
    assert quantization.of("model.layers.1.mlp.experts.down_proj") is None
    assert quantization.of("model.layers.0.mlp.experts.down_proj_bias") is None
    assert quantization.of("model.layers.0.mlp.router") is None
    assert quantization.of(Q) is None
    name = "model.layers.0.mlp.experts.down_proj"
    assert quantization.in_checkpoint([f"{name}_blocks"]).of(name) == MXFP4()
    assert quantization.in_checkpoint([name]).of(name) is None


def test_int8_weights_and_activations_rounded_token_by_token():
    token = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    scheme = compressed(weights(), token, ignore=["lm_head", r"re:.*k_proj$"]).of(Q)
    assert scheme == CompressedTensors(8, False, False, Strategy.CHANNEL, int8_activations=True)
    assert scheme.form.int8_activations
    assert compressed(weights(), token, ignore=[r"re:.*q_proj$"]).of(Q) is None


@pytest.mark.parametrize(
    "activations",
    [
        None,
        {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "tensor", "dynamic": False},
        {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True},
        {"num_bits": 8, "type": "int", "symmetric": False, "strategy": "token", "dynamic": True},
    ],
)
def test_other_activations_are_left_as_they_are(activations):
    assert not compressed(weights(), activations).of(Q).form.int8_activations


def test_packed_groups_and_float_blocks_of_compressed_tensors():
    packed = weights(num_bits=4, strategy="group", group_size=128, symmetric=False)
    scheme = compressed(packed, written="pack-quantized").of(Q)
    assert scheme == CompressedTensors(
        4, False, True, Strategy.GROUP, group=128, is_symmetric=False
    )
    blocks = weights(type="float", strategy="block", block_structure=[64, 32])
    scheme = compressed(blocks, written="float-quantized").of(Q)
    assert scheme == CompressedTensors(8, True, False, Strategy.BLOCK, block=(64, 32))


def test_targets_by_name_come_before_all_linear_layers():
    eight, four = weights(), weights(num_bits=4, strategy="group", group_size=32)
    quantization = parse(
        quant_method="compressed-tensors",
        config_groups={
            "group_0": {"targets": ["Linear"], "weights": eight, "format": "int-quantized"},
            "group_1": {"targets": ["re:.*q_proj"], "weights": four, "format": "pack-quantized"},
        },
    )
    assert quantization.of(Q).bits == 4
    assert quantization.of("model.layers.3.self_attn.o_proj").bits == 8


def test_the_tensors_at_hand_tell_what_is_quantized():
    quantization = parse(quant_method="awq", bits=4).in_checkpoint([f"{Q}.qweight", "o.weight"])
    assert quantization.of(Q) == AWQ(128)
    assert quantization.of("o") is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"quant_method": "bitsandbytes"},
            "'bitsandbytes', which is not supported; supported: awq",
        ),
        ({"quant_method": "awq", "bits": 8}, "awq with bits 8 is not supported; supported: 4"),
        ({"quant_method": "awq", "version": "GEMV"}, "version 'gemv' is not supported"),
        ({"quant_method": "gptq", "bits": 3}, "bits 3 is not supported; supported: 2 or 4 or 8"),
        ({"quant_method": "gptq", "checkpoint_format": "marlin"}, "checkpoint_format 'marlin'"),
        ({"quant_method": "gptq", "dynamic": {"+:.*up": {"bits": 8}}}, "options of its own"),
        ({"quant_method": "fp8", "fmt": "e5m2"}, "fmt 'e5m2'"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"g": {"format": "nvfp4-pack-quantized", "weights": {}}},
            },
            "format 'nvfp4-pack-quantized' is not supported",
        ),
        (
            {"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-24"}},
            "sparsity_config.format 'sparse-24'",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "transform_config": {"config_groups": {"u": {}}},
            },
            "wants activations transformed",
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_name(config, message):
    with pytest.raises(ModelError, match=message.replace("(", r"\(")):
        parse(**config)
