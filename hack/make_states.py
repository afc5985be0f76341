"""Final hidden states of the tiny checkpoints, by transformers: what embeddings are compared with.

    python -m hack.goldens ...                     packs checkpoints, see there
    /tmp/reference/bin/python hack/make_states.py tests/goldens

Writes `states.npz` there: for each of `MODELS` and `PROMPTS` the last state and the mean over
all tokens, after the final norm, in float32. Needs the environment of `hack/make_golden.py`, and
like that imports nothing of ours.
"""

# pyright: reportMissingImports=false, reportUnknownParameterType=false
# pyright: reportUnknownArgumentType=false, reportMissingModuleSource=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false

import argparse
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

MODELS = ("deepseek-v3", "gemma3-text", "llama-tied", "qwen3", "qwen3-moe-sparse", "qwen3-next")
PROMPTS = (0, 3, 4, 5)
"""Of 1, 37, 64 and 97 tokens."""


def states_of(archive: Path) -> dict[str, np.ndarray]:
    """Run the prompts of one checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        (Path(folder) / "config.v5.json").replace(Path(folder) / "config.json")
        load: Any = transformers.AutoModelForCausalLM.from_pretrained
        model = load(folder, dtype=torch.float32).eval()
        golden = np.load(Path(folder) / "golden.npz")
        found: dict[str, np.ndarray] = {}
        for prompt in PROMPTS:
            ids = torch.tensor(golden[f"ids_{prompt}"].astype(np.int64)[None])
            with torch.no_grad():
                states = model.model(ids, use_cache=False).last_hidden_state[0]
            found[f"last_{prompt}"] = states[-1].numpy()
            found[f"mean_{prompt}"] = states.mean(0).numpy()
        return found


def main() -> int:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("goldens", type=Path)
    goldens = parser.parse_args().goldens
    arrays: dict[str, Any] = {
        f"{name}.{key}": array
        for name in MODELS
        for key, array in states_of(goldens / f"{name}.tar.xz").items()
    }
    np.savez(goldens / "states.npz", **arrays)
    return 0


if __name__ == "__main__":
    sys.exit(main())
