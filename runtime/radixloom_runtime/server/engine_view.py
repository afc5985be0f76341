"""`/get_engine_stats`, `/get_prefix_tree`: the engine at work, for the console's live view.

What the tree says of prompts is other people's words. They are told to who asks from the machine
itself, or through `kubectl port-forward`, which comes from there; others see tokens and hits.
"""

import asyncio
import ipaddress
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from radixloom_runtime.server.problems import json_response
from radixloom_runtime.server.service import service_of
from radixloom_runtime.text.tokenizer import Tokenizer
from radixloom_runtime.wire.cached_tree import CachedNode, CachedTree

router = APIRouter(tags=["console"])


@router.get("/get_engine_stats")
async def get_engine_stats(request: Request) -> Response:
    """Tell the engine's levels, and what it has counted since its start. Rates are differences."""
    lifecycle = service_of(request).lifecycle
    lifecycle.admit()
    stats: dict[str, Any] = msgspec.to_builtins(lifecycle.stats) if lifecycle.stats else {}
    stats.pop("type", None)
    return json_response({"at_seconds": lifecycle.heard_at, "stats": stats})


@router.get("/get_prefix_tree")
async def get_prefix_tree(request: Request) -> Response:
    """Tell what the prefix cache holds. Lately used nodes come first, a bounded number of them.

    Text is null for who asks from another machine.
    """
    service = service_of(request)
    serving = service.lifecycle.admit()
    told = await service.tree_view.look(service.engine.ask)
    reader = serving.model.tokenizer if _is_from_here(request) else None
    trees = await asyncio.to_thread(
        lambda: [_tree(tree, told.page_tokens, reader) for tree in told.trees]
    )
    return json_response({"page_tokens": told.page_tokens, "trees": trees})


def _is_from_here(request: Request) -> bool:
    """Whether the peer is this machine; a name in the place of an address is not taken for it."""
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _tree(tree: CachedTree, page_tokens: int, reader: Tokenizer | None) -> dict[str, Any]:
    return {
        "num_tokens": tree.num_pages * page_tokens,
        "nodes": [_node(node, page_tokens, reader) for node in tree.nodes],
    }


def _node(node: CachedNode, page_tokens: int, reader: Tokenizer | None) -> dict[str, Any]:
    return {
        "parent": node.parent,
        "text": reader and reader.decode(node.first_ids, skip_special_tokens=False),
        "is_whole_text": len(node.first_ids) == node.num_pages * page_tokens,
        "num_tokens": node.num_pages * page_tokens,
        "num_pages": node.num_pages,
        "num_users": node.num_holders,
        "num_hits": node.num_finds,
        "num_children": node.num_children,
        "is_pinned": node.is_pinned,
        "adapter": node.adapter,
    }
