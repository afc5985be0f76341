"""What every attention kernel of ours is given, and gives.

A step computes a ragged batch: `chunks` of consecutive tokens, each of one request, laid end to
end. Their keys and values, and those of everything before them, lie in pages:

    tokens        [ a7 | b3 | c0 c1 c2 c3 c4 | - - - ]      three chunks, then padding
    num_decodes   2: the leading chunks that have one token each (token i is chunk i)
    starts        7, 3, 0       position of a chunk's first token
    lengths       1, 1, 5       its tokens in this step
    offsets       0, 1, 2       where they lie among the step's tokens
    page_tables   [chunk, i] is the page of positions i*page ... i*page + page - 1
    pages         [page id, position in the page, 2K, H]: k0 v0 k1 v1 ... of K key-value heads

A token attends to all positions of its request up to its own; its own key and value are in its
page before the kernel runs. Kernels do not read beyond a chunk's last position, and their cost
grows with the live tokens and not with the padded tables.

`page_offset` is added to every page id: all layers share one pool, and each has its own stretch.
What comes out for padding is not defined.
"""

from typing import NamedTuple, Protocol

from jaxtyping import Array, Float, Int


class Ragged(NamedTuple):
    """Which tokens of a step belong to which request, and where their history lies."""

    num_decodes: Int[Array, ""]
    num_chunks: Int[Array, ""]
    starts: Int[Array, " R"]
    lengths: Int[Array, " R"]
    offsets: Int[Array, " R"]
    page_tables: Int[Array, "R P"]


class Attention(Protocol):
    """A kernel."""

    def __call__(
        self,
        queries: Float[Array, "T N H"],
        pages: Float[Array, "G S 2K H"],
        batch: Ragged,
        page_offset: Int[Array, ""] | int,
    ) -> Float[Array, "T N H"]:
        """Attend with scale 1/sqrt(H)."""
        ...
