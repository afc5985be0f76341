"""SmolLM3: Llama's layers, of which every fourth knows no positions (`SmolLM3ForCausalLM`)."""

from radixloom_runtime.errors import ModelError
from radixloom_runtime.models.config import ModelConfig, common
from radixloom_runtime.models.config_rope import Raw, Rope, parse_rope

_TURNED, _OFF = 0, 1


def configure(raw: Raw) -> ModelConfig:
    """Describe the family. Raises: `ModelError`."""
    if raw.get("use_sliding_window"):  # no release has it, and no reference output checks it
        raise ModelError("use_sliding_window of a SmolLM3 is not supported; only false is")
    bias = bool(raw.get("attention_bias", False))
    rope = parse_rope(raw)
    return common(
        raw,
        qkv_bias=bias,
        out_bias=bias,
        mlp_bias=bool(raw.get("mlp_bias", False)),
        tie_embeddings=bool(raw.get("tie_word_embeddings", True)),
        ropes=(rope, Rope(rope.theta, is_off=True)),
        rope_of_layer=_rope_of_layer(raw),
    )


def _rope_of_layer(raw: Raw) -> tuple[int, ...]:
    """Read `no_rope_layers`: 1 (sic) for a layer that turns; without it, all but each n-th do."""
    turns: list[int] | None = raw.get("no_rope_layers")
    if turns is None:
        interval: int = raw.get("no_rope_layer_interval") or 4
        turns = [int((i + 1) % interval != 0) for i in range(raw["num_hidden_layers"])]
    return tuple(_TURNED if turn else _OFF for turn in turns)
