"""GGUF files as checkpoints: against the `gguf` package, which writes and decodes them here."""

import shutil
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import goldens
from support.gguf_files import (
    BLOCK_KINDS,
    FLOAT_KINDS,
    checkpoint_tensors,
    decode,
    encode,
    permuted,
    stands_for,
    write_gguf,
    write_wide_llama,
)

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.gguf_blocks import BLOCKS, Blocks, checkpoint_rows
from radixloom_runtime.formats.gguf_file import find_gguf, open_gguf
from radixloom_runtime.formats.gguf_model import GGUFModel
from radixloom_runtime.formats.scheme import NOT_QUANTIZED
from radixloom_runtime.formats.stored import Region
from radixloom_runtime.models.config_rope import Llama3Scaling
from radixloom_runtime.models.positions import frequencies
from radixloom_runtime.models.registry import read_config

FAMILIES = (
    "llama-tied",
    "llama-rope3-gqa-untied",
    "mixtral",
    "qwen2-bias",
    "qwen2-moe",
    "qwen3",
)
KINDS = {kind.name: kind for kind in BLOCKS.values()}
ROWS, COLUMNS = 8, 512


class OneMatrix:
    """A source of a single tensor `m.weight`."""

    def __init__(self, stored: np.ndarray) -> None:
        self.stored = stored

    def __contains__(self, name: str) -> bool:
        return name == "m.weight"

    def tensor(self, name: str, *shapes: tuple[int, ...]) -> np.ndarray:
        assert self.stored.shape in shapes
        return self.stored


def random_bytes(kind: str) -> np.ndarray:
    """Blocks of any bits, but for the half floats in them, which are made finite."""
    size = KINDS[kind].num_bytes
    count = ROWS * COLUMNS // KINDS[kind].numbers
    random = np.random.default_rng(0)
    blocks = random.integers(0, 256, (count, size), np.uint8)
    scale = random.normal(scale=0.01, size=(count, 1)).astype(np.float16).view(np.uint8)
    places = {"Q6_K": (208,)}.get(kind, (0, 2) if KINDS[kind].has_least else (0,))
    for place in places:
        blocks[:, place : place + 2] = scale
    return blocks.reshape(ROWS, -1)


@pytest.mark.parametrize("kind", BLOCK_KINDS)
def test_every_bit_of_a_block_means_what_the_package_says(kind):
    stored = random_bytes(kind)
    scheme = Blocks(KINDS[kind], (ROWS, COLUMNS))
    found = scheme.dense(OneMatrix(stored), "m", Region.whole((ROWS, COLUMNS)))
    np.testing.assert_array_equal(found, decode(stored, kind))


@pytest.mark.parametrize("kind", BLOCK_KINDS)
@pytest.mark.parametrize("columns", [(0, 256), (256, 512), (37, 301)])
def test_a_part_of_a_matrix_is_that_part_of_the_whole(kind, columns):
    stored = random_bytes(kind)
    scheme = Blocks(KINDS[kind], (ROWS, COLUMNS))
    region = Region((ROWS, COLUMNS), slice(2, 7), slice(*columns))
    expected = decode(stored, kind)[2:7, slice(*columns)]
    np.testing.assert_array_equal(scheme.dense(OneMatrix(stored), "m", region), expected)
    small = scheme.read(OneMatrix(stored), "m", region)
    assert small.is_of(scheme.form) == (columns[0] % 256 == 0)
    np.testing.assert_allclose(small.dense(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0", "Q6_K"])
def test_the_rows_of_a_head_come_in_the_checkpoints_order(kind):
    matrix = np.random.default_rng(1).normal(size=(16, 256))
    stored = encode(permuted(matrix, 2), kind)
    scheme = Blocks(KINDS[kind], (16, 256), head_rows=8)
    for rows in (slice(0, 16), slice(8, 16), slice(3, 9)):
        region = Region((16, 256), rows, slice(0, 256))
        found = scheme.dense(OneMatrix(stored), "m", region)
        np.testing.assert_array_equal(found, decode(encode(matrix, kind), kind)[rows])


@given(heads=st.integers(1, 5), half=st.integers(1, 8), columns=st.integers(1, 4))
def test_undoing_the_permutation_gives_the_rows_back(heads: int, half: int, columns: int):
    weight = np.arange(heads * half * 2 * columns).reshape(-1, columns)
    rows = checkpoint_rows(slice(0, len(weight)), 2 * half)
    np.testing.assert_array_equal(permuted(weight, heads)[rows], weight)


@pytest.mark.parametrize("name", FAMILIES)
def test_configuration_and_tensors_are_the_checkpoints(tmp_path, name):
    source = goldens.folder(name)
    path = write_gguf(source, tmp_path / "model.gguf")
    model, expected = GGUFModel(open_gguf(path)), checkpoint_tensors(source)
    assert set(model) == set(expected)
    for tensor, numbers in expected.items():
        assert model.shape(tensor) == numbers.shape
        np.testing.assert_array_equal(model.dense(tensor), numbers.astype(np.float32))
    found, wanted = read_config(path), read_config(source)
    if isinstance(wanted.ropes[0].scaling, Llama3Scaling):  # told by its factors
        np.testing.assert_allclose(
            *(frequencies(c.ropes[0], c.rotary_dim, longest=512) for c in (found, wanted)),
            rtol=1e-6,
        )
        found = replace(found, ropes=wanted.ropes)
    assert replace(found, quantization=NOT_QUANTIZED) == wanted


@pytest.mark.parametrize(
    "kind",
    [
        *("Q4_0", "Q8_0", *FLOAT_KINDS),
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in BLOCK_KINDS if "_0" not in kind),
    ],
)
def test_all_matrices_of_a_kind_are_the_packages(tmp_path, kind):
    source = write_wide_llama(tmp_path / "source")
    model = GGUFModel(open_gguf(write_gguf(source, tmp_path / "model.gguf", kind)))
    for name, expected in checkpoint_tensors(stands_for(source, tmp_path / "f32", kind)).items():
        np.testing.assert_array_equal(np.asarray(model.dense(name), np.float32), expected)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    return write_gguf(goldens.folder("llama-tied"), folder / "tiny.gguf")


def test_the_header_is_what_the_package_reads(tiny):
    file, reader = open_gguf(tiny), gguf.GGUFReader(tiny)
    said = {key: field.contents() for key, field in reader.fields.items() if "." in key}
    assert file.metadata == {k: v for k, v in said.items() if not k.startswith("GGUF.")}
    assert {t.name: t.data_offset for t in reader.tensors} == {
        name: tensor.begin for name, tensor in file.tensors.items()
    }


@pytest.mark.parametrize("kept", [0, 3, 30, 400, 2000])
def test_a_file_that_ends_in_its_header_is_refused(tiny, tmp_path, kept):
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[:kept])
    with pytest.raises(ModelError, match="no readable GGUF file"):
        open_gguf(path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"PK\x03\x04" * 20)
    with pytest.raises(ModelError, match=r"it begins with b'PK.*', wanted b'GGUF'"):
        open_gguf(path)


def test_a_tensor_behind_the_end_is_named_with_its_shape(tiny, tmp_path):
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"tensor \S+ of \S+: wanted shape \(.* cut off"):
        open_gguf(path)


def test_a_kind_that_is_not_supported_is_named(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    blocks = np.zeros((1, 84), np.uint8)
    writer.add_tensor("token_embd.weight", blocks, raw_dtype=gguf.GGMLQuantizationType.Q2_K)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match=r"token_embd\.weight .*kind 10 .*supported: .*Q4_K"):
        open_gguf(tmp_path / "model.gguf")


def test_a_tensor_that_would_be_lost_is_refused(tmp_path):
    source = goldens.folder("qwen3")  # with norms of queries, which Qwen 2 has not
    path = write_gguf(source, tmp_path / "model.gguf")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"blk.0.attn_q_norm", b"blk.0.attn_x_norm"))
    with pytest.raises(ModelError, match=r"'blk\.0\.attn_x_norm\.weight' that a Qwen3"):
        GGUFModel(open_gguf(path))


def test_a_key_that_is_not_understood_is_refused(tmp_path):
    path = write_gguf(
        goldens.folder("llama-tied"), tmp_path / "model.gguf", attention__sliding_window=7
    )
    with pytest.raises(ModelError, match=r"says llama\.attention\.sliding_window, which is not"):
        GGUFModel(open_gguf(path))


def test_yarn_is_read_and_an_unknown_scaling_refused(tmp_path):
    source = goldens.folder("qwen3")
    scaling = {"rope__scaling__type": "yarn", "rope__scaling__factor": 4.0}
    original = {"rope__scaling__original_context_length": 128}
    path = write_gguf(source, tmp_path / "yarn.gguf", **scaling, **original)
    config = GGUFModel(open_gguf(path)).config
    assert config["rope_scaling"] == {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 128,
    }
    path = write_gguf(source, tmp_path / "long.gguf", rope__scaling__type="longrope")
    with pytest.raises(ModelError, match=r"scales its rope \('longrope'\)"):
        GGUFModel(open_gguf(path))


def test_another_architecture_is_refused_by_name(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match=r"architecture 'mamba'.*supported: llama, qwen2"):
        GGUFModel(open_gguf(tmp_path / "model.gguf"))


def test_a_matrix_of_another_shape_is_refused_with_both_shapes():
    scheme = Blocks(KINDS["Q8_0"], (ROWS, COLUMNS))
    with pytest.raises(ModelError, match=r"m\.weight: wanted shape \(8, 256\) .* \(8, 512\)"):
        scheme.dense(OneMatrix(random_bytes("Q8_0")), "m", Region.whole((8, 256)))


def test_a_folder_with_one_gguf_means_it_and_with_safetensors_does_not(tiny, tmp_path):
    assert find_gguf(tmp_path) is None
    shutil.copy(tiny, tmp_path / "a.gguf")
    assert find_gguf(tmp_path) == find_gguf(tmp_path / "a.gguf") == tmp_path / "a.gguf"
    shutil.copy(tiny, tmp_path / "b.gguf")
    with pytest.raises(ModelError, match=r"several GGUF models \(a\.gguf, b\.gguf\)"):
        find_gguf(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert find_gguf(tmp_path) is None


def test_a_model_in_several_files_is_read_as_one(tmp_path):
    source = goldens.folder("llama-tied")
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama", split_max_tensors=9)
    whole = open_gguf(write_gguf(source, tmp_path / "whole.gguf"))
    for key, value in whole.metadata.items():
        if key.startswith("llama."):
            writer.add_key_value(key, value, gguf.GGUFValueType.get_type(value))
    for name, tensor in whole.tensors.items():
        writer.add_tensor(name, np.array(tensor.mapped()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (tmp_path / "whole.gguf").unlink()
    first = find_gguf(tmp_path)
    assert first is not None
    assert first.name == "model-00001-of-00003.gguf"
    model, expected = GGUFModel(open_gguf(first)), checkpoint_tensors(source)
    assert set(model) == set(expected)
    for name, numbers in expected.items():
        np.testing.assert_array_equal(model.dense(name), numbers)
    (tmp_path / "model-00002-of-00003.gguf").unlink()
    with pytest.raises(ModelError, match=r"lacks model-00002-of-00003\.gguf"):
        open_gguf(first)
