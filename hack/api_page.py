"""docs/api.md, made of the code: `make docs`.

Endpoints are asked of the application, parameters and bounds of the schemas that check bodies, what
is refused of `server.unsupported`. What other servers do was read from their sources and documents.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from pydantic import BaseModel

from hack.api_features import FEATURES
from hack.api_sources import SOURCES
from hack.clients.matrix import CLIENTS
from radixloom_runtime.server import app, unsupported
from radixloom_runtime.server.anthropic import schema as anthropic
from radixloom_runtime.server.cache_control import PinRequest, UnpinRequest
from radixloom_runtime.server.control import AbortRequest, PauseRequest, ProfileRequest
from radixloom_runtime.server.lifecycle import Lifecycle
from radixloom_runtime.server.lora import LoadLoraRequest, UnloadLoraRequest
from radixloom_runtime.server.pooling.schema import (
    EmbeddingRequest,
    RerankRequest,
    ScoreRequest,
)
from radixloom_runtime.server.responses import schema as responses
from radixloom_runtime.server.responses.store import MAX_BYTES, MAX_RESPONSES
from radixloom_runtime.server.schema_chat import ChatRequest, Message
from radixloom_runtime.server.schema_completions import CompletionRequest
from radixloom_runtime.server.schema_native import GenerateRequest, NativeSampling
from radixloom_runtime.server.tokenizing import DetokenizeRequest, TokenizeRequest
from radixloom_runtime.server.upkeep import UpdateWeightsRequest
from radixloom_runtime.text.reasoning import REASONING_FORMATS
from radixloom_runtime.text.tools.registry import TOOL_FORMATS

PAGE = Path(__file__).parents[1] / "docs" / "api.md"

Schema = Mapping[str, Any]

_HEAD = """# HTTP API

<!-- made by `make docs` (hack/api_page.py); change that, or the schemas it asks -->

What is accepted works: a parameter that is not carried out is a 400 that names it, and so is one
that is not known. `null` means the default. Values are JSON's own types: `"5"` is no number.
Errors are OpenAI's object, `{"error": {"message", "type", "param", "code"}}`; under `/v1/messages`
Anthropic's. A running server describes itself under `/docs` and `/openapi.json`.

## Endpoints

| | |
|---|---|
"""

_CHAT = """
## `POST /v1/chat/completions`

| parameter | value | meaning | source |
|---|---|---|---|
"""

_MESSAGES = """
### Messages

| field | value | meaning |
|---|---|---|
"""

_ANSWERS = """
An answer's `message` (in a stream: `delta`) has `content`, `reasoning_content` where the model
thought, and `tool_calls` where it called; `content` is `null` where there is nothing but these. The
`finish_reason` of an answer that calls is `tool_calls`. Arguments of a call are what the model
wrote, held to their schema where `tool_choice` forces the call or the tool is `strict`; formats
that write strings bare hold those to `enum` alone. The server chooses how to read them by the
checkpoint's chat template, or by `--tool-call-parser` ({tools}) and `--reasoning-parser`
({reasoning}).

What an answer must be (`response_format`, `guided_*`, `structured_outputs`, forced calls) begins
after the model's reasoning, where it has any. JSON is written as Python's `json.dumps` writes it;
`"x-guidance": {{"whitespace_flexible": true}}` in a schema allows blanks anywhere. Keywords that
cannot be held are refused; `oneOf` is taken for `anyOf`. What `max_tokens` cuts off is cut off: a
number without `multipleOf` may have decimals without end. Logprobs are the model's own, before
anything was ruled out.

`prompt_logprobs` of an answer has an entry for each prompt token, in the form of
`logprobs.content`; the first is `null`.

### Refused, except with a value that asks for nothing

| parameter | accepted values |
|---|---|
"""

_WITHOUT_EFFECT = """
Accepted with any value, without effect, since they never change an answer: {names}.

## `POST /v1/completions`

| parameter | value | meaning | source |
|---|---|---|---|
"""

_COMPLETIONS_TAIL = """
Refused, except with a value that asks for nothing: {refused}. Accepted without effect: {names}.
"""

_RESPONSES = """
## `POST /v1/responses`

OpenAI's newer API. Items are `message`, `reasoning` (told as it is, never summed up),
`function_call` and `function_call_output`. A response is kept in the memory of the server that
answered, for the API key that asked: the latest {count:,} ones, {megabytes} MB in all with what led
to them. Another replica does not have it, and a restart forgets it: send the items themselves where
that matters.

| field | value | meaning |
|---|---|---|
"""

_RESPONSES_TAIL = """
Refused, except with a value that asks for nothing: {refused}. Accepted without effect: {names}.
"""

_ANTHROPIC = """
## `POST /v1/messages`

Anthropic's API. Errors, events and blocks are Anthropic's; `Authorization: Bearer` and `x-api-key`
both bring a key. `usage.input_tokens` leaves out what was found in the cache, which is
`cache_read_input_tokens`. Thinking is told as blocks of `thinking` with an empty signature. The
`input` of a call that was cut off has what was complete, and one that is no JSON is
`{"INVALID_JSON": text}`. `POST /v1/messages/count_tokens` takes what of these is not about the
answer.

| field | value | meaning |
|---|---|---|
"""

_ANTHROPIC_TAIL = """
Refused, except with a value that asks for nothing: {refused}.

### Turns of a conversation

| field | value | meaning |
|---|---|---|
"""

_EMBEDDINGS = """
## `POST /v1/embeddings`

Texts are read by the model as prompts are, in the same steps, and a prefix that is cached is not
read again. An embedding is the final norm's output, pooled and normalised as the checkpoint's
`modules.json` and `1_Pooling/config.json` want (`lasttoken`, `mean`, `cls`; a GGUF's
`pooling_type`): without these, the last token's at length 1. What they want beside is refused.
Prompts of queries (`Instruct: ...`) are not added: they belong into the text. Checkpoints without
an output layer (`Qwen3Model` and the like) answer these endpoints alone.

| field | value | meaning |
|---|---|---|
"""

_SCORES = """
## `POST /v1/score` and `/v1/rerank`

Also `/score`, `/rerank` and `/v2/rerank`. Which rule scores, the checkpoint decides:

| the checkpoint | score |
|---|---|
| says how it pools, see above | cosine of both texts' embeddings, -1 to 1 |
| any other | the share of "yes" in the softmax over the logits of "yes" and "no", 0 to 1 |

Such another is asked whether the document answers the query, in the words that Qwen3-Reranker was
trained on. A model without Qwen's marks of turns reads them through its chat template, with
thinking off.

### `/v1/score`

| field | value | meaning |
|---|---|---|
"""

_RERANK = """
### `/v1/rerank`

| field | value | meaning |
|---|---|---|
"""

_SAMPLING_PARAMS = """
### `sampling_params` of `/generate`

An answer is `{"text", "output_ids", "meta_info"}`, a list of them for several prompts or `n`; in a
stream each event has all of the text so far, and the answer's `index` where there are several.
Where a value is left out, the checkpoint's default holds.

| field | value | meaning |
|---|---|---|
"""

_CLIENTS = """
## Clients

`make clients` asks a server by each of these, and prints what works (with `URL` and `MODEL`, one
that is up). A script of tests/clients tells what is tried: chats, streams, calls of tools, answers
by a schema, logprobs, loglikelihoods, loads.

| client | release | script |
|---|---|---|
"""

_TAIL = """
## Beside OpenAI, vLLM and SGL-JAX

yes: it works; partly: with limits that the last column tells; ?: not known to us.

| | OpenAI | vLLM | SGL-JAX | Radixloom | |
|---|---|---|---|---|---|
"""


def page() -> str:
    """Render docs/api.md."""
    without_effect = _names(sorted(unsupported.WITHOUT_EFFECT))
    return "".join(
        (
            _HEAD + _lines(_endpoints()),
            _CHAT + _lines(_parameters(ChatRequest)),
            _MESSAGES + _lines(_fields(Message)),
            _ANSWERS.format(
                tools=_names(TOOL_FORMATS), reasoning=_names(sorted(REASONING_FORMATS))
            ),
            _lines(_refused(unsupported.CHAT)),
            _WITHOUT_EFFECT.format(names=without_effect),
            _lines(_parameters(CompletionRequest)),
            _COMPLETIONS_TAIL.format(refused=_names(unsupported.COMPLETIONS), names=without_effect),
            _RESPONSES.format(count=MAX_RESPONSES, megabytes=MAX_BYTES // 2**20),
            _lines(_fields(responses.ResponseRequest)),
            _RESPONSES_TAIL.format(
                refused=_names(responses.UNSUPPORTED),
                names=_names(sorted(responses.WITHOUT_EFFECT)),
            ),
            _ANTHROPIC + _lines(_fields(anthropic.MessagesRequest)),
            _ANTHROPIC_TAIL.format(refused=_names(anthropic.UNSUPPORTED)),
            _lines(_fields(anthropic.AnthropicMessage)),
            _EMBEDDINGS + _lines(_fields(EmbeddingRequest)),
            _SCORES + _lines(_fields(ScoreRequest)),
            _RERANK + _lines(_fields(RerankRequest)),
            *(_other(path, kind) for path, kind in _OTHERS),
            _SAMPLING_PARAMS + _lines(_fields(NativeSampling)),
            _CLIENTS + _lines(_clients()),
            _TAIL,
            _lines(f"| {' | '.join(row)} |" for row in FEATURES),
        )
    )


_OTHERS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("/tokenize", TokenizeRequest),
    ("/detokenize", DetokenizeRequest),
    ("/generate", GenerateRequest),
    ("/pin_prefix", PinRequest),
    ("/unpin_prefix", UnpinRequest),
    ("/abort_request", AbortRequest),
    ("/pause_generation", PauseRequest),
    ("/start_profile", ProfileRequest),
    ("/update_weights_from_disk", UpdateWeightsRequest),
    ("/load_lora_adapter", LoadLoraRequest),
    ("/unload_lora_adapter", UnloadLoraRequest),
)


def _clients() -> Iterable[str]:
    for client in CLIENTS:
        packages = (*client.node_packages, *client.bare_packages, *client.packages)
        release = f"`{packages[0]}`" if packages else "as development has it"
        yield f"| {client.name} | {release} | `{client.script}` |"


def _other(path: str, kind: type[BaseModel]) -> str:
    return f"\n## `POST {path}`\n\n| field | value | meaning |\n|---|---|---|\n" + _lines(
        _fields(kind)
    )


def _endpoints() -> Iterable[str]:
    """List what the application answers; it is built, not started."""
    built = app.build(cast("Any", SimpleNamespace(lifecycle=Lifecycle(), has_console=True)))
    for path, methods in built.openapi()["paths"].items():
        for method, described in methods.items():
            meaning = _line(described["description"]).partition(". ")[0].removesuffix(".")
            yield f"| `{method.upper()} {path}` | {meaning} |"


def _parameters(kind: type[BaseModel]) -> Iterable[str]:
    for name, form, meaning in _described(kind):
        yield f"| `{name}` | {form} | {meaning} | {SOURCES.get(name, 'OpenAI')} |"


def _fields(kind: type[BaseModel]) -> Iterable[str]:
    for name, form, meaning in _described(kind):
        yield f"| `{name}` | {form} | {meaning} |"


def _described(kind: type[BaseModel]) -> Iterable[tuple[str, str, str]]:
    schema = kind.model_json_schema()
    required = set(schema.get("required", ()))
    for name, found in sorted(schema["properties"].items()):
        form = form_of(found, schema.get("$defs", {}))
        needed = ", required" if name in required else ""
        yield name, form + needed, _line(found.get("description", ""))


def form_of(schema: Schema, definitions: Mapping[str, Schema]) -> str:
    """Say what values a JSON schema allows, in a few words."""
    if "$ref" in schema:
        return form_of(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        branches = [form_of(each, definitions) for each in schema["anyOf"]]
        return " or ".join(dict.fromkeys(form for form in branches if form != "null"))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = str(schema.get("type", "any"))
    if kind == "array":
        most = f" (at most {schema['maxItems']})" if "maxItems" in schema else ""
        return f"list of {form_of(schema.get('items', {}), definitions)}{most}"
    return kind + _bounds(schema)


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    parts = (
        ("≥", low),
        (">", above),
        ("≤", high),
        ("<", below),
    )
    found = [f"{sign} {_number(value)}" for sign, value in parts if value is not None]
    if "maxLength" in schema:
        found.append(f"≤ {schema['maxLength']} characters")
    return " " + ", ".join(found) if found else ""


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _refused(table: Mapping[str, tuple[Any, ...]]) -> Iterable[str]:
    for name, values in sorted(table.items()):
        rendered = ", ".join(f"`{_json(value)}`" for value in values)
        yield f"| `{name}` | {rendered} |"


def _json(value: object) -> str:
    return "null" if value is None else str(value).replace("'", '"').replace("False", "false")


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
