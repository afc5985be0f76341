"""A GGUF written down as a checkpoint's folder."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from support import goldens
from support.gguf_files import checkpoint_tensors, write_gguf

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import checkpoint
from radixloom_runtime.fetch.gguf_checkpoint import convert
from radixloom_runtime.models.registry import read_config
from radixloom_runtime.text import tokenizer

SOURCE = goldens.folder("llama-tied")


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    convert(write_gguf(SOURCE, folder / "tiny.gguf"), folder)
    return folder


def test_every_weight_is_back_in_its_place_rounded_to_bfloat16(converted: Path):
    expected = checkpoint_tensors(SOURCE)
    with safe_open(converted / "model.safetensors", "np") as file:
        assert set(file.keys()) == set(expected)
        for name, weight in expected.items():
            stored = file.get_tensor(name)
            assert stored.dtype == ml_dtypes.bfloat16
            np.testing.assert_array_equal(stored, weight.astype(ml_dtypes.bfloat16))


def test_the_configuration_says_what_the_gguf_says(converted: Path):
    assert read_config(converted) == read_config(SOURCE)
    config = json.loads((converted / "config.json").read_text())
    assert config["torch_dtype"] == "bfloat16"
    assert json.loads((converted / "generation_config.json").read_text())["eos_token_id"] == 2


def test_the_folder_is_a_whole_checkpoint_with_a_tokenizer(converted: Path):
    checkpoint.verify(converted)
    loaded = tokenizer.load(converted)
    assert loaded.eos_ids == (2,)
    assert loaded.special_tokens["bos_token"] == "<|im_start|>"
    assert loaded.decode(loaded.encode("ab", add_special_tokens=True), skip_special_tokens=True)


def test_a_gguf_that_is_not_supported_is_a_failed_fetch(tmp_path: Path):
    path = write_gguf(SOURCE, tmp_path / "tiny.gguf", logit_scale=2.0)
    with pytest.raises(FetchError, match=r"llama\.logit_scale, which is not understood"):
        convert(path, tmp_path)
