"""What the prefix cache holds, for people to see; changes nothing."""

from collections.abc import Iterable

from radixloom_runtime.cache.ledger import Ledger
from radixloom_runtime.cache.outline import Outlined
from radixloom_runtime.wire.messages import CachedNode, CachedTree, CacheLook, Look


def look(wanted: Look, ledgers: Iterable[Ledger]) -> CacheLook:
    """Tell of each ledger's tree as much as is wanted."""
    ledgers = list(ledgers)
    return CacheLook(
        request_id=wanted.request_id,
        page_tokens=ledgers[0].page_tokens,
        trees=[_tree(wanted, ledger) for ledger in ledgers],
    )


def _tree(wanted: Look, ledger: Ledger) -> CachedTree:
    num_pages, told = ledger.outline(max_nodes=wanted.max_nodes, max_ids=wanted.max_ids)
    return CachedTree(num_pages=num_pages, nodes=list(map(_node, told)))


def _node(node: Outlined) -> CachedNode:
    return CachedNode(
        parent=node.parent,
        first_ids=list(node.first_ids),
        num_pages=node.num_pages,
        num_holders=node.num_holders,
        num_finds=node.num_finds,
        num_children=node.num_children,
        is_pinned=node.is_pinned,
    )
