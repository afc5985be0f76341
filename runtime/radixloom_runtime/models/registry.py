"""Architectures that can be served, by the name in config.json.

A new family is one file here and one line below.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.llama import Llama
from radixloom_runtime.models.params import ParamSpec, spec_of
from radixloom_runtime.ops.attention import Attention, Ragged


class CausalLM(Protocol):
    """What every family's network offers."""

    def hidden(
        self,
        token_ids: Int[Array, " T"],
        positions: Int[Array, " T"],
        batch: Ragged,
        pool: Float[Array, "G S 2K H"],
    ) -> tuple[Float[Array, "T D"], Float[Array, "G S 2K H"]]:
        """Run all layers; returns what `logits` takes, and the pool with this step's tokens."""
        ...

    def logits(self, hidden: Float[Array, "R D"]) -> Float[Array, "R V"]:
        """Score the next token of chosen tokens, in float32."""
        ...


_ARCHITECTURES: dict[str, Callable[..., nnx.Module]] = {
    "LlamaForCausalLM": Llama,
}

Weights = tuple[jax.Array, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A network split once: its definition, and one row per weight in the order of the leaves."""

    config: ModelConfig
    dtype: jnp.dtype
    specs: tuple[ParamSpec, ...]
    page_shape: tuple[int, int]
    """(W, H') of the KV pages: how the attention kernel wants a token held."""
    _definition: Any
    _structure: Any

    def bind(self, weights: Weights) -> CausalLM:
        """Put weights in; call only while tracing, it costs milliseconds."""
        return nnx.merge(self._definition, jax.tree.unflatten(self._structure, weights))

    @property
    def num_bytes(self) -> int:
        """Memory of all weights."""
        itemsize = jnp.dtype(self.dtype).itemsize
        return sum(itemsize * _product(spec.shape) for spec in self.specs)


def make_model(
    config: ModelConfig, *, dtype: jnp.dtype, attention: Attention, stacked: bool
) -> Model:
    """Define the network of `config`; allocates nothing. Raises: `ModelError`."""
    make = _ARCHITECTURES.get(config.architecture)
    if make is None:
        supported = ", ".join(sorted(_ARCHITECTURES))
        raise ModelError(
            f"architecture {config.architecture!r} is not supported; supported: {supported}"
        )
    definition, state = nnx.split(make(config, dtype, attention, stacked=stacked))
    structure = jax.tree.structure(state)
    params = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, nnx.Param))
    specs = tuple(spec_of(param) for param in params)
    page_shape = attention.page_shape(config.num_kv_heads, config.head_dim, latent=False)
    return Model(config, dtype, specs, page_shape, definition, structure)


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
