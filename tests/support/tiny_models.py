"""Runners of the tiny golden checkpoints, with few and small buckets so that they compile soon."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from support.goldens import NAMES, folder

from radixloom_runtime.formats.on_load import quantized_on_load
from radixloom_runtime.models.adapters import AdapterRoom
from radixloom_runtime.models.registry import Model, Weights, make_model, read_config
from radixloom_runtime.models.sharding import ONE_DEVICE, MeshShape
from radixloom_runtime.ops.attention_cpu import CPUAttention
from radixloom_runtime.runner.buckets import Bucket
from radixloom_runtime.runner.checkpoint import Checkpoint
from radixloom_runtime.runner.drafter import Drafter
from radixloom_runtime.runner.history import make_history
from radixloom_runtime.runner.mesh import make_mesh
from radixloom_runtime.runner.programs import Programs
from radixloom_runtime.runner.rows import make_rows
from radixloom_runtime.runner.runner import JaxRunner
from radixloom_runtime.runner.step_input import StepLayout
from radixloom_runtime.runner.weights import load_weights
from radixloom_runtime.wire.plan import Limits

TIED, UNTIED = "llama-tied", "llama-rope3-gqa-untied"
DENSE = (
    "gemma2",
    "gemma3-text",
    "glm4",
    "mistral-swa",
    "olmo2",
    "phi3",
    "qwen",
    "qwen2-bias",
    "qwen3",
    "smollm3",
)
"""One checkpoint of each dense family beside Llama."""
SPARSE = (
    "bailing-moe-v1",
    "bailing-moe-v2",
    "deepseek-v2-lite",
    "deepseek-v3",
    "glm4-moe",
    "gpt-oss-mxfp4",
    "mixtral",
    "qwen2-moe",
    "qwen3-moe-sparse",
)
"""Mixtures of experts."""
HYBRID = ("bailing-hybrid", "qwen3-next")
"""Linear attention in most layers."""
WHOLE_ONLY = tuple(
    name for name in ("deepseek-v2-group", "gpt-oss", "qwen3-moe-norm") if name in NAMES
)
"""More of the same families, where a folder of whole goldens is tested."""

_MAX_ROWS = 4
_STEP_TOKENS = 80
_BUCKETS = (Bucket(_MAX_ROWS, _MAX_ROWS, mixed=False), Bucket(_STEP_TOKENS, _MAX_ROWS, mixed=True))


def tiny_model(
    name: str,
    *,
    stacked: bool = False,
    mesh_shape: MeshShape = ONE_DEVICE,
    kv_dtype: str = "float32",
    room: AdapterRoom | None = None,
) -> Model:
    """The network alone."""
    jax.config.update("jax_default_matmul_precision", "highest")
    return make_model(
        read_config(folder(name)),
        dtype=jnp.dtype("float32"),
        attention=CPUAttention(),
        stacked=stacked,
        mesh_shape=mesh_shape,
        kv_dtype=jnp.dtype(kv_dtype),
        room=room,
    )


def quantized_model(source: Path, wanted: str = "auto", **shape: Any) -> Model:
    """The network of a checkpoint folder, with what it says of quantization, or as wanted."""
    jax.config.update("jax_default_matmul_precision", "highest")
    config = read_config(source)
    stored = config.quantization.in_checkpoint(Checkpoint(source).names)
    return make_model(
        replace(config, quantization=quantized_on_load(stored, wanted)),
        dtype=jnp.dtype("float32"),
        attention=CPUAttention(),
        **({"stacked": False} | shape),
    )


def tiny_weights(name: str, model: Model, source: Path | None = None) -> Weights:
    """Its weights, on as many of the test process's devices as it is cut for."""
    mesh = make_mesh(model.mesh_shape, jax.devices())
    return load_weights(source or folder(name), model, mesh, lambda _: None)


@lru_cache(maxsize=3)  # each holds compiled steps, and a process can map only so many
def tiny_runner(
    name: str,
    *,
    page_tokens: int = 16,
    num_pages: int = 1024,
    stacked: bool = False,
    num_host_pages: int = 0,
    mesh_shape: MeshShape = ONE_DEVICE,
    kv_dtype: str = "float32",
    draft: str | None = None,
) -> JaxRunner:
    """One runner a process and shape; a step is compiled when first used.

    `draft` is the checkpoint that guesses for it.
    """
    model = tiny_model(name, stacked=stacked, mesh_shape=mesh_shape, kv_dtype=kv_dtype)
    return runner_of(
        model,
        folder(name),
        page_tokens=page_tokens,
        num_pages=num_pages,
        num_host_pages=num_host_pages,
        draft=None if draft is None else folder(draft),
    )


def runner_of(
    model: Model,
    source: Path,
    *,
    page_tokens: int = 16,
    num_pages: int = 1024,
    num_host_pages: int = 0,
    draft: Path | None = None,
) -> JaxRunner:
    """A runner of a model with the weights of a folder."""
    mesh = make_mesh(model.mesh_shape, jax.devices())
    weights = load_weights(source, model, mesh, lambda _: None)
    is_recurrent = model.config.linear is not None
    limits = Limits(
        num_pages,
        page_tokens,
        _MAX_ROWS,
        _STEP_TOKENS,
        512,
        is_recurrent,
        num_host_pages,
        model.mesh_shape.data,
    )
    history = make_history(model, mesh, limits)
    rows = make_rows(mesh, _MAX_ROWS, -(-512 // page_tokens), model.config.vocab_size)
    layouts = tuple(StepLayout(bucket, page_tokens, _MAX_ROWS) for bucket in _BUCKETS)
    programs = Programs(model, layouts, num_pages, (weights, history, rows))
    drafter = None
    if draft is not None:
        guessing = quantized_model(draft, mesh_shape=model.mesh_shape)
        drafter = Drafter(
            guessing,
            layouts,
            limits,
            load_weights(draft, guessing, mesh, lambda _: None),
            make_history(guessing, mesh, limits),
            rows,
            vocab_size=model.config.vocab_size,
        )
    return JaxRunner(limits, programs, weights, history, rows, drafter)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """In float64, over the last axis."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))
