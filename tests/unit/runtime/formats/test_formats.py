"""Each format is read as its definition says: whole, and any part of it."""

import numpy as np
import pytest
from support import packings
from support.packings import round_to_integers

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.awq import AWQ
from radixloom_runtime.formats.compressed_tensors import CompressedTensors, Strategy
from radixloom_runtime.formats.fp8 import Float8
from radixloom_runtime.formats.gptq import GPTQ
from radixloom_runtime.formats.mxfp4 import MXFP4
from radixloom_runtime.formats.on_load import OnLoad
from radixloom_runtime.formats.stored import Region

SHAPE = (24, 64)
REGIONS = [Region.whole(SHAPE), Region(SHAPE, slice(3, 13), slice(5, 39))]
GROUP = 16


class Tensors:
    """A source of one module, `m`."""

    def __init__(self, suffixes: dict[str, np.ndarray]) -> None:
        dotted = {s if s.startswith("_") else f".{s}": tensor for s, tensor in suffixes.items()}
        self.named = {f"m{suffix}": tensor for suffix, tensor in dotted.items()}

    def __contains__(self, name: str) -> bool:
        return name in self.named

    def tensor(self, name: str, *shapes: tuple[int, ...]) -> np.ndarray:
        tensor = self.named[name]
        assert tensor.shape in shapes, f"{name}: {tensor.shape} is none of {shapes}"
        return tensor

    def floats(self, module: str, shape: tuple[int, int]) -> np.ndarray:
        return self.tensor(f"{module}.weight", shape)


@pytest.fixture
def matrix() -> np.ndarray:
    return np.random.default_rng(7).normal(size=SHAPE)


def assert_reads(scheme, tensors, matrix, *, kept=True):
    for region in REGIONS:
        stored = scheme.read(Tensors(tensors), "m", region)
        expected = matrix[region.rows, region.columns]
        np.testing.assert_allclose(stored.dense(), expected, rtol=1e-6, atol=1e-6)
    whole = scheme.read(Tensors(tensors), "m", REGIONS[0])
    assert (scheme.form is not None and whole.is_of(scheme.form)) == kept


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("version_1", [True, False])
def test_gptq_with_zero_points(matrix, bits, version_1):
    numbers = round_to_integers(matrix, bits, GROUP, symmetric=False)
    scheme = GPTQ(bits, GROUP, False, False, version_1)
    assert_reads(scheme, packings.gptq(numbers, version_1=version_1), numbers.matrix)


def test_symmetric_gptq_is_kept_without_offsets(matrix):
    numbers = round_to_integers(matrix, 4, GROUP, symmetric=True)
    scheme = GPTQ(4, GROUP, is_symmetric=True, has_act_order=False)
    assert_reads(scheme, packings.gptq(numbers), numbers.matrix)
    stored = scheme.read(Tensors(packings.gptq(numbers)), "m", REGIONS[0])
    assert stored.offsets is None
    assert stored.values.dtype == "int4"


def test_gptq_in_the_order_of_activations_is_made_dense(matrix):
    order = np.random.default_rng(1).permutation(SHAPE[1])
    numbers = round_to_integers(matrix, 4, GROUP, symmetric=True, order=order)
    scheme = GPTQ(4, GROUP, is_symmetric=True, has_act_order=True)
    assert_reads(scheme, packings.gptq(numbers), numbers.matrix, kept=False)


def test_gptq_with_one_group_of_all_inputs(matrix):
    numbers = round_to_integers(matrix, 4, SHAPE[1], symmetric=False)
    assert_reads(GPTQ(4, None, False, False), packings.gptq(numbers), numbers.matrix)


def test_an_order_of_activations_that_the_config_denies_is_refused(matrix):
    order = np.random.default_rng(1).permutation(SHAPE[1])
    numbers = round_to_integers(matrix, 4, GROUP, symmetric=True, order=order)
    scheme = GPTQ(4, GROUP, is_symmetric=True, has_act_order=False)
    with pytest.raises(ModelError, match=r"m\.g_idx: config\.json says desc_act false"):
        scheme.read(Tensors(packings.gptq(numbers)), "m", REGIONS[0])


def test_zero_points_that_the_config_denies_are_refused(matrix):
    numbers = round_to_integers(matrix, 4, GROUP, symmetric=False)
    scheme = GPTQ(4, GROUP, is_symmetric=True, has_act_order=False)
    with pytest.raises(ModelError, match=r"m\.qzeros: config\.json says sym"):
        scheme.read(Tensors(packings.gptq(numbers)), "m", REGIONS[0])


def test_a_group_number_out_of_range_is_refused(matrix):
    tensors = packings.gptq(round_to_integers(matrix, 4, GROUP, symmetric=True))
    tensors["g_idx"] = tensors["g_idx"] + 1
    with pytest.raises(ModelError, match="wanted groups 0 to 3, found 1 to 4"):
        GPTQ(4, GROUP, is_symmetric=True, has_act_order=True).read(
            Tensors(tensors), "m", REGIONS[0]
        )


@pytest.mark.parametrize("group", [GROUP, None])
def test_awq(matrix, group):
    numbers = round_to_integers(matrix, 4, group or SHAPE[1], symmetric=False)
    assert_reads(AWQ(group), packings.awq(numbers), numbers.matrix)


def test_a_word_of_awq_holds_the_even_outputs_first():
    words = np.array([[0x75316420]], np.uint32).view(np.int32)  # outputs 0 ... 7 hold 0 ... 7
    zeros, scales = np.zeros((1, 1), np.int32), np.ones((1, 8), np.float16)
    tensors = Tensors({"qweight": words, "qzeros": zeros, "scales": scales})
    stored = AWQ(None).read(tensors, "m", Region.whole((8, 1)))
    assert stored.dense()[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group", [GROUP, None])
def test_packed_compressed_tensors(matrix, symmetric, bits, group):
    numbers = round_to_integers(matrix, bits, group or SHAPE[1], symmetric=symmetric)
    strategy = Strategy.CHANNEL if group is None else Strategy.GROUP
    scheme = CompressedTensors(
        bits, False, True, strategy=strategy, group=group, is_symmetric=symmetric
    )
    tensors = packings.compressed_packed(numbers, symmetric=symmetric)
    assert_reads(scheme, tensors, numbers.matrix)


@pytest.mark.parametrize("symmetric", [True, False])
def test_int8_compressed_tensors(matrix, symmetric):
    numbers = round_to_integers(matrix, 8, SHAPE[1], symmetric=symmetric)
    tensors = packings.compressed_int8(numbers, symmetric=symmetric)
    scales = tensors["weight_scale"].astype(np.float64)  # rounded to bfloat16
    zeros = tensors["weight_zero_point"].astype(np.float64) if not symmetric else 0
    scheme = CompressedTensors(8, False, False, Strategy.CHANNEL, is_symmetric=symmetric)
    assert_reads(scheme, tensors, (tensors["weight"].astype(np.float64) - zeros) * scales)


@pytest.mark.parametrize("shape", [(), (1,)])
def test_one_scale_for_a_matrix(matrix, shape):
    values, scales, stands_for = packings.float8_blocks(matrix, SHAPE)
    tensors = {"weight": values, "weight_scale": scales.reshape(shape)}
    assert_reads(Float8(None, "weight_scale"), tensors, stands_for)
    scheme = CompressedTensors(8, True, False, Strategy.TENSOR)
    assert_reads(scheme, tensors, stands_for)


@pytest.mark.parametrize("block", [(8, 16), (7, 32)])
def test_float8_blocks(matrix, block):
    values, scales, stands_for = packings.float8_blocks(matrix, block)
    tensors = {"weight": values, "weight_scale_inv": scales}
    assert_reads(Float8(block), tensors, stands_for)
    tensors = {"weight": values, "weight_scale": scales}
    scheme = CompressedTensors(8, True, False, Strategy.BLOCK, block=block)
    assert_reads(scheme, tensors, stands_for)


def test_blocks_that_the_inputs_do_not_fill_are_made_dense(matrix):
    values, scales, stands_for = packings.float8_blocks(matrix, (8, 48))
    tensors = {"weight": values, "weight_scale_inv": scales}
    assert_reads(Float8((8, 48)), tensors, stands_for, kept=False)


def a_mxfp4():
    generator = np.random.default_rng(5)
    codes = generator.integers(0, 16, size=SHAPE)
    tensors = packings.mxfp4(codes, generator.integers(-9, 3, size=(SHAPE[0], SHAPE[1] // 32)))
    return {f"_{suffix}": tensor for suffix, tensor in tensors.items()}


def test_mxfp4():
    tensors = a_mxfp4()
    stands_for = packings.mxfp4_stands_for(tensors["_blocks"], tensors["_scales"])
    assert_reads(MXFP4(), tensors, stands_for)


@pytest.mark.parametrize(("rows", "columns"), [((24, 24), (0, 64)), ((0, 24), (64, 64))])
def test_a_device_beyond_the_last_block_of_mxfp4_has_nothing(rows, columns):
    region = Region(SHAPE, slice(*rows), slice(*columns))
    stored = MXFP4().read(Tensors(a_mxfp4()), "m", region)
    assert stored.values.shape == region.size
    assert stored.is_of(MXFP4().form)


def test_the_first_number_of_an_mxfp4_byte_is_in_its_low_bits():
    blocks = np.zeros((1, 1, 16), np.uint8)
    blocks[0, 0, :3] = 0x72, 0xF1, 0x08
    tensors = Tensors({"_blocks": blocks, "_scales": np.full((1, 1), 128, np.uint8)})
    stored = MXFP4().read(tensors, "m", Region.whole((1, 32)))
    assert stored.dense()[0, :6].tolist() == [2, 12, 1, -12, 0, 0]


@pytest.mark.parametrize(
    ("suffix", "tensor", "message"),
    [
        ("_scales", np.full((24, 2), 255, np.uint8), r"m_scales: found a scale that is no number"),
        ("_blocks", np.zeros((24, 2, 16), np.int8), "wanted uint8 blocks and scales"),
    ],
)
def test_mxfp4_that_means_nothing_is_refused(suffix, tensor, message):
    tensors = Tensors(a_mxfp4() | {suffix: tensor})
    with pytest.raises(ModelError, match=message):
        MXFP4().read(tensors, "m", REGIONS[0])


def test_values_of_another_kind_than_the_config_says_are_refused(matrix):
    tensors = Tensors({"weight": matrix, "weight_scale_inv": np.ones((3, 4), np.float32)})
    with pytest.raises(ModelError, match=r"m\.weight: wanted float8_e4m3fn .* found float64"):
        Float8((8, 16)).read(tensors, "m", REGIONS[0])


@pytest.mark.parametrize(("dtype", "error"), [("int8", 0.5 / 127), ("float8_e4m3fn", 2**-4)])
def test_a_matrix_quantized_on_load_is_near_and_its_parts_are_the_wholes(matrix, dtype, error):
    matrix[5] = 0
    tensors = Tensors({"weight": matrix.astype(np.float32)})
    whole = OnLoad(dtype).read(tensors, "m", REGIONS[0])
    largest = np.abs(matrix).max(axis=1, keepdims=True)
    bound = error * largest if dtype == "int8" else error * np.abs(matrix) + 1e-3 * largest
    assert (np.abs(whole.dense() - matrix) <= bound + 1e-6).all()
    part = OnLoad(dtype).read(tensors, "m", REGIONS[1])
    np.testing.assert_array_equal(part.dense(), whole.dense()[3:13, 5:39])


def test_a_packed_checkpoint_can_be_quantized_again_on_load(matrix):
    numbers = round_to_integers(matrix, 4, GROUP, symmetric=False)
    again = OnLoad("int8", AWQ(GROUP)).read(Tensors(packings.awq(numbers)), "m", REGIONS[1])
    largest = np.abs(numbers.matrix).max(axis=1, keepdims=True)[3:13]
    assert (np.abs(again.dense() - numbers.matrix[3:13, 5:39]) <= 0.51 / 127 * largest).all()
