"""Checkpoints of a network without its output layer, as embedding models are often published.

    architectures   Qwen3Model              the same network as Qwen3ForCausalLM
    tensors         layers.0.mlp...         what is model.layers.0.mlp... elsewhere
    lm_head         missing                 nothing can be generated

The name may be so without the rest. A head is missed, not left out, where tensors have the prefix:
such a checkpoint is an ordinary one that has lost it.
"""

from collections.abc import Collection
from dataclasses import replace

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.config_rope import Raw

_PREFIX = "model."


def with_head(architecture: str, known: Collection[str]) -> str:
    """Return the name that the network has with an output layer; as it is, where that is none."""
    for suffix in ("TextModel", "Model"):
        name = f"{architecture.removesuffix(suffix)}ForCausalLM"
        if architecture.endswith(suffix) and architecture not in known and name in known:
            return name
    return architecture


def check_causal(raw: Raw) -> None:
    """Refuse networks whose tokens see those after them. Raises: `ModelError`."""
    for key, causal in (("is_causal", True), ("use_bidirectional_attention", False)):
        if raw.get(key, causal) not in {causal, None}:
            raise ModelError(
                f"config.json has {key} {raw[key]!r}: tokens attend to those after them, which is"
                " not supported; take an embedding model with causal attention"
            )


def as_stored(config: ModelConfig, tensors: Collection[str]) -> ModelConfig:
    """Name tensors as a checkpoint does, and leave out the output layer that it has not."""
    names = config.names
    table = f"{names.embedding.removeprefix(_PREFIX)}.weight"
    if f"{names.embedding}.weight" in tensors or table not in tensors:
        return config
    bare = replace(
        names,
        embedding=names.embedding.removeprefix(_PREFIX),
        layer=names.layer.removeprefix(_PREFIX),
        final_norm=names.final_norm.removeprefix(_PREFIX),
    )
    if config.tie_embeddings or any(name.startswith(f"{names.head}.") for name in tensors):
        return replace(config, names=bare)
    return replace(config, names=bare, tie_embeddings=True, has_head=False)
