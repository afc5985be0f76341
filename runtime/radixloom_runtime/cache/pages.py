"""Which pages of a KV pool are free. A page is a number; what is in it, others know."""

# ruff: noqa: S101 - asserts guard our own invariants

from collections.abc import Iterable


class PageAllocator:
    """Hands out `num_pages` pages from `first` on, the most recently freed first."""

    def __init__(self, num_pages: int, first: int = 0) -> None:
        self.page_ids = range(first, first + num_pages)
        self._free = list(reversed(self.page_ids))
        self._is_free = bytearray(b"\1" * num_pages)

    @property
    def num_free(self) -> int:
        """Pages that `take` can give now."""
        return len(self._free)

    def take(self, count: int) -> list[int]:
        """Take `count` pages; the caller has made sure that there are as many."""
        assert count <= len(self._free), f"wanted {count} pages, {len(self._free)} are free"
        split = len(self._free) - count
        taken = self._free[split:]
        del self._free[split:]
        for page_id in taken:
            self._is_free[page_id - self.page_ids.start] = 0
        return taken

    def give_back(self, page_ids: Iterable[int]) -> None:
        """Make pages free again; each once."""
        for page_id in page_ids:
            index = page_id - self.page_ids.start
            assert not self._is_free[index], f"page {page_id} was freed twice"
            self._is_free[index] = 1
            self._free.append(page_id)

    def free_pages(self) -> frozenset[int]:
        """List the free pages, for checks."""
        return frozenset(self._free)
