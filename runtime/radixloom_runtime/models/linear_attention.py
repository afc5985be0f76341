"""What layers with linear attention have in common: from projections to what is read.

    queries | keys | values ─► short convolution ─► SiLU ─► unit length ─► delta rule ─► read
                                    ▲ ▼                                      ▲ ▼
                                  window                                    state

How decays come about and what becomes of what is read is each family's own.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from radixloom_runtime.models.collectives import local_size
from radixloom_runtime.models.config_linear import LinearAttention
from radixloom_runtime.models.history import History, Recurrent, place_among
from radixloom_runtime.models.params import Tensors
from radixloom_runtime.models.stack import StepInput
from radixloom_runtime.ops.delta_rule import DeltaTokens, States, delta_rule
from radixloom_runtime.ops.short_conv import Windows, short_conv

_EPSILON = 1e-6
"""Of the keys' and queries' length; not the model's own, see fla's l2norm."""


def read_states(
    mixed: Float[Array, "T C"],
    taps: Float[Array, "I C"],
    decays: Float[Array, "T N G"],
    betas: Float[Array, "T N"],
    linear: LinearAttention,
    history: History,
    step: StepInput,
    index: Int[Array, ""],
) -> tuple[Float[Array, "T N Hv"], History]:
    """Write this step's tokens into their rows' states, and read; in float32."""
    kept = history.recurrent
    assert kept is not None, "a model with linear attention keeps states"  # noqa: S101 - ours
    layer = place_among(linear.layers, index)
    mixed, window = short_conv(mixed, taps, Windows(kept.window, layer, step.rows), step.batch)
    key_width = local_size(linear.axis(linear.key_dim))
    queries, keys, values = jnp.split(jax.nn.silu(mixed), (key_width, 2 * key_width), axis=-1)
    tokens = DeltaTokens(
        queries=_unit(_heads(queries, linear.key_dim)) * linear.key_dim**-0.5,
        keys=_unit(_heads(keys, linear.key_dim)),
        values=_heads(values, linear.value_dim),
        decays=decays,
        betas=betas,
    )
    read, state = delta_rule(tokens, States(kept.state, layer, step.rows), step.batch)
    return read, history._replace(recurrent=Recurrent(window, state))


def taps_first(stored: Tensors) -> NDArray[Any]:
    """Lay convolutions' weights, stored [C, 1, taps] each, side by side: [taps, sum of C] here."""
    return np.concatenate([np.asarray(tensor)[:, 0].T for tensor in stored], axis=-1)


def _heads(x: Float[Array, "T C"], width: int) -> Float[Array, "T N H"]:
    return x.reshape(x.shape[0], -1, width)


def _unit(x: Float[Array, "T N H"]) -> Float[Array, "T N H"]:
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + _EPSILON)
