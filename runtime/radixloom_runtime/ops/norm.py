"""Normalisation."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def rms_norm(
    x: Float[Array, "*B D"],
    scale: Float[Array, " D"],
    eps: float,
    *,
    around_one: bool = False,
    mean_over_devices: Callable[[Array], Array] = lambda mean: mean,
) -> Float[Array, "*B D"]:
    """Scale each row of `x` to unit root mean square, then by `scale`, or by 1 + `scale`.

    Computed in float32: in bfloat16 the mean of squares loses the small terms.
    `mean_over_devices` averages where several devices have parts of a row.
    """
    x32 = x.astype(jnp.float32)
    mean_square = mean_over_devices(jnp.mean(x32 * x32, axis=-1, keepdims=True))
    inverse_rms = jax.lax.rsqrt(mean_square + eps)
    if around_one:  # Gemma's; its sum is taken in float32, too
        return (x32 * inverse_rms * (1.0 + scale.astype(jnp.float32))).astype(x.dtype)
    return (x32 * inverse_rms).astype(x.dtype) * scale
