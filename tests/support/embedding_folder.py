"""Checkpoint folders for tests of embeddings and rankers."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from support.goldens import folder as golden_folder
from support.tiny import FOLDER

KINDS = ("Transformer", "Pooling", "Normalize")


def declare_pooling(
    folder: Path, config: Mapping[str, Any] | None, kinds: tuple[str, ...] = KINDS
) -> None:
    """Write what sentence-transformers writes beside a checkpoint."""
    modules = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"st.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    if config is not None:
        (folder / "1_Pooling").mkdir(exist_ok=True)
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))


def bare_checkpoint(folder: Path, name: str = "qwen3") -> Path:
    """A tiny checkpoint as AutoModel saves it, without prefix and without output layer."""
    shutil.copytree(FOLDER, folder)
    source = golden_folder(name)
    config = json.loads((source / "config.json").read_text())
    config["architectures"] = [config["architectures"][0].replace("ForCausalLM", "Model")]
    config["tie_word_embeddings"] = False
    (folder / "config.json").write_text(json.dumps(config))
    tensors: dict[str, np.ndarray] = {}
    for path in source.glob("*.safetensors"):
        tensors |= load_file(path)
    bare = {
        key.removeprefix("model."): value
        for key, value in tensors.items()
        if not key.startswith("lm_head")
    }
    save_file(bare, folder / "model.safetensors")
    return folder


def with_yes_and_no(folder: Path) -> Path:
    """The tiny tokenizer, to which both words are tokens."""
    shutil.copytree(FOLDER, folder)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    plain = tokenizer["added_tokens"][-2]
    for index, word in enumerate(("yes", "no"), tokenizer["added_tokens"][-1]["id"] + 1):
        tokenizer["added_tokens"].append(plain | {"id": index, "content": word})
    path.write_text(json.dumps(tokenizer))
    return folder
