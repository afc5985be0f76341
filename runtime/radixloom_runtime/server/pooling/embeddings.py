"""`POST /v1/embeddings`: inputs to token ids, vectors to OpenAI's answer."""

import base64
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server import order
from radixloom_runtime.server.lifecycle import Serving
from radixloom_runtime.server.pooling.schema import EmbeddingRequest
from radixloom_runtime.server.pooling.vectors import Question, Vector, check_fits
from radixloom_runtime.server.replies import Usage
from radixloom_runtime.text.embedding_rule import EmbeddingRule


class Embedding(msgspec.Struct, frozen=True):
    """The vector of one input."""

    index: int
    embedding: msgspec.Raw
    """A list of numbers, or base64, as JSON: made one by one in a thread, where streams go on
    meanwhile; 2048 vectors at once take half a second."""
    object: Literal["embedding"] = "embedding"


class EmbeddingReply(msgspec.Struct, frozen=True):
    """The answer."""

    model: str
    data: list[Embedding]
    usage: Usage
    object: Literal["list"] = "list"


def rule_of(serving: Serving) -> EmbeddingRule:
    """Return how embeddings are made. Raises: `RequestError` where they would be wrong."""
    rule = serving.model.embedding
    if rule.problem:
        raise RequestError(
            f"embeddings of {serving.model.name!r} cannot be made right: {rule.problem}",
            code="unsupported_model",
        )
    return rule


def question_of(serving: Serving) -> Question:
    """Return what the engine is asked. Raises: `RequestError`."""
    return Question(pooling=rule_of(serving).pooling)


def prompts_of(wanted: EmbeddingRequest, serving: Serving) -> list[list[int]]:
    """Tokenize the inputs and check them. Raises: `RequestError`."""
    order.check_model(wanted.model, serving.model)
    width = serving.limits.embed_dim
    if wanted.dimensions is not None and wanted.dimensions > width:
        raise RequestError(
            f"dimensions {wanted.dimensions} is more than the {width} that the model has",
            param="dimensions",
            code="invalid_value",
        )
    most = serving.limits.max_model_len
    kept = wanted.truncate_prompt_tokens
    if kept is not None:
        kept = most if kept == -1 else min(kept, most)
    prompts: list[list[int]] = []
    for index, given in enumerate(wanted.input):
        ids = _ids_of(given, kept, serving)
        check_fits(len(ids), most, param=f"input[{index}]")
        order.check_ids(ids, serving.limits, param="input")
        prompts.append(ids)
    return prompts


def _ids_of(given: str | list[int], kept: int | None, serving: Serving) -> list[int]:
    if isinstance(given, str):
        return serving.model.tokenizer.encode(given, add_special_tokens=True, at_most=kept)
    return given if kept is None else given[:kept]


def reply(
    wanted: EmbeddingRequest, vectors: Sequence[Vector], usage: Usage, rule: EmbeddingRule
) -> EmbeddingReply:
    """Write the answer."""
    finished = [finish(vector, rule, wanted.dimensions) for vector in vectors]
    is_base64 = wanted.encoding_format == "base64"
    data = [
        Embedding(index, _json(_base64(vector) if is_base64 else vector.tolist()))
        for index, vector in enumerate(finished)
    ]
    return EmbeddingReply(wanted.model, data, usage)


def finish(vector: Vector, rule: EmbeddingRule, dimensions: int | None = None) -> Vector:
    """Cut a pooled state to `dimensions`, and normalise it as the checkpoint wants."""
    if dimensions is not None:
        return normalized(vector[:dimensions])
    return normalized(vector) if rule.normalizes else vector


def normalized(vector: Vector) -> Vector:
    """Scale to length 1; a vector of zeros stays."""
    length = np.linalg.norm(vector.astype(np.float64))
    return (vector / max(length, np.finfo(np.float32).tiny)).astype(np.float32)


def _json(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _base64(vector: Vector) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
