"""What is served: the checkpoint's text side, its sampling defaults, and `GET /v1/models`."""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.formats.gguf_file import find_gguf, open_gguf
from radixloom_runtime.settings import DEMO_MODEL, RuntimeSettings, cache_folder
from radixloom_runtime.text import chat_template, embedding_rule, gguf_tokenizer, tokenizer
from radixloom_runtime.text.chat_template import ChatTemplate
from radixloom_runtime.text.embedding_rule import EmbeddingRule
from radixloom_runtime.text.reasoning import REASONING_FORMATS, reasoning_format_of
from radixloom_runtime.text.token_bytes import TokenBytes
from radixloom_runtime.text.tokenizer import Tokenizer, read_json
from radixloom_runtime.text.tools.registry import TOOL_FORMATS, tool_format_of

_AUTO, _NONE = "auto", "none"


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
    tool_format: str | None = None
    reasoning_format: str | None = None
    embedding: EmbeddingRule = field(default_factory=EmbeddingRule)
    """How texts become vectors."""
    takes_templates: bool = False
    """Whether a request may bring a chat template of its own."""
    adapters: dict[str, int] = field(default_factory=dict[str, int])
    """Names of the adapters that can be asked for, and since when (Unix time); changes."""

    def adapter_of(self, wanted: str) -> str | None:
        """Return the adapter that a request's `model` names, empty for none; None: no such model.

        An adapter's name stands for itself, and after the model's name and a colon.
        """
        if wanted == self.name:
            return ""
        own = wanted.removeprefix(f"{self.name}:")
        return next((name for name in (wanted, own) if name in self.adapters), None)

    def add_adapter(self, name: str) -> None:
        """Let requests ask for an adapter."""
        self.adapters[name] = int(time.time())  # noqa: TID251 - a date for people

    def card(self, max_model_len: int, adapter: str = "") -> dict[str, Any]:
        """Return the entry of `GET /v1/models` of the model, or of one of its adapters."""
        card: dict[str, Any] = {
            "id": adapter or self.name,
            "object": "model",
            "created": self.adapters.get(adapter, self.created),
            "owned_by": "radixloom",
            "max_model_len": max_model_len,
        }
        return card | {"parent": self.name} if adapter else card


def locate(settings: RuntimeSettings) -> RuntimeSettings:
    """Fill in model and name, and check that the folder is there.

    Raises: `ConfigurationError` saying how to get one.
    """
    folder = settings.model or cache_folder() / "models" / DEMO_MODEL
    if settings.model is None and not folder.is_dir():
        raise ConfigurationError(
            f"no --model given and no demo model in {folder}; get it with `radixloom fetch demo`"
        )
    _check_parser("tool_call_parser", settings.tool_call_parser, TOOL_FORMATS)
    _check_parser("reasoning_parser", settings.reasoning_parser, REASONING_FORMATS)
    gguf = find_gguf(folder)
    if gguf is None and not (folder / "config.json").is_file():
        raise ConfigurationError(
            f"wanted a checkpoint folder with a config.json, or a .gguf file, found none in"
            f" {folder}; `radixloom fetch` makes one"
        )
    name = settings.served_model_name or (folder.stem if folder == gguf else folder.resolve().name)
    if name in settings.adapters:
        raise ConfigurationError(
            f"lora {name!r} has the model's own name, so that nobody could ask for it; choose"
            " another, or another served_model_name"
        )
    return settings.model_copy(update={"model": folder, "served_model_name": name})


def load(
    path: Path,
    name: str,
    *,
    tool_call_parser: str = _AUTO,
    reasoning_parser: str = _AUTO,
    takes_templates: bool = False,
    adapters: Iterable[str] = (),
) -> ServedModel:
    """Read everything about text in a checkpoint's folder, or in a GGUF. Raises: `ModelError`."""
    gguf = find_gguf(path)
    if gguf is None:
        rule = embedding_rule.load(path)
        loaded = tokenizer.load(path)
        template = chat_template.load(path, loaded.special_tokens)
        generation = read_json(path / "generation_config.json")
    else:
        metadata = open_gguf(gguf).metadata
        rule = embedding_rule.of_gguf(metadata)
        loaded = gguf_tokenizer.load(metadata)
        source: str | None = metadata.get("tokenizer.chat_template")
        template = None if source is None else ChatTemplate(source, loaded.special_tokens)
        generation = {}
    now = int(time.time())  # noqa: TID251 - a date for people, not a duration
    return ServedModel(
        name=name,
        created=now,
        tokenizer=loaded,
        token_bytes=loaded.token_bytes(),
        chat_template=template,
        defaults=_sampling_defaults(generation),
        tool_format=_format(tool_call_parser, template, tool_format_of),
        reasoning_format=_format(reasoning_parser, template, reasoning_format_of),
        embedding=rule,
        takes_templates=takes_templates,
        adapters=dict.fromkeys(adapters, now),
    )


def _check_parser(setting: str, name: str, formats: Collection[str]) -> None:
    known = [_AUTO, _NONE, *sorted(formats)]
    if name not in known:
        raise ConfigurationError(f"{setting} {name!r} is none of {', '.join(known)}")


def _format(
    name: str, template: ChatTemplate | None, found: Callable[[str], str | None]
) -> str | None:
    if name == _AUTO:
        return None if template is None else found(template.source)
    return None if name == _NONE else name


def _sampling_defaults(config: dict[str, Any]) -> SamplingDefaults:
    names = SamplingDefaults.__dataclass_fields__
    given = {name: value for name, value in config.items() if name in names and value is not None}
    return SamplingDefaults(**given)
