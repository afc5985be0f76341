"""Hidden states of a step's prompt chunks, summed up for requests that want a vector and no answer.

token        0   1   2   3   4   5   6       chunk 0: (0, 3), all: an average is made of it
chunk        0   0   0   1   1   1   1       chunk 1: (3, 4), the last
pooled[0]    ███████████
pooled[1]                            ███

Parts of a prompt that come in several steps are added up by the scheduler.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from radixloom_runtime.models.registry import CausalLM
from radixloom_runtime.runner.step_input import StepArrays


def pool(network: CausalLM, hidden: Float[Array, "T D"], step: StepArrays) -> Float[Array, "R D"]:
    """Add up the final norm's output between each chunk's bounds; nothing if nobody asked."""
    num_rows, (num_tokens, width) = len(step.rows), hidden.shape
    bounds = step.offsets[:, None] + step.pooled

    def sums() -> Float[Array, "R D"]:
        index = jnp.arange(num_tokens)
        is_pooled = (index >= bounds[:, :1]) & (index < bounds[:, 1:])
        states = network.states(hidden).astype(jnp.float32)
        exactly = jax.lax.Precision.HIGHEST  # a TPU would round the states to bfloat16
        return jnp.matmul(is_pooled.astype(jnp.float32), states, precision=exactly)

    is_wanted = jnp.any(step.pooled[:, 1] > 0)
    return jax.lax.cond(is_wanted, sums, lambda: jnp.zeros((num_rows, width), jnp.float32))
