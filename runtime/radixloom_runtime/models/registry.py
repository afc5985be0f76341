"""Architectures that can be served, by the name in config.json.

A new family is one file here and one line below.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from radixloom_runtime.errors import ConfigurationError, ModelError
from radixloom_runtime.formats.gguf_file import find_gguf, open_gguf
from radixloom_runtime.formats.gguf_model import GGUFModel
from radixloom_runtime.formats.scheme import parse_quantization
from radixloom_runtime.models import (
    bailing_hybrid,
    bailing_moe,
    deepseek,
    gemma,
    glm4,
    glm4_moe,
    gpt_oss,
    llama,
    mistral,
    mixtral,
    olmo2,
    phi3,
    qwen,
    qwen2,
    qwen3,
    qwen3_next,
    qwen_moe,
    smollm3,
)
from radixloom_runtime.models.adapters import AdapterRoom, StepAdapters
from radixloom_runtime.models.bare import check_causal, with_head
from radixloom_runtime.models.config import ModelConfig, read_raw
from radixloom_runtime.models.config_rope import Raw
from radixloom_runtime.models.decoder import Decoder
from radixloom_runtime.models.fit import check_fit
from radixloom_runtime.models.forms import with_forms
from radixloom_runtime.models.history import History
from radixloom_runtime.models.params import ParamSpec, spec_of
from radixloom_runtime.models.sharding import ONE_DEVICE, Axis, MeshShape
from radixloom_runtime.ops.attention import Attention, Ragged
from radixloom_runtime.ops.quantized import Matrix


class CausalLM(Protocol):
    """What every family's network offers."""

    def hidden(
        self,
        token_ids: Int[Array, " T"],
        positions: Int[Array, " T"],
        batch: Ragged,
        rows: Int[Array, " R"],
        history: History,
        adapters: StepAdapters | None = None,
    ) -> tuple[Float[Array, "T D"], History]:
        """Run all layers; returns what `logits` takes, and the history with this step's tokens.

        `rows` tells each chunk's batch row; `adapters` are given where the model has room for them.
        """
        ...

    def logits(self, hidden: Float[Array, "R D"]) -> Float[Array, "R V"]:
        """Score the next token of chosen tokens, in float32: this device's part of all tokens."""
        ...

    def states(self, hidden: Float[Array, "T D"]) -> Float[Array, "T D"]:
        """Give `hidden` the final norm: what embeddings are made of."""
        ...


ARCHITECTURES: dict[str, Callable[[Raw], ModelConfig]] = {
    "BailingHybridForCausalLM": bailing_hybrid.configure,
    "BailingMoeForCausalLM": bailing_moe.configure_v1,
    "BailingMoeV2ForCausalLM": bailing_moe.configure_v2,
    "DeepseekV2ForCausalLM": deepseek.configure_v2,
    "DeepseekV3ForCausalLM": deepseek.configure_v3,
    "Gemma2ForCausalLM": gemma.configure_gemma2,
    "Gemma3ForCausalLM": gemma.configure_gemma3,
    "Glm4ForCausalLM": glm4.configure,
    "Glm4MoeForCausalLM": glm4_moe.configure,
    "GptOssForCausalLM": gpt_oss.configure,
    "LlamaForCausalLM": llama.configure,
    "MistralForCausalLM": mistral.configure,
    "MixtralForCausalLM": mixtral.configure,
    "Olmo2ForCausalLM": olmo2.configure,
    "Phi3ForCausalLM": phi3.configure,
    "QWenLMHeadModel": qwen.configure,
    "Qwen2ForCausalLM": qwen2.configure,
    "Qwen2MoeForCausalLM": qwen_moe.configure_qwen2,
    "Qwen3ForCausalLM": qwen3.configure,
    "Qwen3MoeForCausalLM": qwen_moe.configure_qwen3,
    "Qwen3NextForCausalLM": qwen3_next.configure,
    "SmolLM3ForCausalLM": smollm3.configure,
}

Weights = tuple[Matrix, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A network split once: its definition, and one row per weight in the order of the leaves."""

    config: ModelConfig
    dtype: jnp.dtype
    mesh_shape: MeshShape
    """What it is cut for."""
    specs: tuple[ParamSpec, ...]
    kv_dtype: jnp.dtype
    """Of the KV pages: what they mean."""
    page_dtype: jnp.dtype
    """As what they are allocated."""
    page_shape: tuple[int, ...]
    """The last axes of one device's KV pages: how the attention kernel wants a token held."""
    room: AdapterRoom | None
    """For adapters; None: there are none."""
    _definition: Any
    _structure: Any

    def bind(self, weights: Weights) -> CausalLM:
        """Put weights in; call only while tracing, it costs milliseconds."""
        return nnx.merge(self._definition, jax.tree.unflatten(self._structure, weights))

    @property
    def kv_parts(self) -> int:
        """In how many parts the KV pages are cut; a latent is whole on every device."""
        return 1 if self.config.latent else self.mesh_shape.num_shards("kv_heads")

    @property
    def device_bytes(self) -> int:
        """Memory of one device's part of all weights."""
        return sum(spec.num_bytes(self.dtype, self.mesh_shape) for spec in self.specs)

    @property
    def token_bytes(self) -> int:
        """Memory of one token in one device's part of the KV cache."""
        itemsize = jnp.dtype(self.kv_dtype).itemsize
        return itemsize * self.config.num_paged_layers * prod(self.page_shape)


def read_config(path: Path) -> ModelConfig:
    """Read a folder's config.json, that file itself, or what a GGUF says. Raises: `ModelError`."""
    gguf = find_gguf(path)
    if gguf is None:
        return parse_config(read_raw(path))
    model = GGUFModel(open_gguf(gguf))
    return replace(parse_config(model.config), quantization=model.quantization)


def parse_config(raw: Raw) -> ModelConfig:
    """Give a config.json its type, by its family.

    Raises: `ModelError`, also for whatever a family looks up and does not find.
    """
    check_causal(raw)
    architecture = with_head((raw.get("architectures") or ["(none)"])[0], ARCHITECTURES)
    raw = {**raw, "architectures": [architecture]}
    configure = ARCHITECTURES.get(architecture)
    if configure is None:
        raise ModelError(
            f"architecture {architecture!r} is not supported; supported:"
            f" {', '.join(sorted(ARCHITECTURES))}"
        )
    try:
        config = configure(raw)
    except KeyError as error:
        raise ModelError(
            f"config.json of {architecture} wants {error}, which is missing"
        ) from error
    return replace(config, quantization=parse_quantization(raw))


def make_model(
    config: ModelConfig,
    *,
    dtype: jnp.dtype,
    attention: Attention,
    stacked: bool,
    mesh_shape: MeshShape = ONE_DEVICE,
    kv_dtype: jnp.dtype | None = None,
    room: AdapterRoom | None = None,
) -> Model:
    """Define the network of `config`, cut for a mesh; allocates nothing.

    `kv_dtype` is that of the KV pages; None: as `dtype`. `room` is for adapters.
    Raises: `ConfigurationError` if it cannot be cut like that, or adapters can change nothing.
    """
    decoder = Decoder(config, dtype, attention, stacked=stacked, room=room)
    definition, state = nnx.split(decoder)
    structure = jax.tree.structure(state)
    params = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, nnx.Param))
    specs = tuple(spec_of(param) for param in params)
    if room is not None and not any(spec.is_adapter for spec in specs):
        raise ConfigurationError(
            f"adapters change attention and dense MLPs, of which {config.architecture} has none"
            " that they could; set max_loras to 0"
        )
    check_fit(specs, mesh_shape)
    specs = with_forms(specs, config.quantization, mesh_shape)
    held = dtype if kv_dtype is None else kv_dtype
    page_shape = _page_shape(config, attention, mesh_shape, held)
    allocated = attention.page_dtype(held)
    return Model(
        config, dtype, mesh_shape, specs, held, allocated, page_shape, room, definition, structure
    )


def _page_shape(
    config: ModelConfig, attention: Attention, mesh_shape: MeshShape, dtype: jnp.dtype
) -> tuple[int, ...]:
    if config.latent is not None:
        return attention.page_shape(1, config.latent.key_dim, latent=True, dtype=dtype)
    kv_heads = Axis("kv_heads", config.num_kv_heads)
    held = kv_heads.local_count(mesh_shape.num_shards("kv_heads"))
    return attention.page_shape(held, config.head_dim, latent=False, dtype=dtype)
