"""What every attention kernel of ours is given, and gives.

A step computes a ragged batch: `chunks` of consecutive tokens, each of one request, laid end to
end. Their keys and values, and those of everything before them, lie in pages:

    tokens        [ a7 | b3 | c0 c1 c2 c3 c4 | - - - ]      three chunks, then padding
    num_decodes   2: the leading chunks that have one token each (token i is chunk i)
    starts        7, 3, 0       position of a chunk's first token
    lengths       1, 1, 5       its tokens in this step
    offsets       0, 1, 2       where they lie among the step's tokens
    page_tables   [chunk, i] is the page of positions i*S ... i*S + S - 1
    slots         [token] page * S + place: where its key and value go (padding: a scratch page)
    pages         [page id, place in the page, ...]; `page_shape` says how the rest holds a token,
                  in numbers of what dtype: `ops.kv_numbers`

A kernel first writes the step's own keys and values into their pages, in place, and then attends:
a token sees all positions of its request up to its own, or the last `window` of them (its own is
one of these). A page that one chunk of the step fills may be read by another chunk. Kernels do not
read beyond a chunk's last position, and their cost grows with the live tokens and not with the
padded tables.

`page_offset` is added to every page id: all layers share one pool, and each has its own stretch.
What comes out for padding is not defined, but it is finite.

Two ways to hold a token's history:

    heads     K keys and K values of H numbers: query head n reads pair n // (N / K)
    latent    one key of H numbers for all query heads; its first `value_dim` are the value (MLA)
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num


class Ragged(NamedTuple):
    """Which tokens of a step belong to which request, and where their history lies."""

    num_decodes: Int[Array, ""]
    num_chunks: Int[Array, ""]
    starts: Int[Array, " R"]
    lengths: Int[Array, " R"]
    offsets: Int[Array, " R"]
    page_tables: Int[Array, "R P"]
    slots: Int[Array, " T"]


@dataclass(frozen=True, slots=True)
class Form:
    """What is the same for all layers of a model, and known when a step is compiled."""

    scale: float
    """Scores are query . key * scale."""
    soft_cap: float | None = None
    """Scores become soft_cap * tanh(score / soft_cap)."""
    value_dim: int | None = None
    """Of a latent history; None: keys and values are apart."""

    @property
    def is_latent(self) -> bool:
        """Whether one latent vector a token is key and value."""
        return self.value_dim is not None


class Attention(Protocol):
    """A kernel."""

    def page_shape(
        self, num_kv_heads: int, head_dim: int, *, latent: bool, dtype: jnp.dtype
    ) -> tuple[int, ...]:
        """Return the axes of the pages that hold one token, in numbers of `dtype`.

        CPU: (2K, H) with k0 v0 k1 v1 ..., or (H,) for a latent. TPU: one axis, padded and packed.
        In either the first of them has the kv heads one after another, so that it can be
        cut into the heads of several devices. Scales of int8 lie in the same axes.
        """
        ...

    def page_dtype(self, dtype: jnp.dtype) -> jnp.dtype:
        """Return as what pages of `dtype` are allocated: as bits where XLA would widen it."""
        ...

    def page_multiple(self, dtype: jnp.dtype) -> int:
        """Return of what the tokens of a page must be a multiple."""
        ...

    def __call__(
        self,
        queries: Float[Array, "T N H"],
        keys: Float[Array, "T K H"],
        values: Float[Array, "T K H"] | None,
        pages: Num[Array, "G S *W"],
        batch: Ragged,
        page_offset: Int[Array, ""] | int,
        form: Form,
        *,
        window: Int[Array, ""] | int | None = None,
        sinks: Float[Array, " N"] | None = None,
    ) -> tuple[Float[Array, "T N V"], Num[Array, "G S *W"]]:
        """Write and attend; returns what was read (V is H, or value_dim) and the pages.

        `values` is None for a latent (K = 1). `window` may differ from layer to layer while the
        step runs; a number beyond all positions means no window. `sinks`: one score per query head
        that takes part in the softmax and gives no value.
        """
        ...
