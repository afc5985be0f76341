"""Make checkpoint folders that are whole, but too small to say anything."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def write_checkpoint(folder: Path, *, kilobytes: int = 4) -> Path:
    """Write a two-shard checkpoint of about `kilobytes`, and what repositories have beside."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    values = np.random.default_rng(0).random((2, kilobytes * 128), dtype=np.float32)
    for name, row, shard in zip(("first", "second"), values, SHARDS, strict=True):
        save_file({name: row}, folder / shard)
    index = {"weight_map": {"first": SHARDS[0], "second": SHARDS[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "pytorch_model.bin").write_bytes(b"the same weights, not wanted")
    (folder / "README.md").write_text("not wanted")
    return folder
