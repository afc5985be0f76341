"""Layers one after another: one traced body, run once per layer, in either of two ways.

    stacked    lax.scan over weights stacked [L, ...]: what TPUs and GPUs do well. Products fuse
               with a layer's slice; those of experts cannot, and get the stack (`ops.of_layer`)
    branched   a loop over the layer's index; each matrix product is a branch per layer

Where kinds of layers take turns, the body is the smallest group of layers that repeats.

On CPU a scan copies every weight out of its stack before using it (1.3-1.6x slower decode), and
layers written out one by one take four to ten times as long to compile (and, at one row, XLA
copied the whole KV pool). Branches read each weight where it lies and compile like the scan.

Either way the history is carried from layer to layer and updated in place.
"""

from collections.abc import Callable
from itertools import groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int
from typing_extensions import override

from radixloom_runtime.models.adapters import StepAdapters
from radixloom_runtime.models.history import History
from radixloom_runtime.models.params import ParamSpec, spec_of
from radixloom_runtime.ops.attention import Ragged
from radixloom_runtime.ops.of_layer import OfLayer
from radixloom_runtime.ops.quantized import Largest, Matrix, QuantizedMatrix, multiply

_FEW = 8

_Carry = tuple[Array, History]
"""What goes from layer to layer: x, and the history."""


class StepInput(NamedTuple):
    """What the layers of one step need beside the tokens themselves."""

    cos: Float[Array, "O T 1 P"]
    sin: Float[Array, "O T 1 P"]
    """One for each kind of rope that the model has."""
    batch: Ragged
    rows: Int[Array, " R"]
    """Batch row of each chunk."""
    adapters: StepAdapters | None = None
    """None: the model has no room for any."""


@jax.tree_util.register_pytree_node_class
class OneOf:
    """One of several arrays, chosen at run time, and never copied."""

    def __init__(self, index: Array, choices: tuple[Matrix, ...]) -> None:
        self.index = index
        self.choices = choices

    def tree_flatten(self) -> tuple[tuple[Any, ...], None]:
        """Part for jax."""
        return (self.index, self.choices), None

    @classmethod
    def tree_unflatten(cls, _: None, children: tuple[Any, ...]) -> "OneOf":
        """Join for jax."""
        return cls(*children)


def with_weight(weight: Matrix | OneOf | OfLayer, use: Callable[[Any], Array]) -> Array:
    """Compute with a weight, or with the chosen one of several.

    Experts come to `use` as they are in a stack of layers.
    """
    if not isinstance(weight, OneOf):
        return use(weight)

    def branch(choice: Matrix) -> Callable[[], Array]:
        return lambda: use(choice)

    return jax.lax.switch(weight.index, [branch(choice) for choice in weight.choices])


def project(
    x: Float[Array, "T I"], kernel: Matrix | OneOf, over_devices: Largest = lambda x: x
) -> Float[Array, "T O"]:
    """Multiply by a matrix, or by the chosen one of several.

    `over_devices` makes the largest of all devices' parts of x, where its inputs are cut.
    """
    return with_weight(kernel, lambda matrix: multiply(x, matrix, over_devices))


class LayerKind(NamedTuple):
    """What makes two layers' weights differ in shape."""

    is_sparse: bool = False
    """Experts in the place of an MLP."""
    is_linear: bool = False
    """A recurrent state in the place of pages."""


class Stack(nnx.Module):
    """All layers, in runs of groups that repeat.

    A layer is called as `layer(x, history, step, index)` and returns x and history.
    """

    def __init__(
        self,
        make_layer: Callable[[LayerKind], nnx.Module],
        kinds: tuple[LayerKind, ...],
        *,
        stacked: bool,
    ) -> None:
        """Make a layer of each of `kinds`; layers of one kind have the same weights' shapes."""
        runs: list[Run] = []
        first = 0
        for group, times in repeating_groups(kinds):
            runs.append(Run(make_layer, group, first, times, stacked=stacked))
            first += len(group) * times
        self.runs = nnx.List(runs)

    @override
    def __call__(
        self, x: Float[Array, "T D"], history: History, step: StepInput
    ) -> tuple[Float[Array, "T D"], History]:
        """Run all layers; each has its own stretch of the history."""
        for run in self.runs:
            x, history = run(x, history, step)
        return x, history


def repeating_groups(kinds: tuple[LayerKind, ...]) -> list[tuple[tuple[LayerKind, ...], int]]:
    """Cut layers into groups and how often each repeats, so that few layers are traced.

    For example, with linear layers L and others A: A A A is 3 x (A), and L L A L L A is
    2 x (L L A). Groups of all runs are equally long, but for the last one.
    """

    def cut(length: int) -> list[tuple[tuple[LayerKind, ...], int]]:
        groups = [kinds[i : i + length] for i in range(0, len(kinds), length)]
        return [(group, len(list(equal))) for group, equal in groupby(groups)]

    def traced(length: int) -> int:
        return sum(len(group) for group, _ in cut(length))

    return cut(min(range(1, len(kinds) + 1), key=traced))


class Run(nnx.Module):
    """A group of consecutive layers, repeated with other weights."""

    def __init__(
        self,
        make_layer: Callable[[LayerKind], nnx.Module],
        group: tuple[LayerKind, ...],
        first: int,
        times: int,
        *,
        stacked: bool,
    ) -> None:
        self.first, self.times, self.size = first, times, len(group)
        self.stacked = stacked
        if stacked:
            self.layers: Any = _make_group(make_layer, group)
            for place, layer in enumerate(self.layers):
                each = range(first + place, first + times * self.size, self.size)
                _respecify(layer, lambda spec, each=each: spec.over_layers(each))
        else:
            self.layers = nnx.List([_make_group(make_layer, group) for _ in range(times)])
            layers = [layer for group in self.layers for layer in group]
            for index, layer in enumerate(layers, first):
                _respecify(layer, lambda spec, index=index: spec.at_layer(index))

    @override
    def __call__(
        self, x: Float[Array, "T D"], history: History, step: StepInput
    ) -> tuple[Float[Array, "T D"], History]:
        """Run these layers."""
        run = self._run_stacked if self.stacked else self._run_branched
        return run((x, history), step)

    def _run_stacked(self, carry: _Carry, step: StepInput) -> _Carry:
        definition, state = nnx.split(self.layers)
        params, structure = jax.tree.flatten(state, is_leaf=_is_param)
        scanned = [None if _is_fetched(param) else param for param in params]

        def body(carry: _Carry, group: tuple[Any, Array]) -> Any:
            slices, time = group
            chosen = [
                param.replace(OfLayer(param.get_value(), time)) if slice_ is None else slice_
                for param, slice_ in zip(params, slices, strict=True)
            ]
            layers = nnx.merge(definition, jax.tree.unflatten(structure, chosen))
            return self._run_group(layers, carry, step, time), None

        return jax.lax.scan(body, carry, (scanned, jnp.arange(self.times)))[0]

    def _run_branched(self, carry: _Carry, step: StepInput) -> _Carry:
        split = [nnx.split(group) for group in self.layers]
        definition, first = split[0]
        structure = jax.tree.structure(first, is_leaf=_is_weight)
        per_group = [jax.tree.leaves(state, is_leaf=_is_weight) for _, state in split]
        per_weight = [_Column(choices) for choices in zip(*per_group, strict=True)]

        def body(time: Array, carry: _Carry) -> _Carry:
            chosen = [column.at(time) for column in per_weight]
            group = nnx.merge(definition, jax.tree.unflatten(structure, chosen))
            return self._run_group(group, carry, step, time)

        return jax.lax.fori_loop(0, self.times, body, carry)

    def _run_group(self, group: Any, carry: _Carry, step: StepInput, time: Array) -> _Carry:
        for place, layer in enumerate(group):
            carry = layer(*carry, step, self.first + time * self.size + place)
        return carry


def _make_group(
    make_layer: Callable[[LayerKind], nnx.Module], group: tuple[LayerKind, ...]
) -> nnx.List[nnx.Module]:
    return nnx.List([make_layer(kind) for kind in group])


class _Column:
    """One weight of every repetition. Small ones are stacked and sliced."""

    def __init__(self, choices: tuple[Matrix, ...]) -> None:
        self._choices = choices
        small = [choice for choice in choices if isinstance(choice, Array) and _is_small(choice)]
        self._stack = jnp.stack(small) if small else None

    def at(self, index: Array) -> Array | OneOf:
        if self._stack is not None:
            return self._stack[index]
        return OneOf(index, self._choices)


def _is_small(weight: Array) -> bool:
    """Tell vectors, and matrices of a few vectors (the taps of a convolution)."""
    return weight.ndim == 1 or (weight.ndim == 2 and weight.shape[0] <= _FEW)


def _is_weight(node: object) -> bool:
    return isinstance(node, QuantizedMatrix)


def _is_param(node: object) -> bool:
    return isinstance(node, nnx.Param)


def _is_fetched(param: nnx.Param[Any]) -> bool:
    """Whether a stack is of several matrices a layer, of which a product fetches what it needs."""
    spec = spec_of(param)
    if spec.is_adapter:
        return True
    return spec.is_matrix and len(spec.dims) == len(("layers", "experts", "in", "out"))


def _respecify(layer: nnx.Module, change: Callable[[ParamSpec], ParamSpec]) -> None:
    for _, param in nnx.iter_graph(layer):
        if isinstance(param, nnx.Param):
            spec = change(spec_of(param))
            param.set_metadata("spec", spec)
            param.set_value(jax.ShapeDtypeStruct(spec.shape, param.get_value().dtype))
