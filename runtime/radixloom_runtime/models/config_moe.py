"""A mixture of experts, as config.json says it."""

from dataclasses import dataclass
from typing import Any

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.config_rope import Raw


@dataclass(frozen=True, slots=True)
class Moe:
    """Many small MLPs, of which each token uses a few."""

    num_experts: int
    experts_per_token: int
    expert_dim: int
    normalizes_weights: bool
    """The chosen experts' weights sum to one."""
    shared_dim: int = 0
    """Width of an MLP that all tokens use, with a gate of its own; 0: none."""
    block: str = "mlp"
    """Name of the block in the checkpoint."""
    names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")
    """Of an expert's three matrices."""


def parse_moe(raw: Raw, **own: Any) -> Moe:
    """Read what the families write alike; `own` are fields that one knows better.

    Raises: `ModelError`.
    """

    def count(*keys: str) -> int:
        value = next((raw[key] for key in keys if key in raw), None)
        if not isinstance(value, int) or value < 1:
            wanted = " or ".join(keys)
            raise ModelError(f"config.json wants {wanted} as a positive int, found {value!r}")
        return value

    fields: dict[str, Any] = {
        "num_experts": count("num_experts", "num_local_experts"),
        "experts_per_token": count("num_experts_per_tok"),
        "normalizes_weights": bool(raw.get("norm_topk_prob", False)),
    }
    if "expert_dim" not in own:
        fields["expert_dim"] = count("moe_intermediate_size")
    moe = Moe(**(fields | own))
    if moe.experts_per_token > moe.num_experts:
        raise ModelError(
            f"config.json wants {moe.experts_per_token} experts a token of {moe.num_experts}"
        )
    return moe


def sparse_layers(raw: Raw) -> tuple[bool, ...]:
    """Tell which layers have experts, by Qwen's two ways to say it."""
    step: int = raw.get("decoder_sparse_step") or 1
    dense: list[int] = raw.get("mlp_only_layers") or []
    layers = range(raw["num_hidden_layers"])
    return tuple(i not in dense and (i + 1) % step == 0 for i in layers)
