"""The steps of `build.build_runner` that need jax."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import structlog
from jax.sharding import Mesh

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.formats.on_load import quantized_on_load
from radixloom_runtime.formats.scheme import Quantization
from radixloom_runtime.models.adapters import AdapterRoom
from radixloom_runtime.models.bare import as_stored
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.forms import made_dense
from radixloom_runtime.models.registry import Model, Weights, make_model, read_config
from radixloom_runtime.models.sharding import MeshShape
from radixloom_runtime.ops.attention_choice import attention_for
from radixloom_runtime.runner import compile_cache
from radixloom_runtime.runner.buckets import all_buckets
from radixloom_runtime.runner.build import BuiltRunner, Phases
from radixloom_runtime.runner.checkpoint import Checkpoint
from radixloom_runtime.runner.distributed import check_mesh, join_processes, least_of_hosts
from radixloom_runtime.runner.draft_model import read_draft_config
from radixloom_runtime.runner.drafter import Drafter
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
from radixloom_runtime.runner.reload import Reload
from radixloom_runtime.runner.rows import make_rows
from radixloom_runtime.runner.runner import JaxRunner
from radixloom_runtime.runner.step_input import StepLayout
from radixloom_runtime.runner.weights import load_weights, num_bytes
from radixloom_runtime.settings import Dtype, RuntimeSettings
from radixloom_runtime.wire.messages import Ready
from radixloom_runtime.wire.plan import FREE_TOKENS, Limits, StepPlan

CPU_FREE_TOKENS = 1
"""`Limits.free_tokens` of a CPU: there, each token more takes its time."""

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
    target = _define(settings, folder, config, devices, room=room_of(settings))
    draft = _define_draft(settings, target, devices)
    parts = [target] if draft is None else [target, draft]
    model = target.model
    mesh = make_mesh(model.mesh_shape, devices)
    check_mesh(mesh, devices)
    _log.info("mesh", device=devices[0].device_kind, **asdict(model.mesh_shape))
    for part in parts:
        _tell_quantization(part)
    check_model_room(settings, [part.model for part in parts], mesh.local_devices)
    weights = _load(parts, mesh, phases)
    limits = decide_limits(settings, [part.model for part in parts], mesh.local_devices)
    limits = least_of_hosts(limits)
    models = [_of_length(settings, part, limits, devices) for part in parts]
    runner, programs, drafter = _allocate(limits, models, mesh, weights)
    hits_before = counter.cache_hits
    num_drafting = 0 if drafter is None else drafter.num_programs
    phases.begin("compile", len(programs.layouts) + num_drafting, "buckets")
    if settings.warmup:
        for done in programs.compile_all(threads=_num_cpus()):
            phases.advance(done)
        for done in () if drafter is None else drafter.compile_all(threads=_num_cpus()):
            phases.advance(len(programs.layouts) + done)
    else:
        programs.compile_helpers()
    reload = Reload(runner, config, models[0], mesh)
    _load_adapters(settings, reload)
    runner.finish(runner.start(StepPlan(0, (), (), ())))
    phases.end()
    counter.mark_warm()
    ready = Ready(
        max_model_len=limits.max_model_len,
        vocab_size=model.config.vocab_size,
        kv_cache_tokens=limits.num_groups * limits.num_pages * limits.page_tokens,
        page_tokens=limits.page_tokens,
        max_running_requests=limits.num_groups * limits.max_rows,
        embed_dim=model.config.embed_dim,
        has_head=model.config.has_head,
        dtype=jnp.dtype(model.dtype).name,
        kv_cache_dtype=jnp.dtype(model.kv_dtype).name,
        device=devices[0].device_kind,
        start_seconds=phases.seconds,
        compile_cache_hits=counter.cache_hits - hits_before,
        num_buckets=len(programs.layouts),
    )
    return BuiltRunner(runner, ready, lambda: counter.after_warmup, reload)


@dataclass(frozen=True, slots=True)
class _Part:
    """A checkpoint that takes part: the one that is served, or its draft model."""

    folder: Path
    stored: Quantization
    model: Model


def _define(
    settings: RuntimeSettings,
    folder: Path,
    config: ModelConfig,
    devices: Sequence[Any],
    mesh_shape: MeshShape | None = None,
    room: AdapterRoom | None = None,
) -> _Part:
    checkpoint = Checkpoint(folder)
    check_scales(settings, checkpoint)
    stored = config.quantization.in_checkpoint(checkpoint.names)
    config = as_stored(replace(config, quantization=stored), checkpoint.names)
    model = define_model(settings, config, devices, mesh_shape=mesh_shape, room=room)
    return _Part(folder, stored, model)


def _define_draft(settings: RuntimeSettings, target: _Part, devices: Sequence[Any]) -> _Part | None:
    folder = settings.draft_model
    if folder is None:
        return None
    config = read_draft_config(folder, target.folder, target.model.config)
    shape = target.model.mesh_shape
    try:
        return _define(settings, folder, config, devices, shape)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"--draft-model {folder} cannot be cut like the model: {error}; set tensor_parallel to"
            f" less than {shape.num_devices}, or take another draft model"
        ) from error


def _of_length(
    settings: RuntimeSettings, part: _Part, limits: Limits, devices: Sequence[Any]
) -> Model:
    """Define a model again whose positions turn by the longest request."""
    model = part.model
    if not model.config.turns_by_length:
        return model
    config = replace(model.config, max_positions=limits.max_model_len, quantization=part.stored)
    return define_model(settings, config, devices, mesh_shape=model.mesh_shape, room=model.room)


def _load(parts: Sequence[_Part], mesh: Mesh, phases: Phases) -> list[Weights]:
    phases.begin("weights", sum(num_bytes(part.model, mesh) for part in parts), "bytes")
    weights: list[Weights] = []
    loaded = 0

    def advance(done: int) -> None:
        phases.advance(loaded + done)

    for part in parts:
        weights.append(load_weights(part.folder, part.model, mesh, advance))
        loaded += num_bytes(part.model, mesh)
    return weights


def _tell_quantization(part: _Part) -> None:
    """Log how matrices are kept, and which quantized ones are made dense."""
    kept = sorted({spec.form.dtype for spec in part.model.specs if spec.form is not None})
    dense = made_dense(part.model.specs, part.stored)
    if kept or dense:
        _log.info("quantization", checkpoint=part.stored.method, kept_as=kept, made_dense=dense)


def room_of(settings: RuntimeSettings) -> AdapterRoom | None:
    """Return the room that is set aside for adapters of the model that is served."""
    count = settings.num_adapters
    return AdapterRoom(count, settings.max_lora_rank) if count else None


def _load_adapters(settings: RuntimeSettings, reload: Reload) -> None:
    """Load what the settings name, in the order of the slots. Raises: `ModelError`."""
    reload.warm_adapters()
    for slot, (name, folder) in enumerate(settings.adapters.items(), start=1):
        reload.load_adapter(slot, folder)
        _log.info("adapter", name=name, slot=slot)


def define_model(
    settings: RuntimeSettings,
    config: ModelConfig,
    devices: Sequence[Any],
    *,
    mesh_shape: MeshShape | None = None,
    room: AdapterRoom | None = None,
) -> Model:
    """Choose number format, kernel, form of the layers and mesh by the devices; allocates nothing.

    With `mesh_shape` the mesh is decided already.
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
        room=room,
    )
    shapes = possible_shapes(settings, devices) if mesh_shape is None else [mesh_shape]
    *preferred, last = shapes
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
    if settings.speculation is not None and 1 in (
        settings.max_running_requests,
        settings.step_tokens,
    ):
        raise ConfigurationError(
            f"--speculation {settings.speculation} verifies guesses in the places of requests that"
            f" are not there, but max_running_requests {settings.max_running_requests} and"
            f" step_tokens {settings.step_tokens} leave none; set both to 2 at least"
        )


def check_model_room(
    settings: RuntimeSettings, models: Sequence[Model], devices: Sequence[Device]
) -> None:
    """Refuse models that cannot fit, before anything is loaded. Raises: `CapacityError`."""
    check_room(
        settings,
        devices,
        weights_bytes=sum(model.device_bytes for model in models),
        token_bytes=sum(model.token_bytes for model in models),
        num_devices=models[0].mesh_shape.num_devices,
    )


def decide_limits(
    settings: RuntimeSettings, models: Sequence[Model], devices: Sequence[Device]
) -> Limits:
    """Decide what the settings leave open, by devices and memory; a page is one in each model.

    The first model is the one that is served, another its draft model. Raises: `CapacityError`.
    """
    model = models[0]
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
        token_bytes=sum(each.token_bytes for each in models),
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
            page_bytes=kv.page_tokens
            * sum(each.token_bytes * each.kv_parts for each in models)
            * model.mesh_shape.data,
            available_bytes=available_host_bytes(),
        ),
        num_groups=model.mesh_shape.data,
        free_tokens=CPU_FREE_TOKENS if on_cpu else FREE_TOKENS,
    )


def _allocate(
    limits: Limits, models: Sequence[Model], mesh: Mesh, weights: Sequence[Weights]
) -> tuple[JaxRunner, Programs, Drafter | None]:
    """Make the state that lives on the devices, and what will be compiled for it."""
    model, layouts = models[0], step_layouts(limits)
    history, *histories = (make_history(each, mesh, limits) for each in models)
    rows = make_rows(mesh, limits.max_rows, table_pages(limits), model.config.vocab_size)
    programs = Programs(model, layouts, limits.num_pages, (weights[0], history, rows))
    drafter = None
    if histories:
        drafter = Drafter(
            models[1],
            layouts,
            limits,
            weights[1],
            histories[0],
            rows,
            vocab_size=model.config.vocab_size,
        )
    return JaxRunner(limits, programs, weights[0], history, rows, drafter), programs, drafter


def table_pages(limits: Limits) -> int:
    """Return how many pages the longest request has."""
    return -(-limits.max_model_len // limits.page_tokens)


def step_layouts(limits: Limits) -> tuple[StepLayout, ...]:
    """List the steps that are compiled: one layout per bucket."""
    buckets = all_buckets(max_rows=limits.max_rows, step_tokens=limits.step_tokens)
    return tuple(StepLayout(b, limits.page_tokens, limits.max_rows) for b in buckets)


def _num_cpus() -> int:
    return len(os.sched_getaffinity(0))
