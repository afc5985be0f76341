"""Which evicted pages have a copy in host memory, and where.

    page 0      key 0 = hash(tokens of page 0)
    page 1      key 1 = hash(key 0, tokens of page 1)      so a key stands for the whole prefix
       ...
    key ──► slot                                           least recently used ones go first

Here are only the numbers. The copies are made by the runner, in the order of the moves that the
plans carry: a slot may be loaded from and then filled anew within one plan.
"""

# ruff: noqa: S101 - asserts guard our own invariants

from array import array
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import takewhile
from typing import NamedTuple

Key = bytes

_KEY_BYTES = 16
NO_KEY = b""
"""What comes before the first page."""


def first_key(namespace: int) -> Key:
    """Return what comes before the first page of a namespace of `radix`."""
    return namespace.to_bytes(8, "little") if namespace else NO_KEY


def keys_after(key: Key, token_ids: Sequence[int], page_tokens: int) -> Iterator[Key]:
    """Yield the key of each whole page of tokens that comes after the page of `key`."""
    for end in range(page_tokens, len(token_ids) + 1, page_tokens):
        page = array("q", token_ids[end - page_tokens : end]).tobytes()
        key = blake2b(key + page, digest_size=_KEY_BYTES).digest()
        yield key


class Copy(NamedTuple):
    """A page that is to be copied to its slot, or back."""

    page_id: int
    slot: int
    to_host: bool


class HostTier:
    """Slots for pages: `num_slots` from `first_slot` on."""

    def __init__(self, num_slots: int, first_slot: int = 0) -> None:
        self.num_slots = num_slots
        self._first_slot = first_slot
        self._slots: OrderedDict[Key, int] = OrderedDict()  # least recently used first

    def __len__(self) -> int:
        return len(self._slots)

    def find(self, keys: Iterable[Key]) -> list[int]:
        """Return the slots of the first keys, up to one that has none."""
        slots: list[int] = []
        for key in keys:
            slot = self._slots.get(key)
            if slot is None:
                break
            self._slots.move_to_end(key)
            slots.append(slot)
        return slots

    def count(self, keys: Iterable[Key]) -> int:
        """Count the first keys that have a slot; none of them counts as used."""
        return sum(1 for _ in takewhile(self._slots.__contains__, keys))

    def keep(self, key: Key, *, except_slots: Collection[int]) -> int | None:
        """Return the slot that a page is to be copied to; None if it has one, or there is none.

        `except_slots` are about to be read, so they are not taken away.
        """
        if key in self._slots:
            self._slots.move_to_end(key)
            return None
        if len(self._slots) < self.num_slots:
            slot = self._first_slot + len(self._slots)
        else:
            oldest = next((k for k, s in self._slots.items() if s not in except_slots), None)
            if oldest is None:
                return None
            slot = self._slots.pop(oldest)
        self._slots[key] = slot
        return slot

    def clear(self) -> None:
        """Forget all copies."""
        self._slots.clear()

    def check(self) -> None:
        """Assert that no slot is used twice."""
        slots = list(self._slots.values())
        assert len(set(slots)) == len(slots) <= self.num_slots
        filled = range(self._first_slot, self._first_slot + len(slots))
        assert sorted(slots) == list(filled), "slots are filled from the first on"
