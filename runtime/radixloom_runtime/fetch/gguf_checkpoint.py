"""Make a Hugging Face checkpoint folder of a GGUF file: what the demo model becomes.

What the file means is known to `formats.gguf_model` and `text.gguf_tokenizer`, which serve a GGUF
as it is, too; here it is written down, with every weight rounded to bfloat16 (to nearest, ties to
even).
"""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from radixloom_runtime.errors import FetchError, ModelError
from radixloom_runtime.fetch import safetensors_file
from radixloom_runtime.formats.gguf_config import special_token_ids
from radixloom_runtime.formats.gguf_file import Metadata, open_gguf
from radixloom_runtime.formats.gguf_model import GGUFModel
from radixloom_runtime.text.gguf_tokenizer import build_tokenizer, special_tokens

_DTYPE = "bfloat16"


def convert(gguf_file: Path, folder: Path) -> None:
    """Write config.json, model.safetensors, generation_config.json and the tokenizer to `folder`.

    Raises: `FetchError` for an architecture, tokenizer or tensor that is not supported.
    """
    try:
        file = open_gguf(gguf_file)
        model = GGUFModel(file)
        write_tokenizer(file.metadata, folder, longest=model.config["max_position_embeddings"])
    except ModelError as error:
        raise FetchError(str(error)) from error
    _write_json(folder / "config.json", model.config | {"torch_dtype": _DTYPE})
    generation = {"_from_model_config": True, **special_token_ids(file.metadata)}
    _write_json(folder / "generation_config.json", generation)
    _write_weights(model, folder / "model.safetensors")


def write_tokenizer(metadata: Metadata, folder: Path, *, longest: int) -> None:
    """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json.

    Raises: `ModelError` for a kind of tokenizer that is not supported.
    """
    build_tokenizer(metadata).save(str(folder / "tokenizer.json"))
    special = special_tokens(metadata)
    _write_json(folder / "special_tokens_map.json", special)
    config = {
        **special,
        "add_bos_token": bool(metadata.get("tokenizer.ggml.add_bos_token", False)),
        "add_prefix_space": bool(metadata.get("tokenizer.ggml.add_space_prefix", False)),
        "chat_template": metadata.get("tokenizer.chat_template"),
        "clean_up_tokenization_spaces": False,
        "model_max_length": longest,
        # The class that takes tokenizer.json as it is: named ones build their own pre-tokenizer.
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    _write_json(folder / "tokenizer_config.json", config)


def _write_weights(model: GGUFModel, path: Path) -> None:
    shapes = {name: model.shape(name) for name in model}
    entries = [
        safetensors_file.Entry(name, "BF16", shape, num_bytes=int(np.prod(shape)) * 2)
        for name, shape in shapes.items()
    ]
    contents = (_rounded(model.dense(name)).tobytes() for name in shapes)
    safetensors_file.write(path, entries, contents)


def _rounded(tensor: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(tensor).astype(ml_dtypes.bfloat16)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
