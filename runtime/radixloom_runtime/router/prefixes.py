"""Which prompts one leader was sent lately: what its prefix cache probably holds.

    prompts   [ system ][ question A ]          blocks  h1  h2
              [ system ][ question B ]                  h1  h3

A block's hash covers all before it, so the radix tree needs no edges: a set of hashes is one. Its
order is that of last use, deeper blocks of a prompt before those they follow: what is forgotten
first is always a leaf, and what is known of a prompt is always its beginning.
"""

from collections import OrderedDict
from collections.abc import Sequence


class PrefixIndex:
    """Blocks, least recently used first; bounded in number and in age.

    Time is an argument, in seconds, and never goes back.
    """

    def __init__(self, *, max_blocks: int, max_age_seconds: float) -> None:
        self._max_blocks = max_blocks
        self._max_age_seconds = max_age_seconds
        self._used_at: OrderedDict[int, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used_at)

    def touch(self, blocks: Sequence[int], now: float) -> None:
        """Note that the leader was sent a prompt of these blocks."""
        for block in reversed(blocks):
            self._used_at[block] = now
            self._used_at.move_to_end(block)
        while len(self._used_at) > self._max_blocks:
            self._used_at.popitem(last=False)

    def matched(self, blocks: Sequence[int], now: float) -> int:
        """Count the blocks at a prompt's beginning that the leader probably holds."""
        self.expire(now)
        return next(
            (index for index, block in enumerate(blocks) if block not in self._used_at),
            len(blocks),
        )

    def expire(self, now: float) -> None:
        """Forget what was not used for too long."""
        oldest = now - self._max_age_seconds
        while self._used_at and next(iter(self._used_at.values())) < oldest:
            self._used_at.popitem(last=False)

    def clear(self) -> None:
        """Forget all: the leader's process has ended."""
        self._used_at.clear()
