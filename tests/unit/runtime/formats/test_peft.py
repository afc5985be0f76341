"""Adapters as PEFT saves them; what is not a plain one is refused by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.goldens import folder
from support.peft_folders import write_adapter

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.peft import WEIGHTS, read_adapter

BASE = folder("llama-tied")


def test_the_scale_follows_alpha_and_rank(tmp_path: Path):
    assert read_adapter(write_adapter(tmp_path / "a", BASE, lora_alpha=12)).scale == 3.0
    assert read_adapter(write_adapter(tmp_path / "b", BASE, use_rslora=True)).scale == 4.0


def test_pairs_are_found_by_their_modules(tmp_path: Path):
    adapter = read_adapter(write_adapter(tmp_path, BASE, modules=("q_proj",)))
    assert set(adapter.pairs) == {f"model.layers.{i}.self_attn.q_proj" for i in (0, 1)}
    pair = adapter.pairs["model.layers.0.self_attn.q_proj"]
    assert (pair.down.shape, pair.up.shape) == ((4, 72), (72, 4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_dora": True}, "use_dora True"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "bias 'all'"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"target_parameters": ["experts.gate_up_proj"]}, "target_parameters"),
        ({"init_lora_weights": "pissa_niter_16"}, "pissa_niter_16"),
        ({"peft_type": "IA3"}, "found 'IA3'"),
        ({"lora_alpha": "8"}, "lora_alpha, found '8'"),
        ({"r": 0}, "above 0 as r"),
        ({"r": 4.5}, "whole number as r, found 4.5"),
        ({"r": float("inf")}, "above 0 as r, found inf"),
        ({"lora_alpha": float("nan")}, "above 0 as lora_alpha, found nan"),
    ],
)
def test_what_is_no_plain_adapter_is_refused_by_name(tmp_path: Path, changes: Any, message: str):
    with pytest.raises(ModelError, match=message):
        read_adapter(write_adapter(tmp_path, BASE, **changes))


@pytest.mark.parametrize(
    "name",
    [
        "base_model.model.model.embed_tokens.lora_embedding_A",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
        "model.layers.0.self_attn.q_proj.lora_A.weight",
    ],
)
def test_a_tensor_of_another_kind_is_named(tmp_path: Path, name: str):
    path = write_adapter(tmp_path, BASE) / WEIGHTS
    save_file(load_file(path) | {name: np.zeros((4, 72), np.float32)}, path)
    with pytest.raises(ModelError, match=name):
        read_adapter(tmp_path)


def test_half_a_pair_is_named(tmp_path: Path):
    path = write_adapter(tmp_path, BASE, modules=("q_proj",)) / WEIGHTS
    tensors = load_file(path)
    tensors.pop("base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight")
    save_file(tensors, path)
    with pytest.raises(ModelError, match=r"layers\.1\.self_attn\.q_proj has lora_A alone"):
        read_adapter(tmp_path)


def test_a_rank_that_is_not_the_tensors_is_told(tmp_path: Path):
    write_adapter(tmp_path, BASE)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"r": 2}))
    with pytest.raises(ModelError, match=r"wanted \[2, in\]"):
        read_adapter(tmp_path)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_configuration_that_cannot_be_read_is_told(tmp_path: Path, content: str | None):
    if content is not None:
        (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(ModelError, match="adapter"):
        read_adapter(tmp_path)


def test_numbers_that_are_no_floats_are_told(tmp_path: Path):
    path = write_adapter(tmp_path, BASE) / WEIGHTS
    save_file({name: each.astype(np.int8) for name, each in load_file(path).items()}, path)
    with pytest.raises(ModelError, match=r"wanted .*float32.* found int8"):
        read_adapter(tmp_path)
