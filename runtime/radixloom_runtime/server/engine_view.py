"""`/get_engine_stats`, `/get_prefix_tree`: the engine at work, for the console's live view.

However many watch, the engine is asked for its tree no more than once a second.
"""

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from radixloom_runtime.server.engine_client import EngineClient
from radixloom_runtime.server.inbox import EngineLost
from radixloom_runtime.server.problems import EngineLostError, json_response
from radixloom_runtime.server.service import service_of
from radixloom_runtime.text.tokenizer import Tokenizer
from radixloom_runtime.wire.messages import CachedNode, CachedTree, CacheLook, Look

router = APIRouter(tags=["console"])

MAX_NODES = 128
"""Of each group's tree: more than a person looks at."""
MAX_IDS = 40
"""Of each node: a line of text."""
FRESH_SECONDS = 1.0

_count = itertools.count()


@dataclass(slots=True)
class TreeView:
    """The tree as the engine told it last."""

    engine: EngineClient
    _told: CacheLook | None = None
    _told_at: float = 0.0
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def look(self) -> CacheLook:
        """Return what the cache holds, or held a second ago. Raises: `EngineLostError`."""
        async with self._one_at_a_time:
            if self._told is None or time.monotonic() - self._told_at > FRESH_SECONDS:
                self._told = await self._ask()
                self._told_at = time.monotonic()
            return self._told

    async def _ask(self) -> CacheLook:
        question = Look(request_id=f"look-{next(_count)}", max_nodes=MAX_NODES, max_ids=MAX_IDS)
        match await self.engine.ask(question):
            case CacheLook() as told:
                return told
            case EngineLost(message):
                raise EngineLostError(f"the engine ended: {message}", code="engine_lost")
            case other:
                raise AssertionError(f"a Look is answered by CacheLook, found {other}")


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
    """Tell what the prefix cache holds. Lately used nodes come first, a bounded number of them."""
    service = service_of(request)
    serving = service.lifecycle.admit()
    view: TreeView = request.app.state.tree_view
    told = await view.look()
    tokenizer = serving.model.tokenizer
    trees = await asyncio.to_thread(
        lambda: [_tree(tree, told.page_tokens, tokenizer) for tree in told.trees]
    )
    return json_response({"page_tokens": told.page_tokens, "trees": trees})


def _tree(tree: CachedTree, page_tokens: int, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "num_tokens": tree.num_pages * page_tokens,
        "nodes": [_node(node, page_tokens, tokenizer) for node in tree.nodes],
    }


def _node(node: CachedNode, page_tokens: int, tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "parent": node.parent,
        "text": tokenizer.decode(node.first_ids, skip_special_tokens=False),
        "is_whole_text": len(node.first_ids) == node.num_pages * page_tokens,
        "num_tokens": node.num_pages * page_tokens,
        "num_pages": node.num_pages,
        "num_users": node.num_holders,
        "num_hits": node.num_finds,
        "num_children": node.num_children,
        "is_pinned": node.is_pinned,
    }
