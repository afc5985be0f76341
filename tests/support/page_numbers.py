"""What pages of each dtype hold, computed in numpy, apart from `ops.kv_numbers`."""

import ml_dtypes
import numpy as np

SCALE_BYTES = 2


def int8(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers, and the scale of each vector: a bfloat16 [..., 1]."""
    wanted = np.abs(vectors).max(axis=-1, keepdims=True) * np.float32(1 / 127)
    wanted = np.where(wanted < np.finfo(np.float32).tiny, np.float32(0), wanted)
    scale = wanted.astype(ml_dtypes.bfloat16)
    above = (scale.view(np.uint16) + 1).astype(np.uint16).view(ml_dtypes.bfloat16)
    scale = np.where(scale.astype(np.float32) < wanted, above, scale)
    wide = scale.astype(np.float32)
    numbers = np.where(wide > 0, 1, 0) * np.round(
        vectors / np.where(wide > 0, wide, 1).astype(np.float64)
    )
    return numbers.astype(np.int8), scale


def held(vectors: np.ndarray, dtype: str, value_dim: int | None = None) -> np.ndarray:
    """Return what a page of `dtype` knows of vectors [..., H]; a latent has two parts."""
    if dtype == "int8" and value_dim is not None:
        parts = (vectors[..., :value_dim], vectors[..., value_dim:])
        return np.concatenate([held(part, dtype) for part in parts], axis=-1)
    if dtype == "int8":
        numbers, scale = int8(vectors)
        return numbers.astype(np.float32) * scale.astype(np.float32)
    if dtype == "float8_e4m3fn":
        vectors = np.clip(vectors, -448, 448)
    return vectors.astype(np.dtype(dtype)).astype(np.float32)


def encoded(
    vectors: np.ndarray, dtype: str, value_dim: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers [..., H], and the bytes of their scales [..., 0, 2 or 4]."""
    if dtype != "int8":
        return held(vectors, dtype).astype(np.dtype(dtype)), np.zeros((*vectors.shape[:-1], 0))
    parts = [vectors]
    if value_dim is not None:
        parts = [vectors[..., :value_dim], vectors[..., value_dim:]]
    numbers, scales = zip(*map(int8, parts), strict=True)
    as_bytes = [np.ascontiguousarray(scale).view(np.int8) for scale in scales]
    return np.concatenate(numbers, axis=-1), np.concatenate(as_bytes, axis=-1)
