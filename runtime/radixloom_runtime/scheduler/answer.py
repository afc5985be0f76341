"""From the results of one chunk to what its client is told."""

from collections.abc import Callable

import msgspec

from radixloom_runtime.scheduler import pooling, stopping
from radixloom_runtime.scheduler.guide import Guide, may_jump
from radixloom_runtime.scheduler.request import Running
from radixloom_runtime.wire.messages import Output, TokenLogprobs
from radixloom_runtime.wire.plan import Chunk, ChunkResult, Top

PaysToJump = Callable[[int], bool]
"""Whether so many tokens that must come next are better appended than sampled."""


def settle(
    run: Running, chunk: Chunk, result: ChunkResult, pays_to_jump: PaysToJump
) -> Output | None:
    """Add a chunk's results to its request; return the Output they make, if any."""
    if chunk.prompt_logprobs is not None and run.prompt_logprobs is not None:
        run.prompt_logprobs += _prompt_logprobs(chunk, result, chunk.prompt_logprobs)
    if chunk.samples:
        return _settle_token(run, chunk, result, pays_to_jump)
    pooling.collect(run, result)
    if chunk.start + chunk.length < run.request.end:
        return None
    output = _output(run, [], None, stopping.LENGTH)  # nothing but the prompt was asked for
    return msgspec.structs.replace(output, vector=pooling.vector_of(run, result))


def _settle_token(
    run: Running, chunk: Chunk, result: ChunkResult, pays_to_jump: PaysToJump
) -> Output:
    token_id = result.token_id
    assert token_id is not None, "a sampling chunk came back without a token"  # noqa: S101 - ours
    if chunk.guessed_ids:
        return _settle_guesses(run, chunk, (token_id, *result.further_ids))
    run.num_in_flight -= 1
    run.token_ids.append(token_id)
    if run.guide is not None:
        return _settle_guided(run, run.guide, chunk, result, pays_to_jump)
    reason = stopping.finish_reason(run.request, token_id, len(run.token_ids))
    logprobs = None if chunk.top_logprobs is None else _logprobs(chunk, result)
    return _output(run, [token_id], logprobs, reason)


def _settle_guided(
    run: Running, guide: Guide, chunk: Chunk, result: ChunkResult, pays_to_jump: PaysToJump
) -> Output:
    """Go on in the grammar, and append what must come next where that pays."""
    told = [run.token_ids[-1]]
    guide.accept(told[0])
    reason = stopping.finish_reason(run.request, told[0], len(run.token_ids))
    if reason is None and may_jump(run.request.submit) and pays_to_jump(len(guide.forced())):
        for token_id in tuple(guide.forced()):
            guide.accept(token_id)
            told.append(token_id)
            run.token_ids.append(token_id)
            reason = stopping.finish_reason(run.request, token_id, len(run.token_ids))
            if reason is not None:
                break
    if len(told) > 1:
        run.prefill_end = len(run.token_ids)
    is_over = reason is None and guide.is_over
    output = _output(run, told, _logprobs(chunk, result), stopping.STOP if is_over else reason)
    return msgspec.structs.replace(output, ends_in_text=True) if is_over else output


def _logprobs(chunk: Chunk, result: ChunkResult) -> list[TokenLogprobs] | None:
    if chunk.top_logprobs is None or result.token_id is None:
        return None
    return [_token_logprobs(result.token_id, result.logprob, result.top, chunk.top_logprobs)]


def _settle_guesses(run: Running, chunk: Chunk, sampled_ids: tuple[int, ...]) -> Output:
    """Add what was sampled, up to where the request ends; take back the wrong guesses' places."""
    run.num_in_flight -= 1 + len(chunk.guessed_ids)
    run.num_guessed = 0
    run.num_planned = chunk.start + len(sampled_ids)
    told: list[int] = []
    reason = None
    for token_id in sampled_ids:
        told.append(token_id)
        run.token_ids.append(token_id)
        reason = stopping.finish_reason(run.request, token_id, len(run.token_ids))
        if reason is not None:
            break
    return _output(run, told, None, reason)


def _output(
    run: Running, token_ids: list[int], logprobs: list[TokenLogprobs] | None, reason: str | None
) -> Output:
    prompt_logprobs, run.prompt_logprobs = run.prompt_logprobs, None
    scheduled_at = None if run.has_answered else run.seated_at
    run.has_answered = True
    return Output(
        request_id=run.request.submit.request_id,
        token_ids=token_ids,
        logprobs=logprobs,
        prompt_logprobs=prompt_logprobs,
        cached_tokens=run.cached_tokens,
        finish_reason=reason,
        scheduled_at=scheduled_at,
    )


def _prompt_logprobs(chunk: Chunk, result: ChunkResult, count: int) -> list[TokenLogprobs]:
    tops = result.prompt_tops or (None,) * len(chunk.next_ids)
    rows = zip(chunk.next_ids, result.prompt_logprobs.tolist(), tops, strict=True)
    return [_token_logprobs(token_id, logprob, top, count) for token_id, logprob, top in rows]


def _token_logprobs(token_id: int, logprob: float, top: Top | None, count: int) -> TokenLogprobs:
    if top is None or not count:
        return TokenLogprobs(token_id, float(logprob), [], [])
    ids, logprobs = top.ids[:count].tolist(), top.logprobs[:count].tolist()
    return TokenLogprobs(token_id, float(logprob), ids, logprobs)
