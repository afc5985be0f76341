"""Everything that is compiled: one step per bucket, and two small helpers for larger changes.

All are compiled ahead of time, from shapes, and then called directly: after that, nothing can
compile by surprise. With warm-up off, a step is compiled when it is first needed.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from radixloom_runtime.models.history import History
from radixloom_runtime.models.registry import Model, Weights
from radixloom_runtime.runner.buckets import Bucket
from radixloom_runtime.runner.mesh import replicated
from radixloom_runtime.runner.rows import (
    DENSE_IDS,
    GRANT_WIDTH,
    START_WIDTH,
    Changes,
    RowState,
    apply_changes,
    write_dense,
)
from radixloom_runtime.runner.step import run_step
from radixloom_runtime.runner.step_input import StepLayout

CHANGE_STARTS = 64
CHANGE_GRANTS = 1024
"""Lines of changes that one extra call takes."""

Compiled = Callable[..., Any]


class Programs:
    """The compiled functions of a runner."""

    def __init__(
        self,
        model: Model,
        layouts: tuple[StepLayout, ...],
        num_pages: int,
        example: tuple[Weights, History, RowState],
    ) -> None:
        """Nothing is compiled yet; `example` gives shapes, and where on the mesh they lie.

        They are arrays, or what stands for them.
        """
        self.layouts = {layout.bucket: layout for layout in layouts}
        self.model = model
        self._num_pages = num_pages
        self._shapes = jax.tree.map(_shape, example)
        self._mesh: Mesh = self._shapes[1].pages.sharding.mesh
        self._steps: dict[Bucket, Compiled] = {}

    @cached_property
    def apply_changes(self) -> Compiled:
        """Change many rows before a step."""
        return _lower_changes(self._shapes[2]).compile()

    @cached_property
    def write_dense(self) -> Compiled:
        """Write counts and biases of a row."""
        return _lower_dense(self._shapes[2]).compile()

    def compile_all(self, threads: int) -> Iterator[int]:
        """Compile every step, yielding now and then how many are done.

        Tracing holds the interpreter, so it runs here; XLA compiles beside it in `threads`.
        """
        self.compile_helpers()
        with ThreadPoolExecutor(threads, thread_name_prefix="compile") as executor:
            compiling: dict[Bucket, Future[Compiled]] = {}
            for bucket in self.layouts:
                compiling[bucket] = executor.submit(self.lower_step(bucket).compile)
                yield sum(future.done() for future in compiling.values())
            for bucket, future in compiling.items():
                self._steps[bucket] = future.result()
                yield len(self._steps)

    def compile_helpers(self) -> None:
        """Compile what is not a step."""
        _ = self.apply_changes, self.write_dense

    def step(self, bucket: Bucket) -> Compiled:
        """Return the step of a bucket; compiles it if that was not done before."""
        if bucket not in self._steps:
            self._steps[bucket] = self.lower_step(bucket).compile()
        return self._steps[bucket]

    def lower_step(self, bucket: Bucket) -> Any:
        """Trace the step of one bucket: one program, that runs on every device of the mesh."""
        layout = self.layouts[bucket]

        def step(weights: Weights, history: History, rows: RowState, vector: jax.Array) -> Any:
            return run_step(self.model, layout, self._num_pages, weights, history, rows, vector)

        step.__name__ = f"step_{bucket.tokens}_{bucket.rows}"  # as profiles show it
        whole = PartitionSpec()
        weights, history, rows = jax.tree.map(_spec, self._shapes)
        on_each = jax.shard_map(
            step,
            mesh=self._mesh,
            in_specs=(weights, history, rows, whole),
            out_specs=(history, rows, whole),
            check_vma=False,  # it cannot see that what all devices sample is the same
        )
        vector = jax.ShapeDtypeStruct((layout.size,), jnp.int32, sharding=replicated(self._mesh))
        return jax.jit(on_each, donate_argnums=(1, 2)).lower(*self._shapes, vector)


def _lower_changes(rows: Any) -> Any:
    changes = Changes(
        jax.ShapeDtypeStruct((CHANGE_STARTS, START_WIDTH), jnp.int32),  # pyright: ignore[reportArgumentType] - shapes stand for arrays
        jax.ShapeDtypeStruct((CHANGE_GRANTS, GRANT_WIDTH), jnp.int32),  # pyright: ignore[reportArgumentType] - shapes stand for arrays
    )
    lowering = jax.jit(apply_changes, donate_argnums=0, out_shardings=jax.tree.map(_sharding, rows))
    return lowering.lower(rows, changes)


def _lower_dense(rows: Any) -> Any:
    scalar = jax.ShapeDtypeStruct((), jnp.int32)
    ids = jax.ShapeDtypeStruct((DENSE_IDS,), jnp.int32)
    biases = jax.ShapeDtypeStruct((DENSE_IDS,), jnp.float32)
    out = jax.tree.map(_sharding, rows.vocabulary)
    lowering = jax.jit(write_dense, donate_argnums=0, out_shardings=out)
    return lowering.lower(rows.vocabulary, scalar, scalar, ids, ids, biases)


def _shape(array: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def _sharding(shape: Any) -> NamedSharding:
    return shape.sharding


def _spec(shape: Any) -> PartitionSpec:
    return shape.sharding.spec
