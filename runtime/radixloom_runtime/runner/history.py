"""Makes what the device keeps of the tokens: pages, and states for layers with linear attention."""

import jax
import jax.numpy as jnp

from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.history import History, Recurrent
from radixloom_runtime.models.registry import Model
from radixloom_runtime.runner.kv_pages import make_pool
from radixloom_runtime.wire.plan import Limits


def make_history(model: Model, limits: Limits) -> History:
    """Allocate a history of no tokens."""
    pages = make_pool(model, limits.num_pages, limits.page_tokens)
    shapes = recurrent_shapes(model.config, model.dtype, limits.max_rows)
    if shapes is None:
        return History(pages, None)
    window, state = (jnp.zeros(shape.shape, shape.dtype) for shape in shapes)
    return History(pages, Recurrent(window, state))


def recurrent_shapes(config: ModelConfig, dtype: jnp.dtype, max_rows: int) -> Recurrent | None:
    """Return the shapes of all rows' states, the scratch row's included; None: no such layers."""
    linear = config.linear
    if linear is None:
        return None
    lines = (linear.num_layers, max_rows + 1)
    window = (*lines, linear.taps - 1, linear.channels)
    state = (*lines, linear.num_heads, linear.key_dim, linear.value_dim)
    return Recurrent(
        window=jax.ShapeDtypeStruct(window, dtype),  # pyright: ignore[reportArgumentType] - shapes stand for arrays
        state=jax.ShapeDtypeStruct(state, jnp.float32),  # pyright: ignore[reportArgumentType] - shapes stand for arrays
    )


def recurrent_bytes(config: ModelConfig, dtype: jnp.dtype, max_rows: int) -> int:
    """Return the memory that the states of so many rows take."""
    shapes = jax.tree.leaves(recurrent_shapes(config, dtype, max_rows))
    return sum(shape.size * shape.dtype.itemsize for shape in shapes)
