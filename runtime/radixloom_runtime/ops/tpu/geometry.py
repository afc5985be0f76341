"""Sizes of one compiled kernel: how a token lies in lanes, and how work is cut into blocks.

A TPU holds arrays in tiles of (8 or more rows) x 128 lanes, and copies whole tiles. So a token is
one row of lanes, and all kv heads lie side by side in it:

    pages [page id, S, K * lanes]          lanes of one kv head:
                                           head_dim 128   | key          | value        |    256
                                           head_dim  64   | key   value  |                   128
                                           head_dim  80   | key      . . | value    . . |    256
                                           head_dim 192   | key          :     value    |    384
                                           latent 576/512 | value          key  . . . . |    640

Key and value share a row wherever this saves a tile: queries have zeros in the foreign lanes, so
scores are exact, and the matrix unit works on 128 lanes anyway. Tokens are rows and heads are
lanes, so any number of heads fits without padding, and a head is a slice that costs nothing.

Rows of int8 hold their scales (`ops.kv_numbers`), two a head, four bytes: those of key and value,
or of a latent's value and its rest. Where a head's last tile has room they are at its end, else
some heads share one more tile (`heads_a_tile`):

    head_dim 80            | key      . . | value  ssss. |
    head_dim 128, K = 2    | key0 | value0 | key1 | value1 | ssssssss . . . |
"""

from dataclasses import dataclass

import jax.numpy as jnp

from radixloom_runtime.ops.kv_numbers import SCALE_BYTES, has_scales

LANES = 128
SCALES_A_HEAD = 2
HEAD_SCALE_BYTES = SCALES_A_HEAD * SCALE_BYTES
_MOST_LANES_BESIDE_SCALES = 2048


def round_up(number: int, multiple: int) -> int:
    """Return the least multiple that is not below `number`."""
    return -(-number // multiple) * multiple


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Where the key and the value of one kv head lie among its lanes."""

    lanes: int
    key_lanes: int
    """The key's tiles: lanes 0 ... key_lanes - 1; behind the key's own there may be the value."""
    value_first: int
    value_dim: int
    used: int
    """Lanes before the row's own padding."""

    @property
    def has_room(self) -> bool:
        """Whether the scales of int8 fit into the padding."""
        return self.lanes - self.used >= HEAD_SCALE_BYTES

    @property
    def value_span(self) -> slice:
        """The value's tiles."""
        first = self.value_first // LANES * LANES
        return slice(first, round_up(self.value_first + self.value_dim, LANES))

    @property
    def value_in_span(self) -> slice:
        """The value's own lanes within its tiles."""
        first = self.value_first % LANES
        return slice(first, first + self.value_dim)


def row_layout(head_dim: int, value_dim: int | None) -> RowLayout:
    """Lay out one kv head; `value_dim` is that of a latent, None where values are apart."""
    key_lanes = round_up(head_dim, LANES)
    if value_dim is not None:
        return RowLayout(key_lanes, key_lanes, 0, value_dim, head_dim)
    together = round_up(2 * head_dim, LANES)
    if together < 2 * key_lanes:
        return RowLayout(together, key_lanes, head_dim, head_dim, 2 * head_dim)
    return RowLayout(2 * key_lanes, key_lanes, key_lanes, head_dim, key_lanes + head_dim)


def heads_a_tile(row: RowLayout, num_kv_heads: int, dtype: jnp.dtype) -> int:
    """Return how many heads share one more tile, for their scales; 0: there is none."""
    if not has_scales(dtype) or row.has_room:
        return 0
    most = max(1, _MOST_LANES_BESIDE_SCALES // row.lanes)
    return next(heads for heads in range(most, 0, -1) if num_kv_heads % heads == 0)


def token_lanes(row: RowLayout, num_kv_heads: int, dtype: jnp.dtype) -> int:
    """Return the lanes of a token: of all heads, and of the tiles that their scales share."""
    sharing = heads_a_tile(row, num_kv_heads, dtype)
    return num_kv_heads * row.lanes + (num_kv_heads // sharing * LANES if sharing else 0)


@dataclass(frozen=True, slots=True)
class Geometry:
    """Everything about a kernel that is known when it is compiled; `tpu.sizing` chooses it."""

    row: RowLayout
    page_tokens: int
    tile_rows: int
    """Rows of a tile of the pages; what is copied begins and ends at multiples."""
    num_kv_heads: int
    group: int
    """Query heads that share a kv head."""
    heads_a_pass: int
    """Kv heads that one pass over the batch handles; divides their number."""
    has_scales: bool
    """Whether the pages are int8."""
    block_pages: int
    """Pages that are attended to at once."""
    decode_tokens: int
    """Decodes in a block of queries."""
    decode_blocks: int
    prompt_tokens: int
    """Tokens in a block of prompts' queries; a power of two."""
    prompt_blocks: int

    @property
    def block_tokens(self) -> int:
        """Positions that are attended to at once."""
        return self.block_pages * self.page_tokens

    @property
    def decode_rows(self) -> int:
        """Rows of one decode's queries: the heads of a group, padded to a tile."""
        return round_up(self.group, 8)

    @property
    def prompt_rows(self) -> int:
        """Rows of a block of prompts' queries: head by head, token by token."""
        return self.group * self.prompt_tokens

    @property
    def num_blocks(self) -> int:
        """All blocks of queries: the decodes', then the prompts'."""
        return self.decode_blocks + self.prompt_blocks

    @property
    def passes(self) -> int:
        """Passes over the batch."""
        return self.num_kv_heads // self.heads_a_pass

    @property
    def pass_lanes(self) -> int:
        """Lanes of the pages that belong to one pass."""
        shares_tile = self.has_scales and not self.row.has_room
        return self.heads_a_pass * self.row.lanes + (LANES if shares_tile else 0)

    @property
    def pieces(self) -> tuple[slice, ...]:
        """A pass's lanes, cut into its heads and what comes after them."""
        whole = slice(0, self.row.lanes)
        heads = tuple(self.head_lanes(head, whole) for head in range(self.heads_a_pass))
        rest = slice(heads[-1].stop, self.pass_lanes)
        return (*heads, rest) if rest.start < rest.stop else heads

    def scales_of(self, head: int) -> tuple[slice, int]:
        """Return the tile of a pass with a head's scales, and their first byte in it."""
        if self.row.has_room:
            past = (head + 1) * self.row.lanes
            return slice(past - LANES, past), self.row.used % LANES
        return slice(self.pass_lanes - LANES, self.pass_lanes), head * HEAD_SCALE_BYTES

    @property
    def value_width(self) -> int:
        """Lanes of the value's tiles, and of what comes out."""
        span = self.row.value_span
        return span.stop - span.start

    @property
    def write_pages(self) -> int:
        """Pages of a prompt that are filled at once."""
        return self.block_pages

    @property
    def source_rows(self) -> int:
        """Rows to read so that a page's worth is among them, wherever it begins."""
        return self.page_tokens + self.tile_rows

    def head_lanes(self, head: int, part: slice) -> slice:
        """Find a part of one kv head of a pass among the lanes of that pass."""
        first = head * self.row.lanes
        return slice(first + part.start, first + part.stop)


def tile_rows(dtype: jnp.dtype) -> int:
    """Rows of a tile: 8 of 32 bits, 16 of 16, 32 of 8."""
    return 32 // jnp.dtype(dtype).itemsize
