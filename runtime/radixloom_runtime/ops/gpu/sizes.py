"""How much one program of the GPU's kernel takes at once.

Triton computes with blocks whose sides are powers of two, and its products have 16 on each side at
least; what a head has less is masked, so 80 counts as 128, and 192 as 256. A latent of 512 + 64 is
two parts, which are powers of two themselves. Unmeasured: no GPU was at hand.
"""

from dataclasses import dataclass

from radixloom_runtime.ops.attention import Form

_LEAST = 16
_NARROW, _WIDE = 128, 256


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive numbers of a key."""

    first: int
    width: int

    @property
    def padded(self) -> int:
        """The power of two that it is computed as."""
        return power_of_two(self.width)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one compiled kernel."""

    num_kv_heads: int
    group: int
    """Query heads that share a kv head."""
    parts: tuple[Part, ...]
    """Of a key; a latent's first part is its value, too."""
    value: Part
    tokens: int
    """Of a block of queries; with `heads`, a power of two."""
    heads: int
    """Query heads of a block."""
    positions: int
    """Keys and values in fast memory at once."""

    @property
    def rows(self) -> int:
        """Of queries: token by token, head by head."""
        return self.tokens * self.heads

    @property
    def head_blocks(self) -> int:
        """Blocks that the heads of a group are cut into."""
        return -(-self.group // self.heads)


def choose_sizes(
    num_heads: int, num_kv_heads: int, head_dim: int, form: Form, *, decodes: bool
) -> Sizes:
    """Choose for decodes, which have one token each, or for prompts."""
    parts = (Part(0, head_dim),)
    if form.value_dim is not None:
        rest = head_dim - form.value_dim
        parts = (Part(0, form.value_dim), *([Part(form.value_dim, rest)] if rest else []))
    width = max(part.padded for part in parts)
    rows = 64 if width <= _NARROW else 32 if width <= _WIDE else _LEAST
    group = num_heads // num_kv_heads
    least_heads = _LEAST if decodes else 1
    heads = min(rows, max(least_heads, 1 << (group - 1).bit_length()))
    return Sizes(
        num_kv_heads=num_kv_heads,
        group=group,
        parts=parts,
        value=parts[0],
        tokens=1 if decodes else rows // heads,
        heads=heads,
        positions=rows,
    )


def power_of_two(number: int) -> int:
    """Return the least power of two that is not below `number`, nor below a product's side."""
    return max(_LEAST, 1 << (number - 1).bit_length())
