"""What is served: the checkpoint's text side, its sampling defaults, and `GET /v1/models`."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.formats.gguf_file import find_gguf, open_gguf
from radixloom_runtime.settings import DEMO_MODEL, RuntimeSettings, cache_folder
from radixloom_runtime.text import chat_template, gguf_tokenizer, tokenizer
from radixloom_runtime.text.chat_template import ChatTemplate
from radixloom_runtime.text.token_bytes import TokenBytes
from radixloom_runtime.text.tokenizer import Tokenizer, read_json


@dataclass(frozen=True, slots=True)
class SamplingDefaults:
    """What a request that does not say gets.

    OpenAI's defaults, unless the checkpoint's generation_config.json gives others: its authors
    know at which temperature it was tuned to speak.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The one model of this process, as far as text goes."""

    name: str
    created: int
    """Unix time."""
    tokenizer: Tokenizer
    token_bytes: TokenBytes
    chat_template: ChatTemplate | None
    defaults: SamplingDefaults

    def card(self, max_model_len: int) -> dict[str, Any]:
        """Return the entry of `GET /v1/models`."""
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "radixloom",
            "max_model_len": max_model_len,
        }


def locate(settings: RuntimeSettings) -> RuntimeSettings:
    """Fill in model and name, and check that the folder is there.

    Raises: `ConfigurationError` saying how to get one.
    """
    folder = settings.model or cache_folder() / "models" / DEMO_MODEL
    if settings.model is None and not folder.is_dir():
        raise ConfigurationError(
            f"no --model given and no demo model in {folder}; get it with `radixloom fetch demo`"
        )
    gguf = find_gguf(folder)
    if gguf is None and not (folder / "config.json").is_file():
        raise ConfigurationError(
            f"wanted a checkpoint folder with a config.json, or a .gguf file, found none in"
            f" {folder}; `radixloom fetch` makes one"
        )
    name = settings.served_model_name or (folder.stem if folder == gguf else folder.resolve().name)
    return settings.model_copy(update={"model": folder, "served_model_name": name})


def load(path: Path, name: str) -> ServedModel:
    """Read everything about text in a checkpoint's folder, or in a GGUF. Raises: `ModelError`."""
    gguf = find_gguf(path)
    if gguf is None:
        loaded = tokenizer.load(path)
        template = chat_template.load(path, loaded.special_tokens)
        generation = read_json(path / "generation_config.json")
    else:
        metadata = open_gguf(gguf).metadata
        loaded = gguf_tokenizer.load(metadata)
        source: str | None = metadata.get("tokenizer.chat_template")
        template = None if source is None else ChatTemplate(source, loaded.special_tokens)
        generation = {}
    return ServedModel(
        name=name,
        created=int(time.time()),  # noqa: TID251 - a date for people, not a duration
        tokenizer=loaded,
        token_bytes=loaded.token_bytes(),
        chat_template=template,
        defaults=_sampling_defaults(generation),
    )


def _sampling_defaults(config: dict[str, Any]) -> SamplingDefaults:
    names = SamplingDefaults.__dataclass_fields__
    given = {name: value for name, value in config.items() if name in names and value is not None}
    return SamplingDefaults(**given)
