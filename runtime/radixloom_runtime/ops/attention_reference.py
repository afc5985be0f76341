"""Attention as the formula says, in numpy and float64: what kernels are checked against."""

import numpy as np
from numpy.typing import NDArray

from radixloom_runtime.ops.attention import Form, Ragged

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def write(
    pages: Floats, batch: Ragged, page_offset: int, keys: Floats, values: Floats | None
) -> Floats:
    """Return the pages with every live token's key and value in its place."""
    pages = pages.copy()
    page_tokens = pages.shape[1]
    for chunk in range(int(batch.num_chunks)):
        for index in range(int(batch.lengths[chunk])):
            page_index, place = divmod(int(batch.starts[chunk]) + index, page_tokens)
            page = int(batch.page_tables[chunk, page_index]) + page_offset
            token = int(batch.offsets[chunk]) + index
            if values is None:
                pages[page, place] = keys[token]
            else:
                pages[page, place, 0::2], pages[page, place, 1::2] = keys[token], values[token]
    return pages


def attend(
    queries: Floats,
    pages: Floats,
    batch: Ragged,
    page_offset: int,
    form: Form,
    *,
    window: int | None = None,
    sinks: Floats | None = None,
) -> Doubles:
    """Attend token by token over pages that `write` has filled; padding gives zeros."""
    value_dim = form.value_dim or queries.shape[-1]
    out = np.zeros((*queries.shape[:-1], value_dim), np.float64)
    for chunk in range(int(batch.num_chunks)):
        for index in range(int(batch.lengths[chunk])):
            position = int(batch.starts[chunk]) + index
            table = np.asarray(batch.page_tables[chunk]) + page_offset
            keys, values = _history(pages, table, position + 1, form)
            first = 0 if window is None else max(0, position + 1 - window)
            token = int(batch.offsets[chunk]) + index
            query = queries[token].astype(np.float64)
            out[token] = _attend_one(query, keys[first:], values[first:], form, sinks)
    return out


def _history(
    pages: Floats, table: NDArray[np.int32], length: int, form: Form
) -> tuple[Doubles, Doubles]:
    page_tokens = pages.shape[1]
    pages_used = table[: -(-length // page_tokens)]
    flat = pages[pages_used].reshape(-1, *pages.shape[2:])[:length].astype(np.float64)
    if form.value_dim is not None:
        return flat, flat[..., : form.value_dim]
    return flat[:, 0::2], flat[:, 1::2]


def _attend_one(
    query: Doubles, keys: Doubles, values: Doubles, form: Form, sinks: Floats | None
) -> Doubles:
    group = query.shape[0] // keys.shape[1]
    keys, values = keys.repeat(group, axis=1), values.repeat(group, axis=1)
    scores = np.einsum("nh,lnh->nl", query, keys) * form.scale
    if form.soft_cap is not None:
        scores = form.soft_cap * np.tanh(scores / form.soft_cap)
    if sinks is not None:
        scores = np.concatenate([scores, sinks[:, None].astype(np.float64)], axis=1)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("nl,lnv->nv", weights[:, : len(keys)], values)
