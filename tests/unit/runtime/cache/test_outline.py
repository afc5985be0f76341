"""The bounded picture of a prefix tree."""

import pytest

from radixloom_runtime.cache import outline as outlines
from radixloom_runtime.cache.outline import Outlined, outline
from radixloom_runtime.cache.radix import RadixTree

PAGE_TOKENS = 2


def tree_with(*prompts: str) -> RadixTree:
    tree = RadixTree(PAGE_TOKENS)
    for prompt in prompts:
        tree.insert_below(tree.root, ids(prompt), 0, list(range(len(prompt) // PAGE_TOKENS)))
    return tree


def ids(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


def told(tree: RadixTree, *, max_nodes: int = 100, max_ids: int = 100) -> list[Outlined]:
    return outline(tree.roots, (), max_nodes=max_nodes, max_ids=max_ids)


def texts(nodes: list[Outlined]) -> list[str]:
    return ["".join(map(chr, node.first_ids)) for node in nodes]


def hold(tree: RadixTree, prompt: str):
    return tree.hold(ids(prompt), len(prompt) // PAGE_TOKENS)[0]


def test_an_empty_tree_has_an_empty_picture():
    assert told(tree_with()) == []


def test_every_node_is_told_after_its_parent():
    nodes = told(tree_with("aabb", "aacc", "ddee"))
    assert sorted(texts(nodes)) == ["aa", "bb", "cc", "ddee"]
    places = {text: index for index, text in enumerate(texts(nodes))}
    parents = {text: node.parent for text, node in zip(texts(nodes), nodes, strict=True)}
    assert parents == {"aa": None, "ddee": None, "bb": places["aa"], "cc": places["aa"]}
    assert places["aa"] < min(places["bb"], places["cc"])


def test_a_node_tells_its_size_its_children_and_how_often_it_was_found():
    tree = tree_with("aabb", "aacc")
    for _ in range(3):
        tree.let_go(hold(tree, "aabb"))
    shared, *below = told(tree, max_ids=1)
    assert (texts([shared]), shared.num_pages, shared.num_children) == (["a"], 1, 2)
    assert shared.num_finds == 3
    assert sorted(node.num_finds for node in below) == [0, 3]


def test_a_node_that_is_cut_in_two_was_found_as_often_in_both():
    tree = tree_with("aabb")
    tree.let_go(hold(tree, "aabb"))
    tree.let_go(hold(tree, "aa"))
    assert [node.num_finds for node in told(tree)] == [2, 1]


def test_what_is_held_comes_first_and_then_what_was_let_go_last():
    tree = tree_with("aa", "bb", "cc", "dd")
    end = hold(tree, "bb")
    tree.let_go(hold(tree, "aa"))
    assert texts(told(tree)) == ["bb", "aa", "dd", "cc"]
    assert [node.num_holders for node in told(tree)] == [1, 0, 0, 0]
    tree.let_go(end)


def test_no_more_nodes_are_told_than_wanted_and_the_rest_is_counted():
    tree = tree_with(*(f"aa{letter}{letter}" for letter in "bcdefgh"))
    nodes = told(tree, max_nodes=3)
    assert texts(nodes) == ["aa", "hh", "gg"]
    assert nodes[0].num_children == 7


def test_no_more_children_are_looked_at_than_fit_between_two_steps(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(outlines, "MAX_SCANNED", 3)
    assert texts(told(tree_with("aa", "bb", "cc", "dd", "ee"))) == ["ee", "dd", "cc"]


def test_what_is_no_branch_is_told_as_one_node():
    tree = RadixTree(PAGE_TOKENS)
    end, _ = tree.hold((), 0)
    for number, page in enumerate(["aa", "bb", "cc"]):  # as chunks of a prompt are filed
        end = tree.extend_held(end, ids(page), [number])
    tree.let_go(end)
    (node,) = told(tree, max_ids=5)
    assert (texts([node]), node.num_pages, node.num_children) == (["aabbc"], 3, 0)


def test_what_was_found_more_often_is_told_apart_from_what_comes_after():
    tree = tree_with("aabb")
    tree.let_go(hold(tree, "aa"))
    assert [(node.num_pages, node.num_finds) for node in told(tree)] == [(1, 1), (1, 0)]


def test_pinned_nodes_say_so():
    tree = tree_with("aabb", "aacc")
    end = hold(tree, "aabb")
    nodes = outline(tree.roots, set(end.path()), max_nodes=9, max_ids=9)
    told_pinned = {text: node.is_pinned for text, node in zip(texts(nodes), nodes, strict=True)}
    assert told_pinned == {"aa": True, "bb": True, "cc": False}
    tree.let_go(end)


def test_what_adapters_computed_is_told_beside_the_models_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outlines, "MAX_SCANNED", 4)
    tree = tree_with("aa", "bb", "cc", "dd")
    end, _ = tree.hold((), 0, 7)
    tree.let_go(tree.extend_held(end, ids("aabb"), [4, 5]))
    nodes = told(tree)
    assert {(text, node.namespace) for text, node in zip(texts(nodes), nodes, strict=True)} == {
        ("aabb", 7),
        ("dd", 0),
        ("cc", 0),
    }
