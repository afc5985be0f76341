"""Prompts of token ids, drawn at random and the same for the same seed.

random          each prompt is its own
shared-prefix   [ the same prefix ........ | its own ]   what a prefix cache is for
"""

import random
from dataclasses import dataclass

from radixloom_runtime.errors import ConfigurationError

SHARED_PREFIX = "shared-prefix"
KINDS = ("random", SHARED_PREFIX)
FIRST_ID = 1000
"""Special tokens stand at the start of a vocabulary; ids above are ordinary text."""
DEFAULT_VOCAB_SIZE = 10_000


@dataclass(frozen=True, slots=True)
class Prompts:
    """What to draw. `seed` has two parts, so that warm-up and measurement never share a prompt."""

    num_prompts: int
    own_tokens: int
    prefix_tokens: int
    vocab_size: int
    seed: tuple[int, int]


def make(wanted: Prompts) -> list[list[int]]:
    """Draw the prompts.

    Raises: `ConfigurationError` for a vocabulary without ordinary ids.
    """
    if wanted.vocab_size <= FIRST_ID:
        raise ConfigurationError(
            f"--vocab-size {wanted.vocab_size} leaves no ids: they are drawn from {FIRST_ID} up"
        )
    ids = range(FIRST_ID, wanted.vocab_size)
    draws = random.Random(f"{wanted.seed}")  # noqa: S311 - load, not secrets
    prefix = draws.choices(ids, k=wanted.prefix_tokens)
    return [prefix + draws.choices(ids, k=wanted.own_tokens) for _ in range(wanted.num_prompts)]
