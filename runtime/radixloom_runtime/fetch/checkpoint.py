"""Say whether a folder holds a whole checkpoint: configuration, every weight, a tokenizer.

Or a whole LoRA adapter as PEFT saves it, which has a configuration of its own and no other.

The last check before a fetched folder becomes a model, and the only one for a mounted folder.
"""

import json
from pathlib import Path
from typing import Any

from radixloom_runtime.errors import FetchError, ModelError
from radixloom_runtime.fetch import safetensors_file
from radixloom_runtime.formats import peft

CONFIG, INDEX = "config.json", "model.safetensors.index.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json")
"""Any one of them is a tokenizer."""


def verify(folder: Path) -> None:
    """Check the folder by looking at every file's header.

    Raises: `FetchError` naming what is missing or broken.
    """
    if (folder / peft.CONFIG).is_file() and not (folder / CONFIG).exists():
        _verify_adapter(folder)
        return
    config = _json(folder / CONFIG)
    if not config.get("architectures"):
        raise FetchError(f"{folder / CONFIG} names no architecture, so it is no language model's")
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise FetchError(f"{folder} has no tokenizer: wanted one of {', '.join(TOKENIZERS)}")
    if (folder / INDEX).is_file():
        _verify_shards(folder, _json(folder / INDEX))
    else:
        _verify_single(folder)


def _verify_adapter(folder: Path) -> None:
    """Read what the engine will read of it, the numbers excepted."""
    if not (folder / peft.WEIGHTS).is_file():
        raise FetchError(f"{folder} has a {peft.CONFIG} and no {peft.WEIGHTS}: fetch it again")
    safetensors_file.tensor_names(folder / peft.WEIGHTS)
    try:
        peft.read_adapter(folder)
    except ModelError as error:
        raise FetchError(str(error)) from error


def _verify_shards(folder: Path, index: dict[str, Any]) -> None:
    shard_of: dict[str, str] = index.get("weight_map", {})
    for shard in sorted(set(shard_of.values())):
        if not (folder / shard).is_file():
            raise FetchError(f"{folder / INDEX} names {shard}, which is not there: fetch it again")
        wanted = {tensor for tensor, home in shard_of.items() if home == shard}
        if lost := wanted - safetensors_file.tensor_names(folder / shard):
            raise FetchError(f"{folder / shard} lacks {len(lost)} tensors, such as {min(lost)}")


def _verify_single(folder: Path) -> None:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise FetchError(
            f"{folder} has no *.safetensors file; other formats of weights are not served"
        )
    for path in weights:
        safetensors_file.tensor_names(path)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FetchError(f"{path.parent} is no checkpoint: it has no {path.name}") from error
    except ValueError as error:
        raise FetchError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise FetchError(f"{path} should hold a JSON object")
    return value
