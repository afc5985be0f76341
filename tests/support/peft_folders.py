"""Adapters as PEFT saves them, and the checkpoints that have them merged in: W + scale * B A."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 - numpy learns of bfloat16 by it
import numpy as np
from safetensors.numpy import load_file, save_file

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
FUSED = ("qkv_proj", "gate_up_proj")
EVERYTHING = (*ATTENTION, *MLP, *FUSED)


def write_adapter(
    folder: Path,
    base: Path,
    *,
    modules: Iterable[str] = EVERYTHING,
    rank: int = 4,
    seed: int = 0,
    **config: Any,
) -> Path:
    """Write an adapter of random numbers, large enough to change answers."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    wanted = tuple(modules)
    tensors: dict[str, np.ndarray] = {}
    for name, tensor in load_file(base / "model.safetensors").items():
        module = name.removesuffix(".weight")
        if module.rpartition(".")[2] not in wanted:
            continue
        num_out, num_in = tensor.shape
        down = generator.normal(size=(rank, num_in), scale=num_in**-0.5)
        up = generator.normal(size=(num_out, rank), scale=0.2)
        tensors[f"base_model.model.{module}.lora_A.weight"] = down.astype(np.float32)
        tensors[f"base_model.model.{module}.lora_B.weight"] = up.astype(np.float32)
    save_file(tensors, folder / "adapter_model.safetensors")
    said = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": 8,
        "target_modules": list(wanted),
        "bias": "none",
        "use_dora": False,
        "use_rslora": False,
        "modules_to_save": None,
        "rank_pattern": {},
    }
    (folder / "adapter_config.json").write_text(json.dumps(said | config))
    return folder


def write_merged(folder: Path, base: Path, adapter: Path) -> Path:
    """Write the checkpoint whose matrices have the adapter in them, by numpy alone."""
    folder.mkdir(parents=True, exist_ok=True)
    config = json.loads((adapter / "adapter_config.json").read_text())
    rank, alpha = config["r"], config["lora_alpha"]
    scale = alpha / (math.sqrt(rank) if config["use_rslora"] else rank)
    tensors = load_file(base / "model.safetensors")
    pairs = load_file(adapter / "adapter_model.safetensors")
    for name in pairs:
        if name.endswith("lora_A.weight"):
            down, up = pairs[name], pairs[name.replace("lora_A", "lora_B")]
            own = name.removeprefix("base_model.model.").replace(".lora_A", "")
            added = scale * (up.astype(np.float64) @ down)
            tensors[own] = (tensors[own] + added).astype(np.float32)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text((base / "config.json").read_text())
    return folder
