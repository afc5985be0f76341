"""The page allocator."""

import pytest

from radixloom_runtime.cache.pages import PageAllocator


def test_every_page_is_given_once():
    allocator = PageAllocator(5)
    assert sorted(allocator.take(2) + allocator.take(3)) == [0, 1, 2, 3, 4]
    assert allocator.num_free == 0


def test_a_page_given_back_is_the_next_one_taken():
    allocator = PageAllocator(5)
    taken = allocator.take(3)
    allocator.give_back([taken[1]])
    assert allocator.take(1) == [taken[1]]


def test_a_page_cannot_be_given_back_twice():
    allocator = PageAllocator(2)
    (page_id,) = allocator.take(1)
    allocator.give_back([page_id])
    with pytest.raises(AssertionError, match="freed twice"):
        allocator.give_back([page_id])


def test_more_pages_than_are_free_cannot_be_taken():
    with pytest.raises(AssertionError, match="wanted 3 pages, 2 are free"):
        PageAllocator(2).take(3)
