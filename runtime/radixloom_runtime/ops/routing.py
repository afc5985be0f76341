"""Which experts a token goes to: the best of all, or the best of its best groups.

scores    [ .1 .9 | .3 .2 | .8 .7 ]      three groups of two, of which a token may use two
groups      1.0      .5      1.5         each worth the sum of its `num_best` scores
chosen    [ .1 .9 |  -  - | .8 .7 ]      the best of what is left
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def best_experts(scores: Float[Array, "T E"], experts_per_token: int) -> Int[Array, "T X"]:
    """Return each token's experts, best first."""
    return jax.lax.top_k(scores, experts_per_token)[1]


def within_best_groups(
    scores: Float[Array, "T E"], *, num_groups: int, groups_per_token: int, num_best: int
) -> Float[Array, "T E"]:
    """Put -inf in the place of all scores outside of each token's best groups."""
    grouped = scores.reshape(scores.shape[0], num_groups, -1)
    worth = jnp.sum(jax.lax.top_k(grouped, num_best)[0], axis=-1)
    best = jax.lax.top_k(worth, groups_per_token)[1]
    is_best = jnp.any(best[:, :, None] == jnp.arange(num_groups), axis=1)
    return jnp.where(is_best[:, :, None], grouped, -jnp.inf).reshape(scores.shape)


def weigh(
    scores: Float[Array, "T E"], experts: Int[Array, "T X"], *, normalize: bool, scale: float
) -> Float[Array, "T X"]:
    """Weigh the chosen experts by their own scores."""
    weights = jnp.take_along_axis(scores, experts, axis=-1)
    if normalize:
        # DeepSeek's guard: sigmoids may all be tiny.
        weights /= jnp.sum(weights, axis=-1, keepdims=True) + 1e-20
    return weights * scale
