"""The steps of `build.build_runner` that need jax."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import structlog
from jax.sharding import Mesh

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.formats.on_load import quantized_on_load
from radixloom_runtime.formats.scheme import Quantization
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.forms import made_dense
from radixloom_runtime.models.registry import Model, Weights, make_model, read_config
from radixloom_runtime.ops.attention_choice import attention_for
from radixloom_runtime.runner import compile_cache
from radixloom_runtime.runner.buckets import all_buckets
from radixloom_runtime.runner.build import BuiltRunner, Phases
from radixloom_runtime.runner.checkpoint import Checkpoint
from radixloom_runtime.runner.distributed import check_mesh, join_processes, least_of_hosts
from radixloom_runtime.runner.history import make_history, recurrent_bytes
from radixloom_runtime.runner.kv_dtype import check_pages, check_scales, kv_dtype, page_tokens
from radixloom_runtime.runner.memory import (
    Device,
    available_host_bytes,
    check_host_cache,
    check_room,
    free_for_kv,
    plan_host_pages,
    plan_kv,
    plan_rows,
)
from radixloom_runtime.runner.mesh import make_mesh, possible_shapes, use_cpu_devices
from radixloom_runtime.runner.programs import Programs
from radixloom_runtime.runner.rows import make_rows
from radixloom_runtime.runner.runner import JaxRunner
from radixloom_runtime.runner.step_input import StepLayout
from radixloom_runtime.runner.weights import load_weights, num_bytes
from radixloom_runtime.settings import Dtype, RuntimeSettings
from radixloom_runtime.wire.messages import Ready
from radixloom_runtime.wire.plan import Limits, StepPlan

_log = structlog.get_logger()


def assemble(settings: RuntimeSettings, phases: Phases) -> BuiltRunner:
    """Load, allocate, compile, and run one empty step."""
    folder = settings.model
    if folder is None:
        raise ConfigurationError("no model: set --model to a checkpoint folder")
    compile_cache.use_cache(settings.compile_cache_dir)
    counter = compile_cache.CompileCounter()
    join_processes(settings)
    use_cpu_devices(settings.cpu_devices)
    devices = jax.devices()
    config = read_config(folder)
    check_possible(settings, config)
    checkpoint = Checkpoint(folder)
    check_scales(settings, checkpoint)
    stored = config.quantization.in_checkpoint(checkpoint.names)
    model = define_model(settings, replace(config, quantization=stored), devices)
    mesh = make_mesh(model.mesh_shape, devices)
    check_mesh(mesh, devices)
    _log.info("mesh", device=devices[0].device_kind, **asdict(model.mesh_shape))
    _tell_quantization(model, stored)
    check_model_room(settings, model, mesh.local_devices)
    phases.begin("weights", num_bytes(model, mesh), "bytes")
    weights = load_weights(folder, model, mesh, phases.advance)
    limits = least_of_hosts(decide_limits(settings, model, mesh.local_devices))
    if model.config.turns_by_length:
        config = replace(model.config, max_positions=limits.max_model_len, quantization=stored)
        model = define_model(settings, config, devices)
    runner, programs = _allocate(limits, model, mesh, weights)
    hits_before = counter.cache_hits
    phases.begin("compile", len(programs.layouts), "buckets")
    if settings.warmup:
        for done in programs.compile_all(threads=_num_cpus()):
            phases.advance(done)
    else:
        programs.compile_helpers()
    runner.finish(runner.start(StepPlan(0, (), (), ())))
    phases.end()
    counter.mark_warm()
    ready = Ready(
        max_model_len=limits.max_model_len,
        vocab_size=model.config.vocab_size,
        kv_cache_tokens=limits.num_groups * limits.num_pages * limits.page_tokens,
        page_tokens=limits.page_tokens,
        max_running_requests=limits.num_groups * limits.max_rows,
        dtype=jnp.dtype(model.dtype).name,
        kv_cache_dtype=jnp.dtype(model.kv_dtype).name,
        device=devices[0].device_kind,
        start_seconds=phases.seconds,
        compile_cache_hits=counter.cache_hits - hits_before,
        num_buckets=len(programs.layouts),
    )
    return BuiltRunner(runner, ready, lambda: counter.after_warmup)


def _tell_quantization(model: Model, stored: Quantization) -> None:
    """Log how matrices are kept, and which quantized ones are made dense."""
    kept = sorted({spec.form.dtype for spec in model.specs if spec.form is not None})
    dense = made_dense(model.specs, stored)
    if kept or dense:
        _log.info("quantization", checkpoint=stored.method, kept_as=kept, made_dense=dense)


def define_model(settings: RuntimeSettings, config: ModelConfig, devices: Sequence[Any]) -> Model:
    """Choose number format, kernel, form of the layers and mesh by the devices; allocates nothing.

    Raises: `ConfigurationError` if the model cannot be cut as the settings want.
    """
    on_cpu = devices[0].platform == "cpu"
    wanted = settings.dtype
    if wanted is Dtype.AUTO:
        wanted = Dtype.FLOAT32 if on_cpu else Dtype.BFLOAT16
    if wanted is Dtype.FLOAT32:  # else TPUs and GPUs multiply float32 in less
        jax.config.update("jax_default_matmul_precision", "highest")
    quantization = quantized_on_load(config.quantization, settings.quantization)
    platform, dtype = devices[0].platform, jnp.dtype(wanted.value)
    attention, held = attention_for(platform), kv_dtype(settings, dtype)
    check_pages(attention, page_tokens(settings, platform), held)
    make = partial(
        make_model,
        replace(config, quantization=quantization),
        dtype=dtype,
        attention=attention,
        stacked=not on_cpu,
        kv_dtype=held,
    )
    *preferred, last = possible_shapes(settings, devices)
    for shape in preferred:
        with suppress(ConfigurationError):
            return make(mesh_shape=shape)
    return make(mesh_shape=last)


def check_possible(settings: RuntimeSettings, config: ModelConfig) -> None:
    """Refuse what this kind of model or host cannot do, before anything is loaded.

    Raises: `CapacityError`, `ConfigurationError`.
    """
    is_recurrent = config.linear is not None
    available = available_host_bytes()
    check_host_cache(settings, is_recurrent=is_recurrent, available_bytes=available)
    if is_recurrent and settings.speculation is not None:
        raise ConfigurationError(
            f"--speculation {settings.speculation} is not possible with this model: it keeps a"
            " recurrent state, from which no wrong guess can be taken back; leave it out"
        )


def check_model_room(settings: RuntimeSettings, model: Model, devices: Sequence[Device]) -> None:
    """Refuse a model that cannot fit, before anything is loaded. Raises: `CapacityError`."""
    check_room(
        settings,
        devices,
        weights_bytes=model.device_bytes,
        token_bytes=model.token_bytes,
        num_devices=model.mesh_shape.num_devices,
    )


def decide_limits(settings: RuntimeSettings, model: Model, devices: Sequence[Device]) -> Limits:
    """Decide what the settings leave open, by devices and memory. Raises: `CapacityError`."""
    platform = devices[0].platform
    on_cpu = platform == "cpu"
    free_bytes, default_tokens = free_for_kv(devices, settings.memory_fraction)
    max_rows = plan_rows(
        settings,
        row_bytes=recurrent_bytes(model, max_rows=0),
        free_bytes=free_bytes,
        default_rows=64 if on_cpu else 256,
    )
    kv = plan_kv(
        settings,
        model.config,
        page_tokens=page_tokens(settings, platform),
        token_bytes=model.token_bytes,
        free_bytes=free_bytes - recurrent_bytes(model, max_rows),
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
            page_bytes=kv.page_bytes * model.kv_parts * model.mesh_shape.data,
            available_bytes=available_host_bytes(),
        ),
        num_groups=model.mesh_shape.data,
    )


def _allocate(
    limits: Limits, model: Model, mesh: Mesh, weights: Weights
) -> tuple[JaxRunner, Programs]:
    """Make the state that lives on the devices, and what will be compiled for it."""
    history = make_history(model, mesh, limits)
    rows = make_rows(mesh, limits.max_rows, table_pages(limits), model.config.vocab_size)
    programs = Programs(model, step_layouts(limits), limits.num_pages, (weights, history, rows))
    return JaxRunner(limits, programs, weights, history, rows), programs


def table_pages(limits: Limits) -> int:
    """Return how many pages the longest request has."""
    return -(-limits.max_model_len // limits.page_tokens)


def step_layouts(limits: Limits) -> tuple[StepLayout, ...]:
    """List the steps that are compiled: one layout per bucket."""
    buckets = all_buckets(max_rows=limits.max_rows, step_tokens=limits.step_tokens)
    return tuple(StepLayout(b, limits.page_tokens, limits.max_rows) for b in buckets)


def _num_cpus() -> int:
    return len(os.sched_getaffinity(0))
