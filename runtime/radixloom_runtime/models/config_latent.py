"""Multi-head latent attention (DeepSeek's MLA), as config.json says it."""

from dataclasses import dataclass

from radixloom_runtime.models.config_rope import Raw


@dataclass(frozen=True, slots=True)
class Latent:
    """Widths of one head, and of what all heads share.

    a head's query, key    [ nope_dim | rope_dim ]      the second part turns with positions
    a head's value         [ value_dim ]
    kept of each token     [ latent_dim | rope_dim ]    keys and values are made of the first;
                                                        the second is a key that all heads share
    """

    latent_dim: int
    rope_dim: int
    nope_dim: int
    value_dim: int
    query_dim: int | None
    """Queries are made of a vector of this width; None: of the layer's input itself."""
    gate: str | None = None
    """Name of a map to one gate for each head, of which what it reads is multiplied; None: none."""

    @property
    def key_dim(self) -> int:
        """Numbers that are kept of each token."""
        return self.latent_dim + self.rope_dim


def parse_latent(raw: Raw) -> Latent:
    """Read DeepSeek's names."""
    return Latent(
        latent_dim=raw["kv_lora_rank"],
        rope_dim=raw["qk_rope_head_dim"],
        nope_dim=raw["qk_nope_head_dim"],
        value_dim=raw["v_head_dim"],
        query_dim=raw.get("q_lora_rank"),
    )
