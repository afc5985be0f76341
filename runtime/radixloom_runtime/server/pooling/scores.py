"""`POST /v1/score` and `/v1/rerank`: how well texts go together, by one of two rules.

the checkpoint declares how it pools      cosine of both texts' embeddings
(sentence-transformers: modules.json)
any other                                 it is asked, and may answer "yes" or "no":
                                          softmax over the logits of both, Qwen3-Reranker's rule
"""

import secrets
import time
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from starlette.requests import Request

from radixloom_runtime.errors import RequestError
from radixloom_runtime.server.lifecycle import Serving
from radixloom_runtime.server.order import check_head
from radixloom_runtime.server.pooling.embeddings import normalized, question_of
from radixloom_runtime.server.pooling.schema import PoolingRequest, RerankRequest, ScoreRequest
from radixloom_runtime.server.pooling.vectors import Question, check_fits, vectors_of
from radixloom_runtime.server.replies import Usage
from radixloom_runtime.text.relevance import Judge

Pair = tuple[str, str]
"""What is looked for, and what may answer it."""
Params = tuple[str, str]
"""What the two are called in a request."""


class Score(msgspec.Struct, frozen=True):
    """Of one pair."""

    index: int
    score: float
    object: Literal["score"] = "score"


class ScoreReply(msgspec.Struct, frozen=True):
    """The answer of `/v1/score`."""

    id: str
    created: int
    model: str
    data: list[Score]
    usage: Usage
    object: Literal["list"] = "list"


class RankedText(msgspec.Struct, frozen=True):
    """A document, told again."""

    text: str


class Ranked(msgspec.Struct, frozen=True):
    """One document's place."""

    index: int
    relevance_score: float
    document: RankedText | UnsetType = UNSET


class RerankReply(msgspec.Struct, frozen=True):
    """The answer of `/v1/rerank`."""

    id: str
    model: str
    results: list[Ranked]
    usage: Usage


class Scorer:
    """Knows by which rule the served model scores, and checks that it can."""

    def __init__(self, serving: Serving, instruction: str | None) -> None:
        """Raises: `RequestError`."""
        self._serving = serving
        self._instruction = instruction
        self._by_embedding = serving.model.embedding.is_declared
        self._judge = Judge(serving.model.tokenizer, serving.model.chat_template)
        if self._by_embedding:
            self._question = question_of(serving)
        else:
            check_head(serving)
            self._question = Question(scored_ids=self._judge.answer_ids())
        if self._by_embedding and instruction is not None:
            raise RequestError(
                "instruction: an embedding model reads it as a part of the query; write it there",
                param="instruction",
                code="unsupported_parameter",
            )

    def prompts(self, pairs: Sequence[Pair], params: Params) -> list[list[int]]:
        """Tokenize all that has to be read, once each; `params` name both sides in errors."""
        if self._by_embedding:
            encode = self._serving.model.tokenizer.encode
            texts = {text: side for pair in pairs for text, side in zip(pair, params, strict=True)}
            prompts = [encode(text, add_special_tokens=True) for text in texts]
            sides = list(texts.values())
        else:
            ask = self._judge.prompt
            prompts = [ask(self._instruction, *pair) for pair in pairs]
            sides = [" and ".join(params)] * len(pairs)
        for prompt, side in zip(prompts, sides, strict=True):
            check_fits(len(prompt), self._serving.limits.max_model_len, param=side)
        return prompts

    async def score(
        self,
        request: Request,
        wanted: PoolingRequest,
        pairs: Sequence[Pair],
        prompts: Sequence[list[int]],
    ) -> tuple[list[float], Usage]:
        """Score each pair. Raises: `RequestError`."""
        vectors, usage = await vectors_of(request, wanted, prompts, self._question)
        if not self._by_embedding:
            return [yes_share(*vector.tolist()) for vector in vectors], usage
        texts = dict.fromkeys(text for pair in pairs for text in pair)
        by_text = dict(zip(texts, map(normalized, vectors), strict=True))
        return [float(np.dot(by_text[first], by_text[second])) for first, second in pairs], usage


def yes_share(yes: float, no: float) -> float:
    """Softmax over two logits: the share of the first."""
    return float(1 / (1 + np.exp(np.clip(no - yes, -700, 700))))


def pairs_of(wanted: ScoreRequest) -> list[Pair]:
    """Pair the texts: one with each, or each with its own."""
    firsts = wanted.text_1 * (len(wanted.text_2) if len(wanted.text_1) == 1 else 1)
    return list(zip(firsts, wanted.text_2, strict=True))


def score_reply(wanted: ScoreRequest, scores: Sequence[float], usage: Usage) -> ScoreReply:
    """Write the answer of `/v1/score`."""
    return ScoreReply(
        id=f"score-{secrets.token_hex(12)}",
        created=int(time.time()),  # noqa: TID251 - a date in the answer
        model=wanted.model,
        data=[Score(index, score) for index, score in enumerate(scores)],
        usage=usage,
    )


def rerank_reply(wanted: RerankRequest, scores: Sequence[float], usage: Usage) -> RerankReply:
    """Write the answer of `/v1/rerank`: the most relevant first; of equals, the first given."""
    texts = wanted.texts
    best = sorted(range(len(texts)), key=lambda index: -scores[index])[: wanted.top_n]
    tells = wanted.return_documents is not False
    results = [
        Ranked(index, scores[index], RankedText(texts[index]) if tells else UNSET) for index in best
    ]
    return RerankReply(f"rerank-{secrets.token_hex(12)}", wanted.model, results, usage)
