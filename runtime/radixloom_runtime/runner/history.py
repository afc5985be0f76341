"""Makes what the device keeps of the tokens: pages, and states for layers with linear attention."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from radixloom_runtime.models.history import History, Recurrent
from radixloom_runtime.models.registry import Model
from radixloom_runtime.runner.kv_pages import pool_shape
from radixloom_runtime.runner.mesh import of_groups
from radixloom_runtime.wire.plan import Limits


def make_history(model: Model, mesh: Mesh, limits: Limits) -> History:
    """Allocate a history of no tokens; zeros, since a masked value must be a finite number."""
    return jax.tree.map(_zeros, history_shapes(model, mesh, limits))


def history_shapes(model: Model, mesh: Mesh, limits: Limits) -> Any:
    """Return a `History` of shapes, and how each array lies on the mesh."""
    pages = pool_shape(model, mesh, limits.num_pages, limits.page_tokens)
    window, state = _recurrent_shapes(model, limits.max_rows)
    if model.config.linear is None:
        return History(pages, None)  # pyright: ignore[reportArgumentType] - shapes stand for arrays
    recurrent = Recurrent(
        window=window.update(sharding=of_groups(mesh, 1, heads=3)),  # pyright: ignore[reportArgumentType] - shapes stand for arrays
        state=state.update(sharding=of_groups(mesh, 1, heads=2)),  # pyright: ignore[reportArgumentType] - shapes stand for arrays
    )
    return History(pages, recurrent)  # pyright: ignore[reportArgumentType] - shapes stand for arrays


def recurrent_bytes(model: Model, max_rows: int) -> int:
    """Return the memory that the states of a group's rows take on one device."""
    shapes = _recurrent_shapes(model, max_rows)
    whole = sum(shape.size * shape.dtype.itemsize for shape in shapes)
    return whole // model.mesh_shape.num_shards("heads") // model.mesh_shape.data


def _recurrent_shapes(
    model: Model, max_rows: int
) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    """Return the shapes of all rows' windows and states, each group's scratch row included."""
    linear = model.config.linear
    if linear is None:
        nothing = jax.ShapeDtypeStruct((0,), jnp.float32)
        return nothing, nothing
    lines = (linear.num_layers, model.mesh_shape.data * (max_rows + 1))
    window = (*lines, linear.taps - 1, linear.channels)
    state = (*lines, linear.num_heads, linear.key_dim, linear.value_dim)
    return jax.ShapeDtypeStruct(window, model.dtype), jax.ShapeDtypeStruct(state, jnp.float32)


def _zeros(shape: jax.ShapeDtypeStruct) -> jax.Array:
    return jnp.zeros(shape.shape, shape.dtype, device=shape.sharding)
