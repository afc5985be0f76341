"""Qwen 1's reference outputs, float64 numpy; in tests/: `python -m support.qwen_reference FOLDER`.

Written from the definition of the original modelling code, which no library carries any more, and
from nothing of the runtime: FOLDER/qwen gets a tiny checkpoint of random weights and what this
gives for it. `python -m hack.goldens FOLDER qwen` then packs it.

    h = h + c_proj(attention(rope(q), rope(k), v)),      q | k | v = c_attn(ln_1(h)) + bias
    h = h + mlp.c_proj(w1(x) * silu(w2(x))),             x = ln_2(h)
"""

import json
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

CONFIG = {
    "architectures": ["QWenLMHeadModel"],
    "model_type": "qwen",
    "vocab_size": 256,
    "hidden_size": 32,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "kv_channels": 8,
    "seq_length": 512,
    "max_position_embeddings": 512,
    "layer_norm_epsilon": 1e-6,
    "rotary_emb_base": 10000,
    "rotary_pct": 1.0,
    "no_bias": True,
    "use_dynamic_ntk": True,
    "use_logn_attn": True,
    "scale_attn_weights": True,
    "tie_word_embeddings": False,
    "bf16": True,
}
PROMPT_LENGTHS = (1, 7, 16, 37, 64, 97, 150, 200)
EVERYWHERE = 3
NEW_TOKENS = 24
LEAST_GAP = 1e-2
"""Between the two best logits of a greedy step, so that rounding does not choose."""


def random_weights(draw: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights whose every part moves the logits, rounded to what the checkpoint holds."""
    width, inside = CONFIG["hidden_size"], CONFIG["intermediate_size"] // 2
    heads = CONFIG["num_attention_heads"] * CONFIG["kv_channels"]
    weights = {
        "transformer.wte.weight": draw.normal(size=(CONFIG["vocab_size"], width)),
        "transformer.ln_f.weight": 1 + 0.2 * draw.normal(size=width),
        "lm_head.weight": 1.5 * draw.normal(size=(CONFIG["vocab_size"], width)) / width**0.5,
    }
    for layer in range(CONFIG["num_hidden_layers"]):
        at = f"transformer.h.{layer}"
        weights |= {f"{at}.ln_{i}.weight": 1 + 0.2 * draw.normal(size=width) for i in (1, 2)}
        weights[f"{at}.attn.c_attn.bias"] = 0.5 * draw.normal(size=3 * heads)
        shapes = {
            "attn.c_attn": (3 * heads, width),
            "attn.c_proj": (width, heads),
            "mlp.w1": (inside, width),
            "mlp.w2": (inside, width),
            "mlp.c_proj": (width, inside),
        }
        for name, shape in shapes.items():
            weights[f"{at}.{name}.weight"] = 1.5 * draw.normal(size=shape) / shape[1] ** 0.5
    return {name: array.astype(ml_dtypes.bfloat16) for name, array in weights.items()}


def logits(weights: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """Scores [T, V] after each token."""

    def of(name: str) -> np.ndarray:
        return weights[f"{name}.weight"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        square = (x * x).mean(axis=-1, keepdims=True)
        return x / np.sqrt(square + CONFIG["layer_norm_epsilon"]) * of(name)

    hidden = of("transformer.wte")[ids]
    for layer in range(CONFIG["num_hidden_layers"]):
        at = f"transformer.h.{layer}"
        x = norm(hidden, f"{at}.ln_1")
        qkv = x @ of(f"{at}.attn.c_attn").T + weights[f"{at}.attn.c_attn.bias"]
        hidden = hidden + attention(qkv) @ of(f"{at}.attn.c_proj").T
        x = norm(hidden, f"{at}.ln_2")
        gate = x @ of(f"{at}.mlp.w2").T
        silu = gate / (1 + np.exp(-gate))
        hidden = hidden + (x @ of(f"{at}.mlp.w1").T * silu) @ of(f"{at}.mlp.c_proj").T
    return norm(hidden, "transformer.ln_f") @ of("lm_head").T


def attention(qkv: np.ndarray) -> np.ndarray:
    """What all heads read, side by side; up to `seq_length` tokens, where nothing is stretched."""
    heads, size = CONFIG["num_attention_heads"], CONFIG["kv_channels"]
    tokens = len(qkv)
    query, key, value = (part.reshape(tokens, heads, size) for part in np.split(qkv, 3, axis=-1))
    query, key = turned(query), turned(key)
    scores = np.einsum("qhd,khd->hqk", query, key) / size**0.5
    scores = np.where(np.tri(tokens, dtype=bool), scores, -np.inf)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return np.einsum("hqk,khd->qhd", shares, value).reshape(tokens, heads * size)


def turned(x: np.ndarray) -> np.ndarray:
    """Rotary positions: number i of a head turns with number i + size/2."""
    size = x.shape[-1]
    speeds = CONFIG["rotary_emb_base"] ** (-np.arange(0, size, 2) / size)
    angles = np.outer(np.arange(len(x)), speeds)[:, None, :]
    cos, sin = np.cos(angles), np.sin(angles)
    first, second = x[..., : size // 2], x[..., size // 2 :]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def continued(
    weights: dict[str, np.ndarray], ids: list[int]
) -> tuple[list[int], float, np.ndarray]:
    """The greedy continuation, the least gap between its best two, and the prompt's logits."""
    tokens, gaps = list(ids), []
    first = found = logits(weights, tokens)
    for _ in range(NEW_TOKENS):
        best = np.sort(found[-1])
        gaps.append(best[-1] - best[-2])
        tokens.append(int(found[-1].argmax()))
        found = logits(weights, tokens)
    return tokens[len(ids) :], min(gaps), first


def golden(weights: dict[str, np.ndarray], draw: np.random.Generator) -> dict[str, np.ndarray]:
    """Prompts are drawn until no step of their answers is a near tie."""
    arrays = {}
    for prompt, length in enumerate(PROMPT_LENGTHS):
        gap = 0.0
        while gap < LEAST_GAP:
            ids = draw.integers(3, CONFIG["vocab_size"] - 16, length).tolist()
            greedy, gap, scores = continued(weights, ids)
        arrays |= {f"ids_{prompt}": np.array(ids), f"greedy_{prompt}": np.array(greedy)}
        arrays[f"last_logits_{prompt}"] = scores[-1]
        if prompt == EVERYWHERE:
            arrays[f"all_logits_{prompt}"] = scores
    return arrays


def main() -> int:
    """Make FOLDER/qwen."""
    folder = Path(sys.argv[1]) / "qwen"
    folder.mkdir(parents=True)
    draw = np.random.default_rng(1)
    stored = random_weights(draw)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=1))
    save_file(stored, folder / "model.safetensors")
    wide = {name: array.astype(np.float64) for name, array in stored.items()}
    np.savez(folder / "golden.npz", **golden(wide, draw))
    return 0


if __name__ == "__main__":
    sys.exit(main())
