"""The sizes to which steps are padded: for what plans steps as well as for what compiles them."""

SMALLEST_MIXED = 16
MIXED_GROWTH = 4
LEAST_HALF = 128
"""Tokens from which half of the longest step is worth a size: fewer cost little more padded."""


def ladder(first: int, last: int, growth: int) -> list[int]:
    """List sizes from first to last, each `growth` times the one before."""
    sizes = [first]
    while sizes[-1] < last:
        sizes.append(min(last, sizes[-1] * growth))
    return sizes


def mixed_sizes(step_tokens: int) -> list[int]:
    """List the sizes, in tokens, of steps in which a row may have more than one; ascending."""
    sizes = ladder(min(SMALLEST_MIXED, step_tokens), step_tokens, MIXED_GROWTH)
    half = step_tokens // 2
    return sorted({*sizes, half}) if half >= LEAST_HALF else sizes
