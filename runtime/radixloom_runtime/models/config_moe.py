"""A mixture of experts, as config.json says it."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.config_rope import Raw


class Scoring(Enum):
    """What the router's numbers become before experts are chosen by them."""

    SOFTMAX = "softmax"
    """Shares over all experts."""
    SIGMOID = "sigmoid"
    """Each expert by itself."""


@dataclass(frozen=True, slots=True)
class ExpertGroups:
    """Experts stand in groups of equal size, and a token may use those of a few groups alone."""

    num_groups: int
    groups_per_token: int
    num_best: int
    """A group is worth the sum of its so many best scores."""


@dataclass(frozen=True, slots=True)
class CutSwiGLU:
    """gate * sigmoid(slope * gate) * (up + 1), of gates and ups that are cut at a limit."""

    limit: float
    slope: float


@dataclass(frozen=True, slots=True)
class Moe:
    """Many small MLPs, of which each token uses a few."""

    num_experts: int
    experts_per_token: int
    expert_dim: int

    # --- choosing and weighing
    normalizes_weights: bool
    """The chosen experts' weights sum to one (before `weight_scale`)."""
    scoring: Scoring = Scoring.SOFTMAX
    groups: ExpertGroups | None = None
    choice_bias: str | None = None
    """Name of a bias that counts when experts are chosen, and not in their weights."""
    weight_scale: float = 1.0
    has_router_bias: bool = False
    """One that counts in the scores themselves."""

    # --- inside an expert
    has_expert_bias: bool = False
    cut_swiglu: CutSwiGLU | None = None
    """In the place of the model's activation."""
    unit: int = 1
    """Numbers of an expert's inside that are never parted between devices."""

    # --- an MLP that all tokens use
    shared_dim: int = 0
    """Its width; 0: none."""
    shared: str = "shared_expert"
    shared_gate: str | None = "shared_expert_gate"
    """Of the share it is given; None: it is added whole."""

    # --- names in the checkpoint
    block: str = "mlp"
    router: str = "gate"
    is_fused: bool = False
    """One tensor holds a matrix of all experts, and gates and ups by turns."""
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
        "num_experts": count("num_experts", "num_local_experts", "n_routed_experts"),
        "experts_per_token": count("num_experts_per_tok"),
        "normalizes_weights": bool(raw.get("norm_topk_prob", False)),
    }
    if "expert_dim" not in own:
        fields["expert_dim"] = count("moe_intermediate_size")
    moe = Moe(**(fields | own))
    _check(moe)
    return moe


def routed_and_shared(raw: Raw) -> dict[str, Any]:
    """Read DeepSeek's names for the weight of routed experts, and for those that all tokens use."""
    num: int = raw.get("n_shared_experts") or 0
    weight_scale = float(raw.get("routed_scaling_factor") or 1.0)
    return {"weight_scale": weight_scale, **shared_experts(num * raw["moe_intermediate_size"])}


def shared_experts(width: int) -> dict[str, Any]:
    """Describe experts that all tokens use, as one MLP of their widths together; added whole."""
    return {"shared_dim": width, "shared": "shared_experts", "shared_gate": None}


def parse_groups(raw: Raw, *, num_best: int) -> ExpertGroups | None:
    """Read DeepSeek's groups; None where a token may use all of them."""
    num_groups, chosen = raw.get("n_group") or 1, raw.get("topk_group") or 1
    return None if chosen >= num_groups else ExpertGroups(num_groups, chosen, num_best)


def sparse_layers(raw: Raw) -> tuple[bool, ...]:
    """Tell which layers have experts, by Qwen's two ways to say it."""
    step: int = raw.get("decoder_sparse_step") or 1
    dense: list[int] = raw.get("mlp_only_layers") or []
    layers = range(raw["num_hidden_layers"])
    return tuple(i not in dense and (i + 1) % step == 0 for i in layers)


def sparse_after_first(raw: Raw) -> tuple[bool, ...]:
    """Tell which layers have experts, by DeepSeek's way: all but the first few."""
    num_dense: int = raw.get("first_k_dense_replace") or 0
    step: int = raw.get("moe_layer_freq") or 1
    return tuple(i >= num_dense and i % step == 0 for i in range(raw["num_hidden_layers"]))


def _check(moe: Moe) -> None:
    if moe.experts_per_token > moe.num_experts:
        raise ModelError(
            f"config.json wants {moe.experts_per_token} experts a token of {moe.num_experts}"
        )
    if moe.groups is None:
        return
    num_groups = moe.groups.num_groups
    if moe.num_experts % num_groups:
        raise ModelError(f"{moe.num_experts} experts are no multiple of {num_groups} groups")
    group = moe.num_experts // num_groups
    if moe.groups.groups_per_token * group < moe.experts_per_token or group < moe.groups.num_best:
        raise ModelError(
            f"config.json wants {moe.experts_per_token} experts a token out of"
            f" {moe.groups.groups_per_token} groups of {group}: too few"
        )
