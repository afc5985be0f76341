"""Attention as the formula says, in numpy and float64: what kernels are checked against."""

import numpy as np
from numpy.typing import NDArray

from radixloom_runtime.ops.attention import Ragged


def attend(
    queries: NDArray[np.float32],
    pages: NDArray[np.float32],
    batch: Ragged,
    page_offset: int,
) -> NDArray[np.float64]:
    """Attend token by token; padding gives zeros."""
    out = np.zeros(queries.shape, np.float64)
    for chunk in range(int(batch.num_chunks)):
        for index in range(int(batch.lengths[chunk])):
            position = int(batch.starts[chunk]) + index
            table = np.asarray(batch.page_tables[chunk]) + page_offset
            keys, values = _history(pages, table, position + 1)
            token = int(batch.offsets[chunk]) + index
            out[token] = _attend_one(queries[token].astype(np.float64), keys, values)
    return out


def _history(
    pages: NDArray[np.float32], table: NDArray[np.int32], length: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    page_tokens = pages.shape[1]
    pages_used = table[: -(-length // page_tokens)]
    flat = pages[pages_used].reshape(-1, *pages.shape[2:])[:length].astype(np.float64)
    return flat[:, 0::2], flat[:, 1::2]


def _attend_one(
    query: NDArray[np.float64], keys: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    group = query.shape[0] // keys.shape[1]
    keys, values = keys.repeat(group, axis=1), values.repeat(group, axis=1)
    scores = np.einsum("nh,lnh->nl", query, keys) / np.sqrt(query.shape[-1])
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("nl,lnh->nh", weights, values)
