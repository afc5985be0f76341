"""Vectors in the place of an answer: which tokens of each chunk count, and what becomes of them."""

import numpy as np

from radixloom_runtime.scheduler.request import Running
from radixloom_runtime.wire.messages import Submit
from radixloom_runtime.wire.plan import ChunkResult, Float32s


def pooled_part(submit: Submit, start: int, end: int) -> tuple[int, int]:
    """Tell which tokens of the chunk `[start, end)` of a prompt are pooled: from, and up to."""
    length = end - start
    match submit.pooling:
        case "mean":
            return 0, length
        case "last" if end == len(submit.prompt_ids):
            return length - 1, length
        case "first" if start == 0:
            return 0, 1
        case _:
            return 0, 0


def collect(run: Running, result: ChunkResult) -> None:
    """Add what a chunk gave."""
    if result.pooled is not None:
        run.pooled = result.pooled if run.pooled is None else run.pooled + result.pooled


def vector_of(run: Running, result: ChunkResult) -> bytes:
    """Return what the last chunk of a prompt completes: an average, or the scores after it."""
    if run.pooled is not None:
        count = run.request.prompt_length if run.request.submit.pooling == "mean" else 1
        return _little_endian(run.pooled / np.float32(count))
    return b"" if result.scores is None else _little_endian(result.scores)


def _little_endian(values: Float32s) -> bytes:
    return np.asarray(values, "<f4").tobytes()
