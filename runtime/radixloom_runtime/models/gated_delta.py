"""Qwen3-Next's linear attention: a gated delta net, with one decay for each value head.

A head of queries and keys serves several value heads; the checkpoint keeps what belongs together
side by side, for each of them: query | key | its values | its gates.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int
from typing_extensions import override

from radixloom_runtime.models.blocks import Linear
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.config_linear import LinearAttention
from radixloom_runtime.models.history import History
from radixloom_runtime.models.linear_attention import read_states, taps_first
from radixloom_runtime.models.params import ParamSpec, Stored, vector, weight
from radixloom_runtime.models.sharding import Axis
from radixloom_runtime.models.stack import StepInput
from radixloom_runtime.ops.norm import rms_norm


class GatedDeltaNet(nnx.Module):
    """In the place of attention over pages."""

    def __init__(self, config: ModelConfig, linear: LinearAttention, dtype: jnp.dtype) -> None:
        prefix = f"{config.names.layer}.{config.names.linear}"
        embed = Axis("embed", config.embed_dim)
        self.linear = linear
        self.eps = config.norm_eps
        keys, values = linear.axis(linear.key_dim), linear.axis(linear.values_per_key)
        rates = linear.axis(linear.num_heads // linear.num_key_heads)
        self.mixed_and_gates = Linear(
            (f"{prefix}.in_proj_qkvz",),
            embed,
            (linear.axis(2 * (linear.key_dim + linear.values_per_key)),),
            bias=False,
            dtype=dtype,
        )
        self.betas_and_rates = Linear(
            (f"{prefix}.in_proj_ba",),
            embed,
            (linear.axis(2 * rates.unit),),
            bias=False,
            dtype=dtype,
        )
        channels, taps = (keys, keys, values), (Axis("taps", linear.taps),)
        convolution = Stored(f"{prefix}.conv1d.weight", (channels, (Axis("one", 1),), taps))
        self.taps = weight(ParamSpec((taps, channels), (convolution,), taps_first), dtype)
        self.log_rate = vector(f"{prefix}.A_log", rates, dtype, is_exact=True)
        self.rate_bias = vector(f"{prefix}.dt_bias", rates, dtype, is_exact=True)
        value = Axis("head_dim", linear.value_dim)
        self.norm = vector(f"{prefix}.norm.weight", value, dtype, is_exact=False)
        self.out = Linear((f"{prefix}.out_proj",), values, (embed,), bias=False, dtype=dtype)

    @override
    def __call__(
        self, x: Float[Array, "T D"], history: History, step: StepInput, index: Int[Array, ""]
    ) -> tuple[Float[Array, "T D"], History]:
        """Write this step's tokens into the states, and read them."""
        mixed, gates = self._mixed_and_gates(x)
        decays, betas = self._decays_and_betas(x)
        read, history = read_states(
            mixed, self.taps[...], decays, betas, self.linear, history, step, index
        )
        read = rms_norm(read, self.norm[...].astype(jnp.float32), self.eps) * jax.nn.silu(gates)
        return self.out(read.astype(x.dtype).reshape(x.shape[0], -1)), history

    def _mixed_and_gates(
        self, x: Float[Array, "T D"]
    ) -> tuple[Float[Array, "T C"], Float[Array, "T N Hv"]]:
        """Sort what is stored by key heads into all queries, all keys, all values; and gates."""
        linear, num_tokens = self.linear, x.shape[0]
        key_dim, values = linear.key_dim, linear.values_per_key
        by_head = self.mixed_and_gates(x).reshape(num_tokens, -1, 2 * (key_dim + values))
        ends = (key_dim, 2 * key_dim, 2 * key_dim + values)
        *parts, gates = jnp.split(by_head, ends, axis=-1)
        mixed = jnp.concatenate([part.reshape(num_tokens, -1) for part in parts], axis=-1)
        return mixed, gates.astype(jnp.float32).reshape(num_tokens, -1, linear.value_dim)

    def _decays_and_betas(
        self, x: Float[Array, "T D"]
    ) -> tuple[Float[Array, "T N 1"], Float[Array, "T N"]]:
        """Return how each value head's state fades (logarithms), and how strongly it is written."""
        per_key = self.linear.num_heads // self.linear.num_key_heads
        both = self.betas_and_rates(x).astype(jnp.float32).reshape(x.shape[0], -1, 2, per_key)
        betas, rates = (both[:, :, i].reshape(x.shape[0], -1) for i in (0, 1))
        decays = -jnp.exp(self.log_rate[...]) * jax.nn.softplus(rates + self.rate_bias[...])
        return decays[..., None], jax.nn.sigmoid(betas)
