"""Kimi delta attention, as Bailing's hybrid has it: a decay for each number of a key.

Queries, keys and values of as many heads, each with a short convolution of its own. What is read is
normed and gated, number by number.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int
from typing_extensions import override

from radixloom_runtime.models.blocks import Linear
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.config_linear import KimiDelta, LinearAttention
from radixloom_runtime.models.history import History
from radixloom_runtime.models.linear_attention import read_states, taps_first
from radixloom_runtime.models.params import ParamSpec, Stored, vector, weight
from radixloom_runtime.models.sharding import Axis
from radixloom_runtime.models.stack import StepInput
from radixloom_runtime.ops.norm import rms_norm


class KimiDeltaAttention(nnx.Module):
    """In the place of attention over pages."""

    def __init__(
        self, config: ModelConfig, linear: LinearAttention, kimi: KimiDelta, dtype: jnp.dtype
    ) -> None:
        prefix = f"{config.names.layer}.{config.names.linear}"
        embed = Axis("embed", config.embed_dim)
        numbers, heads = linear.axis(linear.key_dim), linear.axis(1)
        self.linear, self.kimi = linear, kimi
        self.eps = config.norm_eps
        self.inputs = Linear(
            tuple(f"{prefix}.{name}_proj" for name in "qkvfgb"),
            embed,
            (*(numbers,) * 5, heads),
            bias=False,
            dtype=dtype,
        )
        taps = (Axis("taps", linear.taps),)
        stored = tuple(
            Stored(f"{prefix}.{name}_conv1d.weight", ((numbers,), (Axis("one", 1),), taps))
            for name in "qkv"
        )
        self.taps = weight(ParamSpec((taps, (numbers,) * 3), stored, taps_first), dtype)

        self.log_rate = vector(f"{prefix}.A_log", heads, dtype, is_exact=True)
        self.rate_bias = vector(f"{prefix}.dt_bias", numbers, dtype, is_exact=True)
        value = Axis("head_dim", linear.value_dim)
        self.norm = vector(f"{prefix}.o_norm.weight", value, dtype, is_exact=False)
        out = f"{prefix}.{config.names.attention_out}"
        self.out = Linear((out,), numbers, (embed,), bias=False, dtype=dtype)

    @override
    def __call__(
        self, x: Float[Array, "T D"], history: History, step: StepInput, index: Int[Array, ""]
    ) -> tuple[Float[Array, "T D"], History]:
        """Write this step's tokens into the states, and read them."""
        linear = self.linear
        inputs, width = self.inputs(x), self.rate_bias[...].shape[0]
        mixed, *rest = jnp.split(inputs, (3 * width, 4 * width, 5 * width), axis=-1)
        rates, gates, betas = (part.astype(jnp.float32) for part in rest)
        read, history = read_states(
            mixed,
            self.taps[...],
            self._decays(rates),
            jax.nn.sigmoid(betas),
            linear,
            history,
            step,
            index,
        )
        read = rms_norm(read, self.norm[...].astype(jnp.float32), self.eps)
        read *= jax.nn.sigmoid(gates.reshape(read.shape))
        return self.out(read.astype(x.dtype).reshape(x.shape[0], -1)), history

    def _decays(self, rates: Float[Array, "T C"]) -> Float[Array, "T N Hk"]:
        """Return how each number of each head's keys fades; logarithms."""
        rates = (rates + self.rate_bias[...]).reshape(rates.shape[0], -1, self.linear.key_dim)
        speed = jnp.exp(self.log_rate[...])[:, None]
        if self.kimi.lower_bound is None:
            return -speed * jax.nn.softplus(rates)
        return self.kimi.lower_bound * jax.nn.sigmoid(speed * rates)
