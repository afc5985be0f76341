"""Layers with linear attention, as config.json says it."""

from dataclasses import dataclass

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.config_rope import Raw
from radixloom_runtime.models.sharding import Axis

_FULL, _LINEAR = "full_attention", "linear_attention"


@dataclass(frozen=True, slots=True)
class KimiDelta:
    """Each number of a key fades at its own rate."""

    lower_bound: float | None
    """Decays (logarithms) lie between it and 0, by a sigmoid; None: anywhere, by a softplus."""


@dataclass(frozen=True, slots=True)
class LinearAttention:
    """Layers that sum the past up in a state of fixed size, by the gated delta rule."""

    layers: tuple[bool, ...]
    """Which layers of the model these are; the others have pages."""
    num_key_heads: int
    """Of queries, too; each serves `num_heads / num_key_heads` value heads."""
    num_heads: int
    """Value heads; each has a state."""
    key_dim: int
    value_dim: int
    taps: int
    """Inputs that the short convolution sees: a token's own and those just before it."""
    kimi: KimiDelta | None = None
    """Kimi delta attention; None: a gated delta net, where a whole head fades at one rate."""

    @property
    def num_layers(self) -> int:
        """How many layers have a state."""
        return sum(self.layers)

    @property
    def values_per_key(self) -> int:
        """Numbers of the values that one key head serves."""
        return self.num_heads // self.num_key_heads * self.value_dim

    def axis(self, per_key_head: int) -> Axis:
        """Return the axis of what each key head has so many numbers of; it is cut by key heads."""
        return Axis("heads", self.num_key_heads, per_key_head)

    @property
    def channels(self) -> int:
        """Width of the short convolution: all queries, keys and values."""
        return 2 * self.num_key_heads * self.key_dim + self.num_heads * self.value_dim


def linear_layers(raw: Raw, *, period: str) -> tuple[bool, ...]:
    """Tell which layers are linear: by `layer_types`, or all but each `raw[period]`-th.

    Raises: `ModelError`.
    """
    num_layers: int = raw["num_hidden_layers"]
    types: list[str] | None = raw.get("layer_types")
    if types is None:
        every = raw.get(period)
        if not isinstance(every, int) or every < 1:
            raise ModelError(
                f"config.json wants layer_types, or {period} as a positive int; found {every!r}"
            )
        return tuple((i + 1) % every != 0 for i in range(num_layers))
    if len(types) != num_layers or not set(types) <= {_FULL, _LINEAR}:
        raise ModelError(
            f"config.json wants {num_layers} layer_types of {_LINEAR} and {_FULL}, found {types}"
        )
    return tuple(kind == _LINEAR for kind in types)
