"""Quantized copies of the tiny golden checkpoints, and the unquantized checkpoints they stand for.

`quantize(name, folder, kind)` writes `folder/quantized` in the format, and `folder/stands_for`:
the same model with the matrices that the small numbers mean, in float32.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import load_file
from support import packings
from support.goldens import folder as golden_folder
from support.packings import FLOAT8, round_to_integers

GROUP = 8
"""Divides the inner sizes of all tiny checkpoints, whole and over four devices."""
BLOCK = (16, 8)

_MATRICES = re.compile(r"\.(q|k|v|o|gate|up|down)_proj\.weight$|\.w[123]\.weight$")
Packed = tuple[dict[str, np.ndarray], np.ndarray]
"""A module's tensors by suffix, and the matrix that they stand for."""


def _integers(bits: int, group: int | None, *, symmetric: bool, act_order: bool = False):
    def numbers(matrix: np.ndarray) -> packings.Numbers:
        order = np.random.default_rng(2).permutation(matrix.shape[1]) if act_order else None
        size = group or matrix.shape[1]
        return round_to_integers(matrix, bits, size, symmetric=symmetric, order=order)

    return numbers


def _gptq(matrix: np.ndarray, *, bits: int = 4, symmetric: bool, act_order: bool = False) -> Packed:
    numbers = _integers(bits, GROUP, symmetric=symmetric, act_order=act_order)(matrix)
    return packings.gptq(numbers), numbers.matrix


def _awq(matrix: np.ndarray) -> Packed:
    numbers = _integers(4, GROUP, symmetric=False)(matrix)
    return packings.awq(numbers), numbers.matrix


def _compressed_int4(matrix: np.ndarray) -> Packed:
    numbers = _integers(4, GROUP, symmetric=False)(matrix)
    return packings.compressed_packed(numbers, symmetric=False), numbers.matrix


def _compressed_int8(matrix: np.ndarray) -> Packed:
    numbers = _integers(8, None, symmetric=True)(matrix)
    tensors = packings.compressed_int8(numbers, symmetric=True)
    scales = tensors["weight_scale"].astype(np.float64)
    return tensors, tensors["weight"].astype(np.float64) * scales


def _compressed_fp8(matrix: np.ndarray) -> Packed:
    values, scales, stands_for = packings.float8_blocks(matrix, (1, matrix.shape[1]))
    return {"weight": values, "weight_scale": scales}, stands_for


def _fp8_blocks(matrix: np.ndarray) -> Packed:
    values, scales, stands_for = packings.float8_blocks(matrix, BLOCK)
    return {"weight": values, "weight_scale_inv": scales}, stands_for


def _compressed_config(written: str, activations: dict[str, Any] | None = None, **weights: Any):
    group = {
        "targets": ["Linear"],
        "weights": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}
        | weights,
        "input_activations": activations,
    }
    return {
        "quant_method": "compressed-tensors",
        "format": written,
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
    }


_TOKEN = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
_GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "sym": True, "desc_act": False}

KINDS: dict[str, tuple[Callable[[np.ndarray], Packed], dict[str, Any]]] = {
    "awq": (
        _awq,
        {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm"},
    ),
    "gptq": (lambda m: _gptq(m, symmetric=True), _GPTQ),
    "gptq-asymmetric": (lambda m: _gptq(m, symmetric=False), _GPTQ | {"sym": False}),
    "gptq-act-order": (
        lambda m: _gptq(m, symmetric=True, act_order=True),
        _GPTQ | {"desc_act": True},
    ),
    "compressed-int4": (
        _compressed_int4,
        _compressed_config(
            "pack-quantized", num_bits=4, strategy="group", group_size=GROUP, symmetric=False
        ),
    ),
    "compressed-int8": (_compressed_int8, _compressed_config("int-quantized")),
    "compressed-w8a8": (_compressed_int8, _compressed_config("int-quantized", _TOKEN)),
    "compressed-fp8": (_compressed_fp8, _compressed_config("float-quantized", type="float")),
    "fp8-blocks": (_fp8_blocks, {"quant_method": "fp8", "weight_block_size": list(BLOCK)}),
}


def quantize(name: str, target: Path, kind: str) -> tuple[Path, Path]:
    """Write both folders; returns the quantized one first."""
    pack, quantization_config = KINDS[kind]
    source = golden_folder(name)
    config = json.loads((source / "config.json").read_text())
    small: dict[str, np.ndarray] = {}
    meant: dict[str, np.ndarray] = {}
    for tensor_name, tensor in load_file(source / "model.safetensors").items():
        if not _MATRICES.search(tensor_name):
            small[tensor_name] = meant[tensor_name] = tensor
            continue
        tensors, matrix = pack(tensor.astype(np.float64))
        module = tensor_name.removesuffix(".weight")
        small |= {f"{module}.{suffix}": array for suffix, array in tensors.items()}
        meant[tensor_name] = matrix.astype(np.float32)
    _write(target / "quantized", small, config | {"quantization_config": quantization_config})
    _write(target / "stands_for", meant, config)
    return target / "quantized", target / "stands_for"


def with_float_experts(target: Path) -> Path:
    """Write gpt-oss's MXFP4 checkpoint as one with experts in floats, of the same numbers."""
    source = golden_folder("gpt-oss-mxfp4")
    config = json.loads((source / "config.json").read_text())
    del config["quantization_config"]
    stored = load_file(source / "model.safetensors")
    meant = {name: array for name, array in stored.items() if array.dtype != np.uint8}
    for name, blocks in stored.items():
        if name.endswith("_blocks"):
            module = name.removesuffix("_blocks")
            matrices = packings.mxfp4_stands_for(blocks, stored[f"{module}_scales"])
            meant[module] = matrices.astype(np.float32).swapaxes(-1, -2)
    _write(target, meant, config)
    return target


_NAMES = {np.dtype(ml_dtypes.bfloat16): "BF16", FLOAT8: "F8_E4M3"}


def _write(folder: Path, tensors: dict[str, np.ndarray], config: dict[str, Any]) -> None:
    """Write by hand: the library's numpy writer has no 8-bit floats."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    header, end = {}, 0
    for name, tensor in tensors.items():
        kind = _NAMES.get(tensor.dtype) or f"{tensor.dtype.kind.upper()}{8 * tensor.itemsize}"
        offsets = [end, end + tensor.nbytes]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": offsets}
        end += tensor.nbytes
    text = json.dumps(header).encode()
    body = b"".join(np.ascontiguousarray(tensor).tobytes() for tensor in tensors.values())
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)
