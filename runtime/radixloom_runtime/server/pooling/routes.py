"""Where the endpoints of vectors are."""

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from radixloom_runtime.server import order, parsing, statuses
from radixloom_runtime.server.pooling import embeddings, scores
from radixloom_runtime.server.pooling.schema import (
    EmbeddingRequest,
    PoolingRequest,
    RerankRequest,
    ScoreRequest,
)
from radixloom_runtime.server.pooling.scores import Pair, Params, Scorer
from radixloom_runtime.server.pooling.vectors import vectors_of
from radixloom_runtime.server.problems import json_response
from radixloom_runtime.server.replies import Usage
from radixloom_runtime.server.service import service_of

PATHS = frozenset({"/v1/embeddings", "/v1/score", "/score", "/v1/rerank", "/v2/rerank", "/rerank"})
"""Those without a version, and Cohere's, are the same under the names that other servers use."""

router = APIRouter(tags=["vectors"])


@router.post(
    "/v1/embeddings",
    openapi_extra=parsing.documented(EmbeddingRequest),
    responses=statuses.asked(),
)
async def create_embeddings(request: Request) -> Response:
    """Turn texts into vectors."""
    serving = service_of(request).lifecycle.admit()
    wanted = await parsing.plain_request(request, EmbeddingRequest)
    rule, question = embeddings.rule_of(serving), embeddings.question_of(serving)
    prompts = await asyncio.to_thread(embeddings.prompts_of, wanted, serving)
    vectors, usage = await vectors_of(request, wanted, prompts, question)
    reply = await asyncio.to_thread(embeddings.reply, wanted, vectors, usage, rule)
    return json_response(reply)


@router.post("/score", include_in_schema=False)
@router.post(
    "/v1/score", openapi_extra=parsing.documented(ScoreRequest), responses=statuses.asked()
)
async def score(request: Request) -> Response:
    """Tell how well pairs of texts go together."""
    wanted = await parsing.plain_request(request, ScoreRequest)
    pairs = scores.pairs_of(wanted)
    found = await _scores(request, wanted, pairs, ("text_1", "text_2"), wanted.instruction)
    return json_response(scores.score_reply(wanted, *found))


@router.post("/rerank", include_in_schema=False)
@router.post("/v2/rerank", include_in_schema=False)
@router.post(
    "/v1/rerank", openapi_extra=parsing.documented(RerankRequest), responses=statuses.asked()
)
async def rerank(request: Request) -> Response:
    """Put documents in the order of their relevance to a query."""
    wanted = await parsing.plain_request(request, RerankRequest)
    pairs = [(wanted.query, text) for text in wanted.texts]
    found = await _scores(request, wanted, pairs, ("query", "documents"), wanted.instruction)
    return json_response(scores.rerank_reply(wanted, *found))


async def _scores(
    request: Request,
    wanted: PoolingRequest,
    pairs: Sequence[Pair],
    params: Params,
    instruction: str | None,
) -> tuple[list[float], Usage]:
    serving = service_of(request).lifecycle.admit()
    order.check_model(wanted.model, serving.model)
    scorer = Scorer(serving, instruction)
    prompts = await asyncio.to_thread(scorer.prompts, pairs, params)
    return await scorer.score(request, wanted, pairs, prompts)
