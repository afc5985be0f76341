"""Whole or not."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from support.checkpoint_folder import SHARDS, write_checkpoint
from support.peft_folders import write_adapter

from radixloom_runtime.errors import FetchError
from radixloom_runtime.fetch import checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "tiny")


def test_a_whole_checkpoint_passes(folder: Path):
    checkpoint.verify(folder)


def test_a_single_file_of_weights_needs_no_index(folder: Path):
    (folder / checkpoint.INDEX).unlink()
    checkpoint.verify(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", SHARDS[1]])
def test_a_missing_file_is_named(folder: Path, name: str):
    (folder / name).unlink()
    with pytest.raises(FetchError, match=name):
        checkpoint.verify(folder)


def test_a_shard_cut_short_is_noticed_without_reading_it(folder: Path):
    shard = folder / SHARDS[0]
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(FetchError, match=f"should have {size} bytes, has {size - 1}"):
        checkpoint.verify(folder)


def test_a_shard_that_lacks_a_tensor_is_noticed(folder: Path):
    weight_map = {"first": SHARDS[0], "second": SHARDS[1], "third": SHARDS[1]}
    (folder / checkpoint.INDEX).write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(FetchError, match="lacks 1 tensors, such as third"):
        checkpoint.verify(folder)


@pytest.mark.parametrize(
    "content", [b"", b"<html>not found</html>", b"\x08" + bytes(7) + b"notjson."]
)
def test_a_file_that_is_no_safetensors_is_noticed(folder: Path, content: bytes):
    (folder / SHARDS[0]).write_bytes(content)
    with pytest.raises(FetchError, match="no safetensors file"):
        checkpoint.verify(folder)


@pytest.mark.parametrize("content", ["", "[1]", "{}"])
def test_a_config_that_names_no_architecture_is_refused(folder: Path, content: str):
    (folder / "config.json").write_text(content)
    with pytest.raises(FetchError, match=r"config\.json"):
        checkpoint.verify(folder)


def test_a_folder_without_weights_is_refused(folder: Path):
    for name in (*SHARDS, checkpoint.INDEX):
        (folder / name).unlink()
    with pytest.raises(FetchError, match="safetensors"):
        checkpoint.verify(folder)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A model of one matrix, to make adapters for."""
    matrix = np.zeros((8, 4), np.float32)
    save_file({"model.layers.0.self_attn.q_proj.weight": matrix}, tmp_path / "model.safetensors")
    return tmp_path


def test_a_whole_adapter_passes(base: Path, tmp_path: Path):
    checkpoint.verify(write_adapter(tmp_path / "sql", base))


def test_an_adapter_without_its_weights_is_refused(base: Path, tmp_path: Path):
    folder = write_adapter(tmp_path / "sql", base)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(FetchError, match=r"adapter_model\.safetensors"):
        checkpoint.verify(folder)


def test_an_adapter_that_no_engine_takes_is_refused_before_one_starts(base: Path, tmp_path: Path):
    with pytest.raises(FetchError, match="use_dora"):
        checkpoint.verify(write_adapter(tmp_path / "sql", base, use_dora=True))


def test_a_model_with_an_adapter_beside_it_is_a_model(folder: Path):
    (folder / "adapter_config.json").write_text("{}")
    checkpoint.verify(folder)
