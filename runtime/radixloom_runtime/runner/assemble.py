"""The steps of `build.build_runner` that need jax."""

import os
from dataclasses import replace

import jax
import jax.numpy as jnp

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.registry import Model, Weights, make_model, read_config
from radixloom_runtime.ops.attention_choice import attention_for
from radixloom_runtime.runner import compile_cache
from radixloom_runtime.runner.buckets import all_buckets
from radixloom_runtime.runner.build import BuiltRunner, Phases
from radixloom_runtime.runner.history import make_history, recurrent_bytes
from radixloom_runtime.runner.memory import (
    Device,
    available_host_bytes,
    check_room,
    free_for_kv,
    plan_host_pages,
    plan_kv,
    plan_rows,
)
from radixloom_runtime.runner.programs import Programs
from radixloom_runtime.runner.rows import RowState, initial_state
from radixloom_runtime.runner.runner import JaxRunner
from radixloom_runtime.runner.step_input import StepLayout
from radixloom_runtime.runner.weights import load_weights
from radixloom_runtime.settings import Dtype, RuntimeSettings
from radixloom_runtime.wire.messages import Ready
from radixloom_runtime.wire.plan import Limits, StepPlan


def assemble(settings: RuntimeSettings, phases: Phases) -> BuiltRunner:
    """Load, allocate, compile, and run one empty step."""
    folder = settings.model
    if folder is None:
        raise ConfigurationError("no model: set --model to a checkpoint folder")
    compile_cache.use_cache(settings.compile_cache_dir)
    counter = compile_cache.CompileCounter()
    device: Device = jax.local_devices()[0]
    model = define_model(settings, read_config(folder), device)
    check_model_room(settings, model, device)
    phases.begin("weights", model.num_bytes, "bytes")
    weights = load_weights(folder, model, phases.advance)
    limits = decide_limits(settings, model, device)
    if model.config.turns_by_length:
        config = replace(model.config, max_positions=limits.max_model_len)
        model = define_model(settings, config, device)
    runner, programs = _allocate(limits, model, weights)
    hits_before = counter.cache_hits
    phases.begin("compile", len(programs.layouts), "buckets")
    if settings.warmup:
        for done in programs.compile_all(threads=_num_cpus()):
            phases.advance(done)
    runner.finish(runner.start(StepPlan(0, (), (), ())))
    phases.end()
    counter.mark_warm()
    ready = Ready(
        max_model_len=limits.max_model_len,
        vocab_size=model.config.vocab_size,
        kv_cache_tokens=limits.num_pages * limits.page_tokens,
        page_tokens=limits.page_tokens,
        max_running_requests=limits.max_rows,
        dtype=jnp.dtype(model.dtype).name,
        device=device.device_kind,
        start_seconds=phases.seconds,
        compile_cache_hits=counter.cache_hits - hits_before,
        num_buckets=len(programs.layouts),
    )
    return BuiltRunner(runner, ready, lambda: counter.after_warmup)


def define_model(settings: RuntimeSettings, config: ModelConfig, device: Device) -> Model:
    """Choose number format, kernel and form of the layers by the device; allocates nothing."""
    on_cpu = device.platform == "cpu"
    wanted = settings.dtype
    if wanted is Dtype.AUTO:
        wanted = Dtype.FLOAT32 if on_cpu else Dtype.BFLOAT16
    if wanted is Dtype.FLOAT32:  # else TPUs and GPUs multiply float32 in less
        jax.config.update("jax_default_matmul_precision", "highest")
    return make_model(
        config,
        dtype=jnp.dtype(wanted.value),
        attention=attention_for(device.platform),
        stacked=not on_cpu,
    )


def check_model_room(settings: RuntimeSettings, model: Model, device: Device) -> None:
    """Refuse a model that cannot fit, before anything is loaded. Raises: `CapacityError`."""
    itemsize = jnp.dtype(model.dtype).itemsize
    check_room(
        settings,
        device,
        weights_bytes=model.num_bytes,
        token_bytes=model.config.num_paged_layers * model.config.kv_width * itemsize,
        num_devices=1,
    )


def decide_limits(settings: RuntimeSettings, model: Model, device: Device) -> Limits:
    """Decide what the settings leave open, by device and memory.

    Raises: `CapacityError`.
    """
    on_cpu = device.platform == "cpu"
    free_bytes, default_tokens = free_for_kv(device, settings.memory_fraction)
    max_rows = plan_rows(
        settings,
        row_bytes=recurrent_bytes(model.config, model.dtype, max_rows=0),
        free_bytes=free_bytes,
        default_rows=64 if on_cpu else 256,
    )
    kv = plan_kv(
        settings,
        model.config,
        page_tokens=settings.page_tokens or (64 if device.platform == "tpu" else 16),
        kv_itemsize=jnp.dtype(model.dtype).itemsize,
        free_bytes=free_bytes - recurrent_bytes(model.config, model.dtype, max_rows),
        default_tokens=default_tokens,
    )
    return Limits(
        num_pages=kv.num_pages,
        page_tokens=kv.page_tokens,
        max_rows=max_rows,
        step_tokens=settings.step_tokens or (256 if on_cpu else 2048),
        max_model_len=kv.max_model_len,
        is_recurrent=model.config.linear is not None,
        num_host_pages=plan_host_pages(
            settings,
            page_bytes=kv.page_bytes,
            available_bytes=available_host_bytes(),
            is_recurrent=model.config.linear is not None,
        ),
    )


def _allocate(limits: Limits, model: Model, weights: Weights) -> tuple[JaxRunner, Programs]:
    """Make the state that lives on the device, and what will be compiled for it."""
    history = make_history(model, limits)
    rows = make_rows(limits, model)
    programs = Programs(model, step_layouts(limits), limits.num_pages, (weights, history, rows))
    return JaxRunner(limits, programs, weights, history, rows), programs


def make_rows(limits: Limits, model: Model) -> RowState:
    """Make what the device keeps for each row."""
    table_pages = -(-limits.max_model_len // limits.page_tokens)
    return initial_state(limits.max_rows, table_pages, model.config.vocab_size)


def step_layouts(limits: Limits) -> tuple[StepLayout, ...]:
    """List the steps that are compiled: one layout per bucket."""
    buckets = all_buckets(max_rows=limits.max_rows, step_tokens=limits.step_tokens)
    return tuple(StepLayout(b, limits.page_tokens, limits.max_rows) for b in buckets)


def _num_cpus() -> int:
    return len(os.sched_getaffinity(0))
