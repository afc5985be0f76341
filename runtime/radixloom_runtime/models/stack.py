"""Layers one after another: one traced body, run once per layer, in either of two ways.

    stacked    lax.scan over weights stacked [L, ...]: what TPUs and GPUs do well
    branched   a loop over the layer's index; each matrix product is a branch per layer

On CPU a scan copies every weight out of its stack before using it (1.3-1.6x slower decode), and
layers written out one by one take four to ten times as long to compile (and, at one row, XLA
copied the whole KV pool). Branches read each weight where it lies and compile like the scan.

Either way the KV pool is carried from layer to layer and updated in place.
"""

from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from typing_extensions import override

from radixloom_runtime.models.params import ParamSpec, spec_of
from radixloom_runtime.ops.attention import Ragged


class StepInput(NamedTuple):
    """What the layers of one step need beside the tokens themselves."""

    cos: Float[Array, "O T 1 P"]
    sin: Float[Array, "O T 1 P"]
    """One for each kind of rope that the model has."""
    batch: Ragged


@jax.tree_util.register_pytree_node_class
class OneOf:
    """One of several arrays, chosen at run time, and never copied."""

    def __init__(self, index: Array, choices: tuple[Array, ...]) -> None:
        self.index = index
        self.choices = choices

    def tree_flatten(self) -> tuple[tuple[Any, ...], None]:
        """Part for jax."""
        return (self.index, self.choices), None

    @classmethod
    def tree_unflatten(cls, _: None, children: tuple[Any, ...]) -> "OneOf":
        """Join for jax."""
        return cls(*children)


def with_weight(weight: Array | OneOf, use: Callable[[Array], Array]) -> Array:
    """Compute with a weight, or with the chosen one of several."""
    if not isinstance(weight, OneOf):
        return use(weight)

    def branch(choice: Array) -> Callable[[], Array]:
        return lambda: use(choice)

    return jax.lax.switch(weight.index, [branch(choice) for choice in weight.choices])


def project(x: Float[Array, "T I"], kernel: Array | OneOf) -> Float[Array, "T O"]:
    """Multiply by a matrix, or by the chosen one of several."""
    return with_weight(kernel, lambda matrix: x @ matrix)


class Stack(nnx.Module):
    """All layers, in runs of the same kind.

    A layer is called as `layer(x, pool, step, index)` and returns x and pool.
    """

    def __init__(
        self,
        make_layer: Callable[[bool], nnx.Module],
        kinds: tuple[bool, ...],
        *,
        stacked: bool,
    ) -> None:
        """Make a layer of each of `kinds`; layers of one kind have the same weights' shapes."""
        runs: list[Run] = []
        first = 0
        for kind, group in groupby(kinds):
            layers = range(first, first + len(list(group)))
            runs.append(Run(partial(make_layer, kind), layers, stacked=stacked))
            first = layers.stop
        self.runs = nnx.List(runs)

    @override
    def __call__(
        self, x: Float[Array, "T D"], pool: Float[Array, "G S W H"], step: StepInput
    ) -> tuple[Float[Array, "T D"], Float[Array, "G S W H"]]:
        """Run all layers; each has its own stretch of the pool."""
        for run in self.runs:
            x, pool = run(x, pool, step)
        return x, pool


class Run(nnx.Module):
    """Consecutive layers of one kind."""

    def __init__(
        self, make_layer: Callable[[], nnx.Module], indices: range, *, stacked: bool
    ) -> None:
        self.indices = indices
        self.stacked = stacked
        if stacked:
            self.layers: Any = make_layer()
            _respecify(self.layers, lambda spec: spec.stacked(indices))
        else:
            self.layers = nnx.List([make_layer() for _ in indices])
            for index, layer in zip(indices, self.layers, strict=True):
                _respecify(layer, lambda spec, index=index: spec.at_layer(index))

    @override
    def __call__(
        self, x: Float[Array, "T D"], pool: Float[Array, "G S W H"], step: StepInput
    ) -> tuple[Float[Array, "T D"], Float[Array, "G S W H"]]:
        """Run these layers."""
        run = self._run_stacked if self.stacked else self._run_branched
        return run(x, pool, step)

    def _run_stacked(self, x: Array, pool: Array, step: StepInput) -> tuple[Array, Array]:
        definition, state = nnx.split(self.layers)

        def body(carry: tuple[Array, Array], layer: tuple[Any, Array]) -> Any:
            state, index = layer
            return nnx.merge(definition, state)(*carry, step, index), None

        return jax.lax.scan(body, (x, pool), (state, jnp.asarray(self.indices)))[0]

    def _run_branched(self, x: Array, pool: Array, step: StepInput) -> tuple[Array, Array]:
        split = [nnx.split(layer) for layer in self.layers]
        definition, first = split[0]
        structure = jax.tree.structure(first)
        per_layer = [jax.tree.leaves(state) for _, state in split]
        per_weight = [_Column(choices) for choices in zip(*per_layer, strict=True)]

        def body(index: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            chosen = [column.at(index) for column in per_weight]
            layer: Any = nnx.merge(definition, jax.tree.unflatten(structure, chosen))
            return layer(*carry, step, self.indices.start + index)

        return jax.lax.fori_loop(0, len(self.indices), body, (x, pool))


class _Column:
    """One weight of every layer. Vectors are small: those are stacked and sliced."""

    def __init__(self, choices: tuple[Array, ...]) -> None:
        self._choices = choices
        self._vectors = jnp.stack(choices) if choices[0].ndim == 1 else None

    def at(self, index: Array) -> Array | OneOf:
        if self._vectors is not None:
            return self._vectors[index]
        return OneOf(index, self._choices)


def _respecify(layer: nnx.Module, change: Callable[[ParamSpec], ParamSpec]) -> None:
    for _, param in nnx.iter_graph(layer):
        if isinstance(param, nnx.Param):
            spec = change(spec_of(param))
            param.set_metadata("spec", spec)
            param.set_value(jax.ShapeDtypeStruct(spec.shape, param.get_value().dtype))
