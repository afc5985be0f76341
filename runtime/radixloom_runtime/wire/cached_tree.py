"""A bounded picture of a prefix tree, as `messages.CacheLook` carries it."""

import msgspec


class CachedNode(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Pages of the prefix tree that follow one another without a branch."""

    parent: int | None
    """Its place among the told nodes, which is before this one's; None: the root."""
    first_ids: list[int]
    num_pages: int
    num_holders: int
    """Running requests and pins that use it."""
    num_finds: int
    """How often a prompt was found to go on here."""
    num_children: int
    """Those that are not told included."""
    is_pinned: bool
    adapter: str | None
    """What it was computed with; empty: the model alone; None: one that is not loaded any more."""


class CachedTree(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The prefix tree of a group."""

    num_pages: int
    nodes: list[CachedNode]
    """Lately used ones first."""
