"""From settings to compiled steps, with shapes in the place of arrays."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from radixloom_runtime.errors import CapacityError
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.registry import Model
from radixloom_runtime.runner.ahead.findings import Findings, StepFindings, Traffic
from radixloom_runtime.runner.ahead.hlo import Collective, collectives
from radixloom_runtime.runner.ahead.target import Target
from radixloom_runtime.runner.assemble import (
    check_model_room,
    decide_limits,
    define_model,
    room_of,
    step_layouts,
    table_pages,
)
from radixloom_runtime.runner.buckets import Bucket
from radixloom_runtime.runner.distributed import check_mesh
from radixloom_runtime.runner.history import history_shapes, make_history
from radixloom_runtime.runner.mesh import make_mesh
from radixloom_runtime.runner.programs import Compiled, Programs
from radixloom_runtime.runner.rows import make_rows, row_shapes
from radixloom_runtime.runner.weights import weight_shapes
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.wire.plan import Limits


@dataclass(frozen=True, slots=True)
class Draft:
    """A model on a slice before anything is compiled: it fits by arithmetic."""

    model: Model
    limits: Limits
    mesh: Mesh
    programs: Programs
    findings: Findings

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """All that the engine compiles before it is ready."""
        return tuple(self.programs.layouts)

    def allocate(self) -> None:
        """Make once what the engine makes before its first step, and let it go."""
        make_history(self.model, self.mesh, self.limits)
        vocab_size = self.model.config.vocab_size
        make_rows(self.mesh, self.limits.max_rows, table_pages(self.limits), vocab_size)


def draft(settings: RuntimeSettings, config: ModelConfig, target: Target) -> Draft:
    """Decide what the engine would decide on `target`; compiles nothing.

    Raises: `CapacityError` if weights and a KV cache do not fit, `ConfigurationError` for devices
    that the model cannot be shared out to.
    """
    room = room_of(settings)
    model = define_model(settings, config, target.devices, room=room)
    mesh = make_mesh(model.mesh_shape, target.devices)
    check_mesh(mesh, target.devices)
    check_model_room(settings, [model], [target] * model.mesh_shape.num_devices)
    loaded = replace(target, bytes_in_use=model.device_bytes)
    limits = decide_limits(settings, [model], [loaded] * model.mesh_shape.num_devices)
    if model.config.turns_by_length:
        config = replace(config, max_positions=limits.max_model_len)
        model = define_model(settings, config, target.devices, room=room)
    weights, history = weight_shapes(model, mesh), history_shapes(model, mesh, limits)
    rows = row_shapes(mesh, limits.max_rows, table_pages(limits), model.config.vocab_size)
    programs = Programs(model, step_layouts(limits), limits.num_pages, (weights, history, rows))
    return Draft(model, limits, mesh, programs, _findings(model, limits, target, history))


def compile_steps(
    plan: Draft, buckets: Iterable[Bucket], *, threads: int, done: Callable[[StepFindings], None]
) -> Findings:
    """Compile these steps, calling `done` with each in turn, and return all that was found.

    Raises: `CapacityError` with the compiler's words if a step does not fit in memory.
    """
    steps: list[StepFindings] = []
    with ThreadPoolExecutor(threads, thread_name_prefix="compile") as executor:
        started = [
            (bucket, seconds, executor.submit(_compile, lowered))
            for bucket, seconds, lowered in _lowered(plan, buckets)
        ]
        for bucket, lower_seconds, future in started:
            compiled, compile_seconds = _result(bucket, future.result)
            found = _step_findings(plan, bucket, compiled)
            found = replace(found, lower_seconds=lower_seconds, compile_seconds=compile_seconds)
            steps.append(found)
            done(found)
    return replace(plan.findings, steps=tuple(steps))


def _lowered(plan: Draft, buckets: Iterable[Bucket]) -> Iterator[tuple[Bucket, float, Any]]:
    for bucket in buckets:
        start = time.monotonic()
        # Pallas asks the mesh, not the process's backend, what it is lowered for.
        with jax.sharding.use_abstract_mesh(plan.mesh.abstract_mesh):
            lowered = plan.programs.lower_step(bucket)
        yield bucket, time.monotonic() - start, lowered


def _compile(lowered: Any) -> tuple[Compiled, float]:
    start = time.monotonic()
    return lowered.compile(), time.monotonic() - start


def _result(bucket: Bucket, result: Callable[[], tuple[Compiled, float]]) -> tuple[Compiled, float]:
    try:
        return result()
    except jax.errors.JaxRuntimeError as error:
        first = str(error).splitlines()[0]
        if "RESOURCE_EXHAUSTED" not in first:
            raise
        kind = "mixed" if bucket.mixed else "decode"
        raise CapacityError(
            f"the {kind} step of {bucket.tokens} tokens does not fit:"
            f" {first.removeprefix('RESOURCE_EXHAUSTED: ')} Lower memory_fraction,"
            " max_running_requests or step_tokens, or take a larger slice"
        ) from error


def _findings(model: Model, limits: Limits, target: Target, history: Any) -> Findings:
    return Findings(
        architecture=model.config.architecture,
        dtype=jnp.dtype(model.dtype).name,
        kv_dtype=jnp.dtype(model.kv_dtype).name,
        target=target.summary,
        num_devices=len(target.devices),
        devices_per_chip=target.devices_per_chip,
        used_devices=model.mesh_shape.num_devices,
        num_groups=limits.num_groups,
        hbm_bytes=target.hbm_bytes,
        weights_bytes=model.device_bytes,
        kv_bytes=sum(_shard_bytes(array) for array in jax.tree.leaves(history)),
        kv_tokens=limits.num_pages * limits.page_tokens,
        page_tokens=limits.page_tokens,
        max_model_len=limits.max_model_len,
        max_rows=limits.max_rows,
        step_tokens=limits.step_tokens,
    )


def _step_findings(plan: Draft, bucket: Bucket, compiled: Any) -> StepFindings:
    memory = compiled.memory_analysis()
    found = collectives(compiled.as_text())
    return StepFindings(
        tokens=bucket.tokens,
        rows=bucket.rows,
        mixed=bucket.mixed,
        arguments_bytes=memory.argument_size_in_bytes,
        temporaries_bytes=memory.temp_size_in_bytes,
        code_bytes=memory.generated_code_size_in_bytes,
        results_bytes=memory.output_size_in_bytes - memory.alias_size_in_bytes,
        traffic=_traffic(found),
        weight_gathers=tuple(
            sorted(c for c in found if _is_weight(plan.model, c, tokens=bucket.tokens))
        ),
        lower_seconds=0.0,
        compile_seconds=0.0,
    )


def _traffic(found: Counter[Collective]) -> tuple[Traffic, ...]:
    kinds = sorted({collective.kind for collective in found})
    return tuple(
        Traffic(
            kind,
            sum(n for c, n in found.items() if c.kind == kind),
            sum(n * c.num_bytes for c, n in found.items() if c.kind == kind),
        )
        for kind in kinds
    )


def _is_weight(model: Model, collective: Collective, *, tokens: int) -> bool:
    """Whether what is gathered has as many numbers as a weight, or as one layer's part of it.

    All groups' `tokens` of a step, gathered for the experts, may have as many by chance.
    """
    everyones = (model.mesh_shape.data * tokens, model.config.embed_dim)
    if collective.kind not in ("all-gather", "all-to-all") or collective.shape == everyones:
        return False
    sizes: set[int] = set()
    for spec in model.specs:
        size = int(np.prod(spec.shape, dtype=np.int64))
        sizes |= {size, size // max(1, len(spec.layers))}
    return collective.num_elements in sizes


def _shard_bytes(shape: Any) -> int:
    local = shape.sharding.shard_shape(shape.shape)
    return int(np.prod(local, dtype=np.int64)) * shape.dtype.itemsize
