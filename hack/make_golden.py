"""Make a tiny checkpoint and its reference outputs with transformers: a golden's first half.

    uv venv /tmp/reference && uv pip install --python /tmp/reference torch transformers
    /tmp/reference/bin/python hack/make_golden.py CONFIG.json FOLDER/NAME

CONFIG.json is a config of the family made tiny (vocab_size 512, hidden_size 64, 2 to 4 layers, and
every feature that real checkpoints switch on). Weights are random, with a spread that lets each
feature move the logits; norms and biases are away from their neutral values. FOLDER/NAME then holds
config.json, model.safetensors and golden.npz, computed from the stored weights in float32. The
second half, `python -m hack.goldens FOLDER NAME`, packs it for the repository.

Runs where torch is, which this project's own environment has not: it imports nothing of ours.
"""

# pyright: reportMissingImports=false, reportUnknownParameterType=false
# pyright: reportUnknownArgumentType=false, reportMissingModuleSource=false

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

PROMPT_LENGTHS = (1, 7, 16, 37, 64, 97, 150, 200)
"""One token, pages filled to the brim and not, and beyond a window of up to 128."""
EVERYWHERE = 3
"""The prompt whose logits are kept at every position."""
NEW_TOKENS = 24
LEAST_GAP = 1e-2
"""Between the two best logits of a greedy step, so that rounding does not choose."""


def randomize(model: Any, seed: int) -> None:
    """Give every parameter numbers that matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                parameter.copy_(parameter + 0.1 * noise)
            else:
                parameter.copy_(noise * 1.5 * parameter.shape[-1] ** -0.5)


def continue_greedily(model: Any, ids: list[int]) -> tuple[list[int], float, Any]:
    """Return the continuation, the least gap between its best two, and the prompt's logits."""
    tokens, gaps, first = list(ids), list[float](), None
    for _ in range(NEW_TOKENS):
        logits = model(torch.tensor([tokens]), use_cache=False).logits[0]
        first = logits if first is None else first
        best = torch.topk(logits[-1], 2)
        gaps.append(float(best.values[0] - best.values[1]))
        tokens.append(int(best.indices[0]))
    return tokens[len(ids) :], min(gaps), first


def reference(model: Any, seed: int) -> dict[str, Any]:
    """Compute golden.npz: prompts are drawn until no step of their answers is a near tie."""
    draw = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    for prompt, length in enumerate(PROMPT_LENGTHS):
        for _ in range(200):
            ids: list[int] = draw.integers(3, model.config.vocab_size - 16, length).tolist()
            greedy, gap, logits = continue_greedily(model, ids)
            if gap >= LEAST_GAP:
                break
        else:
            sys.exit(f"no prompt of {length} tokens without near ties in 200 draws; try --seed")
        arrays[f"ids_{prompt}"] = np.array(ids, np.int32)
        arrays[f"greedy_{prompt}"] = np.array(greedy, np.int32)
        arrays[f"last_logits_{prompt}"] = logits[-1].numpy()
        if prompt == EVERYWHERE:
            arrays[f"all_logits_{prompt}"] = logits.numpy()
        print(f"prompt {prompt}: {length} tokens, least gap {gap:.3f}", flush=True)
    return arrays


def main() -> int:
    """Make what the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="Default: %(default)s.")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    raw = json.loads(options.config.read_text("utf-8"))
    config = transformers.AutoConfig.for_model(**raw)
    made = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomize(made, options.seed)
    made.to(torch.bfloat16).save_pretrained(options.folder)
    shutil.copy(options.config, options.folder / "config.json")
    (options.folder / "generation_config.json").unlink(missing_ok=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(options.folder, dtype=torch.float32)
    with torch.inference_mode():
        arrays = reference(model.eval(), options.seed)
    np.savez(options.folder / "golden.npz", **arrays)
    return 0


if __name__ == "__main__":
    sys.exit(main())
