"""What the prefix cache holds, for people to see; changes nothing."""

from collections.abc import Iterable

from radixloom_runtime.cache.ledger import Ledger
from radixloom_runtime.cache.outline import Outlined
from radixloom_runtime.scheduler.adapters import Adapters
from radixloom_runtime.wire.cached_tree import CachedNode, CachedTree
from radixloom_runtime.wire.messages import CacheLook, Look


def look(wanted: Look, ledgers: Iterable[Ledger], adapters: Adapters) -> CacheLook:
    """Tell of each ledger's tree as much as is wanted."""
    ledgers = list(ledgers)
    return CacheLook(
        request_id=wanted.request_id,
        page_tokens=ledgers[0].page_tokens,
        trees=[_tree(wanted, ledger, adapters) for ledger in ledgers],
    )


def _tree(wanted: Look, ledger: Ledger, adapters: Adapters) -> CachedTree:
    num_pages, told = ledger.outline(max_nodes=wanted.max_nodes, max_ids=wanted.max_ids)
    return CachedTree(num_pages=num_pages, nodes=[_node(node, adapters) for node in told])


def _node(node: Outlined, adapters: Adapters) -> CachedNode:
    return CachedNode(
        parent=node.parent,
        first_ids=list(node.first_ids),
        num_pages=node.num_pages,
        num_holders=node.num_holders,
        num_finds=node.num_finds,
        num_children=node.num_children,
        is_pinned=node.is_pinned,
        adapter=adapters.name_of(node.namespace),
    )
