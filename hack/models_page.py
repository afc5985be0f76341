"""docs/models.md, made of the code: `make docs`.

What a family can is asked of `ModelConfig`, for every reference checkpoint that tests compare it
with (tests/goldens); which quantized formats there are, of the parsers; what a family is called,
of its file's docstring.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from hack.goldens import TARGET, folder
from radixloom_runtime.formats.scheme import METHODS
from radixloom_runtime.models.config import ModelConfig, QKNorm, read_raw
from radixloom_runtime.models.config_moe import Moe, Scoring
from radixloom_runtime.models.config_rope import (
    LinearScaling,
    Llama3Scaling,
    LongScaling,
    PairScaling,
    YarnScaling,
)
from radixloom_runtime.models.registry import ARCHITECTURES, read_config
from radixloom_runtime.settings import WeightFormat

PAGE = Path(__file__).parents[1] / "docs" / "models.md"

_HEAD = """# Models

<!-- made by `make docs` (hack/models_page.py); change that, or the code it asks -->

A checkpoint is served if `architectures[0]` in its config.json is in this table. Each is compared,
in float32, with an independent implementation: tests/goldens holds tiny checkpoints with their
reference outputs, and `python -m hack.golden_report` shows the difference of each on one device and
on four. What a checkpoint's config.json wants and its family does not have is an error that names
it, before anything is loaded. Embedding models often name the same network without its output
layer, `Qwen3Model` for `Qwen3ForCausalLM`; they are served, too. To add a family:
[add-a-family.md](add-a-family.md).

| `architectures[0]` | models | what is shown of it | checkpoints compared |
|---|---|---|---|
"""

_TAIL = """
## What holds for all, and what does not

| | |
|---|---|
| prefix cache, speculation, host cache | all but those with linear attention: {recurrent} |
| pages of one vector a token (MLA) | {latent} |
| cut over devices (`--tensor-parallel`) | all, in as many parts as heads and widths divide by |
| attention in copies (`--data-parallel`) | all; experts are shared out over all copies |
| experts apart (`--expert-parallel`) | those with experts: {sparse} |
| LoRA adapters (`--lora`, `--max-loras`) | attention, not latent or linear; MLPs, not experts |
| quantized checkpoints | {methods} |
| quantized while loading (`--quantization`) | {on_load} |
"""


def page() -> str:
    """Render docs/models.md."""
    compared = _compared()
    rows = [_row(name, compared.get(name, {})) for name in sorted(ARCHITECTURES)]

    def those(has: Callable[[ModelConfig], bool]) -> str:
        found = [name for name, configs in compared.items() if any(map(has, configs.values()))]
        return ", ".join(f"`{name}`" for name in sorted(found))

    tail = _TAIL.format(
        recurrent=those(lambda config: config.linear is not None),
        latent=those(lambda config: config.latent is not None),
        sparse=those(lambda config: config.moe is not None),
        methods=", ".join(sorted(METHODS)),
        on_load=", ".join(form for form in WeightFormat if form not in ("auto", "none")),
    )
    return _HEAD + "\n".join(rows) + "\n" + tail


def _compared() -> dict[str, dict[str, ModelConfig]]:
    """Read the configs of all reference checkpoints in the repository, by architecture."""
    found: dict[str, dict[str, ModelConfig]] = {}
    for archive in sorted(TARGET.glob("*.tar.xz")):
        name = archive.name.removesuffix(".tar.xz")
        if read_raw(folder(name))["architectures"][0] in ARCHITECTURES:
            config = read_config(folder(name))
            found.setdefault(config.architecture, {})[name] = config
    return found


def _row(architecture: str, configs: dict[str, ModelConfig]) -> str:
    shown: list[str] = []
    for config in configs.values():
        shown += [feature for feature in features(config) if feature not in shown]
    cells = (f"`{architecture}`", models_of(architecture), "; ".join(shown), ", ".join(configs))
    return f"| {' | '.join(cells)} |"


def models_of(architecture: str) -> str:
    """Return what a family's docstring calls its models."""
    configure = ARCHITECTURES[architecture]
    text = (configure.__doc__ or "").removeprefix("Describe ")
    if text.startswith("the family"):
        text = sys.modules[configure.__module__].__doc__ or ""
    first = text.split("\n")[0]
    for end in (":", " (`"):
        first = first.split(end)[0]
    return first.rstrip(".")


def features(config: ModelConfig) -> list[str]:
    """Name what is particular about a network, in the field's terms."""
    return [
        *_attention_features(config),
        *_rope_features(config),
        *([] if config.moe is None else [_experts(config.moe)]),
        *(["tied embeddings"] if config.tie_embeddings else []),
        *(["logit soft cap"] if config.logit_soft_cap else []),
        *(["unit-length output columns"] if config.unit_head else []),
    ]


def _attention_features(config: ModelConfig) -> Iterable[str]:
    if config.latent is not None:
        yield "multi-head latent attention"
    elif config.num_kv_heads < config.num_heads:
        yield "grouped queries"
    if config.linear is not None:
        kind = "gated delta net" if config.linear.kimi is None else "Kimi delta attention"
        yield f"linear attention ({kind})"
    switched = {
        "sliding window": any(config.windows) and all(config.windows),
        "sliding window in some layers": any(config.windows) and not all(config.windows),
        "attention sinks": config.has_sinks,
        "attention soft cap": config.attention_soft_cap,
        f"query-key norm ({config.qk_norm.value})": config.qk_norm is not QKNorm.NONE,
        "gated attention": config.gates_attention,
        "attention bias": config.qkv_bias,
    }
    yield from (feature for feature, is_on in switched.items() if is_on)


_SCALINGS = {
    LinearScaling: "linear",
    Llama3Scaling: "llama3",
    YarnScaling: "yarn",
    LongScaling: "longrope",
    PairScaling: "llama3 (of a GGUF)",
}


def _rope_features(config: ModelConfig) -> Iterable[str]:
    for rope in config.ropes:
        if rope.scaling is not None:
            yield f"rope scaling {_SCALINGS[type(rope.scaling)]}"
    if any(rope.is_off for rope in config.ropes):
        yield "layers without positions"
    if len({rope.theta for rope in config.ropes}) > 1:
        yield "a rope of its own for windowed layers"
    if config.latent is None and config.rotary_dim < config.head_dim:
        yield "partial rope"


def _experts(moe: Moe) -> str:
    how = "softmax" if moe.scoring is Scoring.SOFTMAX else "sigmoid"
    how += ", in groups" if moe.groups is not None else ""
    how += ", shared" if moe.shared_dim else ""
    how += ", biases" if moe.has_expert_bias else ""
    return f"experts ({how})"


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
