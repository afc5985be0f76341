"""The prefix tree, by example and against a model that is a plain set of prefixes."""

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from radixloom_runtime.cache.radix import OWN, Match, RadixTree

PAGE_TOKENS = 2


def tree_with(*prompts: str) -> RadixTree:
    """A tree that has learned the prompts in order; pages are numbered as they come."""
    tree = RadixTree(PAGE_TOKENS)
    next_page = 0
    for prompt in prompts:
        num_pages = len(prompt) // PAGE_TOKENS
        page_ids = list(range(next_page, next_page + num_pages))
        next_page += num_pages
        tree.insert_below(tree.root, ids(prompt), 0, page_ids)
        tree.check()
    return tree


def ids(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


def pages_of(tree: RadixTree, prompt: str) -> list[int]:
    end, page_ids = tree.hold(ids(prompt), len(prompt) // PAGE_TOKENS)
    tree.let_go(end)
    return page_ids


def test_a_namespace_is_there_as_long_as_something_of_it_is_known_or_held():
    tree = tree_with("aabb")
    for namespace in range(1, 9):
        assert tree.match(ids("aabb"), 2, namespace) == Match(0, 0)
    assert set(tree.roots) == {OWN}
    end, _ = tree.hold(ids("aabb"), 2, 3)
    end = tree.extend_held(end, ids("aabb"), [8, 9])
    assert tree.match(ids("aabb"), 2, 3).num_pages == 2
    assert set(tree.roots) == {OWN, 3}
    tree.let_go(end)
    del end
    assert tree.evict(4) == [0, 1, 8, 9]
    assert set(tree.roots) == {OWN}


def test_an_empty_tree_matches_nothing():
    assert RadixTree(PAGE_TOKENS).match(ids("abcd"), 2) == Match(0, 0)


def test_a_prompt_matches_as_far_as_whole_pages_agree():
    tree = tree_with("aabbcc")
    assert tree.match(ids("aabbcc"), 3) == Match(3, 3)
    assert tree.match(ids("aabbcX"), 3) == Match(2, 2)
    assert tree.match(ids("aXbbcc"), 3) == Match(0, 0)


def test_a_match_is_never_longer_than_asked_for():
    assert tree_with("aabbcc").match(ids("aabbcc"), 2) == Match(2, 2)


def test_a_match_goes_on_through_children():
    tree = tree_with("aabb", "aabbccdd")
    assert tree.match(ids("aabbccdd"), 4) == Match(4, 4)
    assert pages_of(tree, "aabbccdd") == [0, 1, 4, 5]


def test_prompts_that_part_share_the_pages_before():
    tree = tree_with("aabbcc", "aabbdd")
    assert pages_of(tree, "aabbcc") == [0, 1, 2]
    assert pages_of(tree, "aabbdd") == [0, 1, 5]


def test_inserting_what_is_known_returns_the_pages_that_were_not_needed():
    tree = tree_with("aabb")
    assert tree.insert_below(tree.root, ids("aabbcc"), 0, [7, 8, 9]) == [7, 8]
    assert pages_of(tree, "aabbcc") == [0, 1, 9]


def test_holding_splits_at_the_page_where_the_prompt_parts():
    tree = tree_with("aabbcc")
    end, page_ids = tree.hold(ids("aabbXX"), 3)
    tree.check()
    assert page_ids == [0, 1]
    assert tree.num_evictable == 1
    tree.let_go(end)
    assert tree.num_evictable == 3


def test_who_holds_a_node_still_holds_it_whole_after_it_was_split():
    tree = tree_with("aabbcc")
    long, _ = tree.hold(ids("aabbcc"), 3)
    short, _ = tree.hold(ids("aa"), 1)
    tree.check()
    assert tree.evict(3) == []
    tree.let_go(long)
    tree.check()
    assert sorted(tree.evict(3)) == [1, 2]
    tree.let_go(short)
    assert tree.evict(3) == [0]


def test_the_longest_unheld_prefix_is_evicted_first():
    tree = tree_with("aabb", "ccdd", "eeff")
    assert pages_of(tree, "aabb") == [0, 1]  # touched: now the youngest
    assert tree.evict(2) == [2, 3]
    assert tree.evict(2) == [4, 5]
    assert tree.evict(2) == [0, 1]
    tree.check()


def test_a_leaf_is_shortened_from_its_end_when_that_is_enough():
    tree = tree_with("aabbccdd")
    assert tree.evict(1) == [3]
    tree.check()
    assert tree.match(ids("aabbccdd"), 4) == Match(3, 3)


def test_a_parent_is_evicted_after_its_last_child():
    tree = tree_with("aabb", "aacc")
    assert tree.evict(2) == [1, 3]
    assert tree.evict(2) == [0]
    tree.check()


def test_what_is_held_is_never_evicted():
    tree = tree_with("aabb", "ccdd")
    end, _ = tree.hold(ids("aabb"), 2)
    assert tree.evict(9) == [2, 3]
    assert tree.evict(9) == []
    tree.let_go(end)
    assert tree.evict(9) == [0, 1]


def test_pages_hung_below_a_held_node_are_held_too():
    tree = tree_with("aa")
    end, _ = tree.hold(ids("aa"), 1)
    end = tree.extend_held(end, ids("bbcc"), [5, 6])
    tree.check()
    assert tree.num_evictable == 0
    tree.let_go(end)
    assert tree.num_evictable == 3


def test_a_page_that_is_known_cannot_be_hung_again():
    tree = tree_with("aabb")
    assert tree.knows_next(tree.root, ids("aa"))
    with pytest.raises(AssertionError, match="knows this page"):
        tree.extend_held(tree.root, ids("aa"), [9])


def test_the_eviction_heap_does_not_grow_with_the_number_of_hits():
    tree = tree_with("aabb")
    for _ in range(1000):
        pages_of(tree, "aabb")
    assert len(tree._heap) < 100
    tree.check()
    assert tree.evict(2) == [0, 1]


def test_check_notices_a_page_count_that_is_wrong():
    tree = tree_with("aabb")
    tree.num_evictable += 1
    with pytest.raises(AssertionError):
        tree.check()


prompts = st.lists(st.integers(0, 1), max_size=12).map(tuple)


class TreeAgainstModel(RuleBasedStateMachine):
    """The model: which prefix (in whole pages) is known, and as which page."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = RadixTree(PAGE_TOKENS)
        self.page_of: dict[tuple[int, ...], int] = {}
        self.held: list[tuple[object, tuple[int, ...]]] = []
        self.next_page = 0

    def known(self, prompt: tuple[int, ...]) -> list[int]:
        pages = []
        for end in range(PAGE_TOKENS, len(prompt) + 1, PAGE_TOKENS):
            if prompt[:end] not in self.page_of:
                break
            pages.append(self.page_of[prompt[:end]])
        return pages

    def prefixes_held(self) -> set[tuple[int, ...]]:
        return {
            prompt[:end]
            for _, prompt in self.held
            for end in range(PAGE_TOKENS, len(prompt) + 1, PAGE_TOKENS)
        }

    @rule(prompt=prompts)
    def insert(self, prompt) -> None:
        num_pages = len(prompt) // PAGE_TOKENS
        page_ids = list(range(self.next_page, self.next_page + num_pages))
        self.next_page += num_pages
        num_known = len(self.known(prompt))
        assert self.tree.insert_below(self.tree.root, prompt, 0, page_ids) == page_ids[:num_known]
        for index in range(num_known, num_pages):
            self.page_of[prompt[: (index + 1) * PAGE_TOKENS]] = page_ids[index]

    @rule(prompt=prompts)
    def hold(self, prompt) -> None:
        num_pages = len(prompt) // PAGE_TOKENS
        expected = self.known(prompt)
        assert self.tree.match(prompt, num_pages).num_pages == len(expected)
        end, page_ids = self.tree.hold(prompt, num_pages)
        assert page_ids == expected
        self.held.append((end, prompt[: len(page_ids) * PAGE_TOKENS]))

    @rule(data=st.data())
    def let_go(self, data) -> None:
        if self.held:
            index = data.draw(st.integers(0, len(self.held) - 1))
            end, _ = self.held.pop(index)
            self.tree.let_go(end)

    @rule(count=st.integers(1, 6))
    def evict(self, count) -> None:
        evictable = set(self.page_of) - self.prefixes_held()
        evicted = self.tree.evict(count)
        assert len(evicted) == min(count, len(evictable))
        by_page = {page_id: prefix for prefix, page_id in self.page_of.items()}
        for page_id in evicted:
            assert by_page[page_id] in evictable
            del self.page_of[by_page[page_id]]

    @invariant()
    def agrees(self) -> None:
        self.tree.check()
        assert sorted(self.tree.all_pages()) == sorted(self.page_of.values())
        assert self.tree.num_evictable == len(set(self.page_of) - self.prefixes_held())


TestTreeAgainstModel = TreeAgainstModel.TestCase
TestTreeAgainstModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
