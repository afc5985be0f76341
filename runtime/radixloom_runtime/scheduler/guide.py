"""Answers that a grammar guides: which tokens may come next, and which must.

    known     {"name": "Ada|        the grammar stands here
    sampled                "        one of the tokens that the mask allows
    forced                  , "age":     what can only come now is not sampled but appended

What is forced depends on the tokens before it and on nothing else, so the tokens are the same
however requests are batched. A forced token has no logprob of its own and is not counted by
penalties on the device; requests that want either sample it, with a mask that leaves nothing else.

The mask of a token depends on the token before it, so a guided request is not planned again before
its token is committed (`Phase.VERIFYING`). Where a good part of the batch is guided, no step is
planned ahead at all, since all would rather wait for the host than run in every other step.
"""

from collections.abc import Iterable
from typing import Protocol

from radixloom_runtime.wire.messages import Submit

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

    def force(self) -> Iterable[int]:
        """Go on by the tokens that must come next, and return them."""
        ...


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
