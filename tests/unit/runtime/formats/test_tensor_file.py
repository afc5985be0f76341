"""Our own reading of safetensors files equals the library's, and says what is broken."""

import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file
from support.goldens import folder
from support.tiny_models import TIED

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.tensor_file import TensorFile

FILE = folder(TIED) / "model.safetensors"


def written(path, header, body):
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def test_all_tensors_equal_the_librarys():
    file, expected = TensorFile(FILE), load_file(FILE)
    assert set(file) == set(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(file.tensor(name), tensor)


def test_8_bit_floats_are_read(tmp_path):
    entry = {"dtype": "F8_E4M3", "shape": [2, 2], "data_offsets": [0, 4]}
    path = written(tmp_path / "a", {"w": entry, "__metadata__": {}}, b"\x38\xb8\x7e\x01")
    tensor = TensorFile(path).tensor("w")
    assert tensor.dtype == ml_dtypes.float8_e4m3fn
    assert tensor.astype(np.float32).tolist() == [[1, -1], [448, 2**-9]]


def test_a_tensor_behind_the_end_is_named_with_its_shape(tmp_path):
    whole = FILE.read_bytes()
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole[: len(whole) - 100])
    file = TensorFile(path)

    def read_all():
        for name in file:
            file.tensor(name)

    with pytest.raises(ModelError, match=r"tensor model\.\S+ of \S+: wanted shape \(.* cut off"):
        read_all()


def test_a_header_that_gives_a_tensor_too_few_bytes_is_refused(tmp_path):
    entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 12]}
    path = written(tmp_path / "a", {"w": entry}, bytes(12))
    with pytest.raises(ModelError, match=r"w of .* wants 16 bytes, the header gives it 12"):
        TensorFile(path).tensor("w")


def test_numbers_of_an_unknown_kind_are_refused(tmp_path):
    entry = {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}
    path = written(tmp_path / "a", {"w": entry}, b"0")
    with pytest.raises(ModelError, match="numbers of kind F4 are not supported; supported: BF16"):
        TensorFile(path).tensor("w")


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x04" + bytes(7) + b"oops"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is no readable safetensors file"):
        TensorFile(path)


@pytest.mark.parametrize(
    "header",
    [
        7,
        ["w"],
        {"w": 7},
        {"w": {"dtype": "F32", "shape": ["2"], "data_offsets": [0, 8]}},
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": ["0", 8]}},
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}},
        {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0]}},
    ],
)
def test_a_header_that_says_something_else_is_refused(tmp_path, header):
    path = written(tmp_path / "a", header, bytes(8))
    with pytest.raises(ModelError, match="is no readable safetensors file"):
        TensorFile(path)
