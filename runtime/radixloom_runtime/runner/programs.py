"""Everything that is compiled: one step per bucket, and small helpers for larger changes.

All are compiled ahead of time, from shapes, and then called directly: after that, nothing can
compile by surprise. With warm-up off, a step is compiled when it is first needed.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from radixloom_runtime.models.history import History
from radixloom_runtime.models.registry import Model, Weights
from radixloom_runtime.runner.buckets import Bucket, ladder
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
    write_masks,
)
from radixloom_runtime.runner.step import run_step
from radixloom_runtime.runner.step_input import StepLayout

CHANGE_STARTS = 64
CHANGE_GRANTS = 1024
"""Lines of changes that one extra call takes."""
MASK_GROWTH = 4
"""From one number of masks that are written together to the next."""

Compiled = Callable[..., Any]
Key = TypeVar("Key")


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
        self._shapes = shapes_of(example)
        self._mesh: Mesh = self._shapes[1].pages.sharding.mesh
        self._steps: dict[Bucket, Compiled] = {}
        most_rows = max(bucket.rows for bucket in self.layouts)
        self._mask_sizes = ladder(1, most_rows, MASK_GROWTH)
        self._write_masks: dict[int, Compiled] = {}

    @cached_property
    def apply_changes(self) -> Compiled:
        """Change many rows of all groups before a step."""
        return self._lower_change(apply_changes, self._shapes[2], _CHANGES).compile()

    @cached_property
    def write_dense(self) -> Compiled:
        """Write counts and biases of a row in each group."""
        vocabulary = self._shapes[2].vocabulary
        return self._lower_change(write_dense, vocabulary, *_DENSE).compile()

    def write_masks(self, count: int) -> tuple[Compiled, int]:
        """Replace the masks of `count` rows in each group; return also how many lines it takes."""
        num_lines = next(size for size in self._mask_sizes if size >= count)
        if num_lines not in self._write_masks:
            allowed = self._shapes[2].allowed
            rows = jax.ShapeDtypeStruct((num_lines,), jnp.int32)
            masks = jax.ShapeDtypeStruct((num_lines, allowed.shape[1]), jnp.int32)
            lowered = self._lower_change(write_masks, allowed, rows, masks)
            self._write_masks[num_lines] = lowered.compile()
        return self._write_masks[num_lines], num_lines

    def compile_all(self, threads: int) -> Iterator[int]:
        """Compile every step, yielding now and then how many are done."""
        self.compile_helpers()
        lower = {bucket: partial(self.lower_step, bucket) for bucket in self.layouts}
        yield from compile_in_threads(lower, self._steps, threads)

    def compile_helpers(self) -> None:
        """Compile what is not a step."""
        _ = self.apply_changes, self.write_dense
        for size in self._mask_sizes:
            self.write_masks(size)

    def step(self, bucket: Bucket) -> Compiled:
        """Return the step of a bucket; compiles it if that was not done before."""
        if bucket not in self._steps:
            self._steps[bucket] = self.lower_step(bucket).compile()
        return self._steps[bucket]

    def lower_step(self, bucket: Bucket) -> Any:
        """Trace the step of one bucket: one program, that runs on every device of the mesh."""
        layout = self.layouts[bucket]
        run = partial(run_step, self.model, layout, self._num_pages)
        name = f"step_{bucket.tokens}_{bucket.rows}"
        _, history, rows = self._shapes
        results = (specs_of(history), specs_of(rows), PartitionSpec())
        return lower_on_mesh(run, name, self._shapes, layout.size, results, donated=(1, 2))

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


def compile_in_threads(
    lower: Mapping[Key, Callable[[], Any]], compiled: dict[Key, Compiled], threads: int
) -> Iterator[int]:
    """Lower and compile each, yielding now and then how many are done.

    Tracing holds the interpreter, so it runs here; XLA compiles beside it in `threads`.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="compile") as executor:
        compiling: dict[Key, Future[Compiled]] = {}
        for key, trace in lower.items():
            compiling[key] = executor.submit(trace().compile)
            yield sum(future.done() for future in compiling.values())
        for key, future in compiling.items():
            compiled[key] = future.result()
            yield len(compiled)


def lower_on_mesh(
    run: Callable[..., Any],
    name: str,
    shapes: tuple[Any, Any, Any],
    vector_size: int,
    results: Any,
    *,
    donated: tuple[int, ...],
) -> Any:
    """Trace `run(weights, history, rows, vectors)` as one program on every device of the mesh.

    `shapes` are those of its first three arguments, `results` how what it returns lies on the
    mesh, and `name` what profiles show. Each group has a vector of its own.
    """
    mesh: Mesh = shapes[1].pages.sharding.mesh
    own = of_groups(mesh, 0)

    def program(weights: Weights, history: History, rows: RowState, vectors: jax.Array) -> Any:
        return run(weights, history, rows, vectors)

    program.__name__ = name
    on_each = jax.shard_map(
        program,
        mesh=mesh,
        in_specs=(*map(specs_of, shapes), own.spec),
        out_specs=results,
        check_vma=False,  # it cannot see that what all devices sample is the same
    )
    size = (shape_of(mesh).data, vector_size)
    vectors = jax.ShapeDtypeStruct(size, jnp.int32, sharding=own)
    options = compiler_options(mesh.devices.flat[0])
    jitted = jax.jit(on_each, donate_argnums=donated, compiler_options=options)
    return jitted.lower(*shapes, vectors)


def shapes_of(arrays: Any) -> Any:
    """Return the shapes of arrays, and where on the mesh they lie."""
    return jax.tree.map(_shape, arrays)


def specs_of(shapes: Any) -> Any:
    """Return how arrays of these shapes lie on the mesh."""
    return jax.tree.map(_spec, shapes)


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
