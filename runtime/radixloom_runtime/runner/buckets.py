"""The few shapes of a step that are compiled: (tokens, rows).

    decode   (r, r)    every chunk is one token           r = 1, 2, 4 ... max_rows
    mixed    (t, r)    prompt chunks among the decodes    t = 16, 64, 256 ... step_tokens,
                                                          and half of step_tokens
A step runs in the first bucket that holds it, padded.
"""

from dataclasses import dataclass

from radixloom_runtime.wire.step_sizes import ladder, mixed_sizes


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """A compiled shape; `rows` bounds chunks, of which each may sample."""

    tokens: int
    rows: int
    mixed: bool
    """Takes chunks of more than one token, and gives prompt logprobs."""

    def holds(self, num_tokens: int, num_rows: int) -> bool:
        """Whether a step of that size fits."""
        return num_tokens <= self.tokens and num_rows <= self.rows


def all_buckets(*, max_rows: int, step_tokens: int) -> tuple[Bucket, ...]:
    """List what is compiled before ready, decode first, small first."""
    most_rows = min(max_rows, step_tokens)
    decode = [Bucket(rows, rows, mixed=False) for rows in ladder(1, most_rows, 2)]
    mixed = [
        Bucket(tokens, min(tokens, most_rows), mixed=True) for tokens in mixed_sizes(step_tokens)
    ]
    return (*decode, *mixed)


def choose(
    buckets: tuple[Bucket, ...], *, num_tokens: int, num_rows: int, mixed: bool
) -> Bucket | None:
    """Return the smallest bucket for a step; None if it is over the limits."""
    fitting = (b for b in buckets if b.mixed == mixed and b.holds(num_tokens, num_rows))
    return next(fitting, None)
