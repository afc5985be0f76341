"""Answers that a grammar guides: which tokens may come next, and which must.

    known     {"name": "Ada|        the grammar stands here
    sampled                "        one of the tokens that the mask allows
    forced                  , "age":     what can only come now is not sampled but appended

What is forced depends on the tokens before it and on nothing else, so the tokens are the same
however requests are batched. A forced token has no logprob of its own and is not counted by
penalties on the device; requests that want either sample it, with a mask that leaves nothing else.
So do all where that is quicker (`pays_to_jump`): appended tokens are computed like a piece of a
prompt, in a step that all running requests are part of and that is padded to larger sizes.

The mask of a token depends on the token before it, so a guided request is not planned again before
its token is committed (`Phase.VERIFYING`). Where a good part of the batch is guided, no step is
planned ahead at all, since all would rather wait for the host than run in every other step.
"""

from collections.abc import Sequence
from typing import Protocol

from radixloom_runtime.wire.messages import Submit
from radixloom_runtime.wire.plan import Limits
from radixloom_runtime.wire.step_sizes import mixed_sizes

SHARE_TO_WAIT_FOR = 0.25
"""Of the running requests: from there on, steps wait for the tokens of the guided ones.

With a host time of h steps' time, waiting costs everybody h, and not waiting costs the guided half
of their speed: they break even at a share of about 2h, and h is around a tenth."""


class Guide(Protocol):
    """Where one answer stands in its grammar."""

    @property
    def is_over(self) -> bool:
        """Whether nothing can follow any more."""
        ...

    @property
    def error(self) -> str | None:
        """Why the grammar cannot be followed any further."""
        ...

    def mask(self) -> bytes:
        """Return which tokens may come next, as `RowMask.allowed`; of a forced one, it alone."""
        ...

    def accept(self, token_id: int) -> None:
        """Go on by a token that `mask` allowed."""
        ...

    def forced(self) -> Sequence[int]:
        """Return the tokens that must come next; the same ones until they have been accepted."""
        ...


def pays_to_jump(length: int, num_running: int, limits: Limits) -> bool:
    """Whether `length` forced tokens cost less in one longer step than in a step for each.

    A step of T tokens takes max(T, limits.free_tokens). Jumping makes the next one longer for all,
    and leaves out this request's share of `length` steps.
    """
    if num_running + length > limits.step_tokens:
        return False
    sizes = mixed_sizes(limits.step_tokens)
    padded = next(size for size in sizes if size >= num_running + length)
    step = max(num_running, limits.free_tokens)
    longer = max(padded, limits.free_tokens) - step
    return longer * num_running <= length * step


def may_jump(submit: Submit) -> bool:
    """Whether forced tokens may be appended without being sampled."""
    return submit.logprobs is None and not counts_tokens(submit)


def counts_tokens(submit: Submit) -> bool:
    """Whether what a request samples depends on how often it had a token."""
    sampling = submit.sampling
    return (
        sampling.presence_penalty != 0
        or sampling.frequency_penalty != 0
        or sampling.repetition_penalty != 1
    )
