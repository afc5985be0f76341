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
from jax.sharding import Mesh, PartitionSpec

from radixloom_runtime.models.history import History
from radixloom_runtime.models.registry import Model, Weights
from radixloom_runtime.runner.buckets import Bucket
from radixloom_runtime.runner.compiler_options import compiler_options
from radixloom_runtime.runner.mesh import of_groups, shape_of
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
        """Change many rows of all groups before a step."""
        return self._lower_change(apply_changes, self._shapes[2], _CHANGES).compile()

    @cached_property
    def write_dense(self) -> Compiled:
        """Write counts and biases of a row in each group."""
        vocabulary = self._shapes[2].vocabulary
        return self._lower_change(write_dense, vocabulary, *_DENSE).compile()

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

        def step(weights: Weights, history: History, rows: RowState, vectors: jax.Array) -> Any:
            return run_step(self.model, layout, self._num_pages, weights, history, rows, vectors)

        step.__name__ = f"step_{bucket.tokens}_{bucket.rows}"  # as profiles show it
        own = of_groups(self._mesh, 0)
        weights, history, rows = jax.tree.map(_spec, self._shapes)
        on_each = jax.shard_map(
            step,
            mesh=self._mesh,
            in_specs=(weights, history, rows, own.spec),
            out_specs=(history, rows, PartitionSpec()),
            check_vma=False,  # it cannot see that what all devices sample is the same
        )
        size = (self.num_groups, layout.size)
        vectors = jax.ShapeDtypeStruct(size, jnp.int32, sharding=own)
        options = compiler_options(self._mesh.devices.flat[0])
        step_on_each = jax.jit(on_each, donate_argnums=(1, 2), compiler_options=options)
        return step_on_each.lower(*self._shapes, vectors)

    @property
    def num_groups(self) -> int:
        """Copies of the attention."""
        return shape_of(self._mesh).data

    def _lower_change(self, change: Callable[..., Any], state: Any, *lines: Any) -> Any:
        """Trace a change of each group's state, in place, by `lines` of shapes and dtypes."""
        own, spec = of_groups(self._mesh, 0), jax.tree.map(_spec, state)

        def on_group(state: Any, *changes: Any) -> Any:
            return change(state, *jax.tree.map(_first, changes))

        def stacked(shape: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            whole = (self.num_groups, *shape.shape)
            return jax.ShapeDtypeStruct(whole, shape.dtype, sharding=own)

        on_each = jax.shard_map(
            on_group,
            mesh=self._mesh,
            in_specs=(spec, *(own.spec for _ in lines)),
            out_specs=spec,
            check_vma=False,
        )
        return jax.jit(on_each, donate_argnums=0).lower(state, *jax.tree.map(stacked, lines))


_CHANGES = Changes(
    jax.ShapeDtypeStruct((CHANGE_STARTS, START_WIDTH), jnp.int32),  # pyright: ignore[reportArgumentType] - shapes stand for arrays
    jax.ShapeDtypeStruct((CHANGE_GRANTS, GRANT_WIDTH), jnp.int32),  # pyright: ignore[reportArgumentType] - shapes stand for arrays
)
_DENSE = (
    jax.ShapeDtypeStruct((), jnp.int32),
    jax.ShapeDtypeStruct((), jnp.int32),
    jax.ShapeDtypeStruct((DENSE_IDS,), jnp.int32),
    jax.ShapeDtypeStruct((DENSE_IDS,), jnp.int32),
    jax.ShapeDtypeStruct((DENSE_IDS,), jnp.float32),
)


def _shape(array: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def _first(array: jax.Array) -> jax.Array:
    return array[0]


def _spec(shape: Any) -> PartitionSpec:
    return shape.sharding.spec
