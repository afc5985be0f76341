"""When a request ends, and which requests could never end. Pure functions, one per rule."""

from collections.abc import Callable

from radixloom_runtime.scheduler.request import Request
from radixloom_runtime.wire.messages import Rejected, Submit
from radixloom_runtime.wire.plan import Limits

STOP = "stop"
LENGTH = "length"


def end_of(submit: Submit, limits: Limits) -> int:
    """Return the length, prompt included, at which the answer is cut."""
    return min(len(submit.prompt_ids) + submit.max_tokens, limits.max_model_len)


def places_of(submit: Submit, limits: Limits) -> int:
    """Count the tokens whose KV a request needs: the last of an answer is never an input."""
    return max(len(submit.prompt_ids), end_of(submit, limits) - 1)


def first_stop_position(submit: Submit) -> int:
    """Return the first position at which a stop token may be sampled."""
    return len(submit.prompt_ids) + submit.min_tokens


def finish_reason(request: Request, token_id: int, length: int) -> str | None:
    """Tell why a request ends with `token_id` as its token number `length`, if it does."""
    if token_id in request.stop_ids and length > first_stop_position(request.submit):
        return STOP
    return LENGTH if length >= request.end else None


def lost_in_grammar(request_id: str, why: str) -> Rejected:
    """Tell that a grammar cannot be followed, or no further."""
    return Rejected(request_id=request_id, message=why, is_grammars_fault=True)


# --- requests that can never run: (submit, limits) -> why not


def _has_no_prompt(submit: Submit, _limits: Limits) -> str | None:
    if submit.prompt_ids:
        return None
    return "the prompt is empty; at least one token is needed"


def _is_over_context(submit: Submit, limits: Limits) -> str | None:
    length = len(submit.prompt_ids)
    room = limits.max_model_len - min(submit.max_tokens, 1)
    if length <= room:
        return None
    return (
        f"the prompt has {length} tokens, the context of {limits.max_model_len} leaves room"
        f" for {room}; shorten it"
    )


def _is_over_cache(submit: Submit, limits: Limits) -> str | None:
    places = places_of(submit, limits)
    capacity = limits.num_pages * limits.page_tokens  # less what is pinned
    if places <= capacity:
        return None
    return (
        f"the prompt of {len(submit.prompt_ids)} tokens with max_tokens={submit.max_tokens} needs"
        f" {places} places in the KV cache, which has {capacity}; lower max_tokens or shorten"
        " the prompt, or start the server with a larger --kv-cache-tokens"
    )


_REFUSALS: tuple[Callable[[Submit, Limits], str | None], ...] = (
    _has_no_prompt,
    _is_over_context,
    _is_over_cache,
)


def refusal(submit: Submit, limits: Limits) -> str | None:
    """Tell why a request can never run; None if it can."""
    return next((why for rule in _REFUSALS if (why := rule(submit, limits))), None)
