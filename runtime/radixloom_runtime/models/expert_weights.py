"""How a layer's experts lie in checkpoints, and in memory: one array for a matrix of all of them.

in most checkpoints         experts.<i>.gate_proj.weight [F, D], up_proj [F, D], down_proj [D, F]
in gpt-oss's                experts.gate_up_proj [E, D, 2F]: gate 0, up 0, gate 1, up 1, ...
                            experts.down_proj [E, F, D], and biases of both
here                        gate_up [E, D, gates | ups],  down [E, F, D]
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from radixloom_runtime.models.config_moe import Moe
from radixloom_runtime.models.params import ParamSpec, Stored, Tensors, as_is
from radixloom_runtime.models.sharding import Axis, Dim


class ExpertAxes:
    """The three axes of experts' weights."""

    def __init__(self, embed_dim: int, moe: Moe) -> None:
        self.experts = Axis("experts", moe.num_experts)
        self.embed = Axis("embed", embed_dim)
        self.mlp = Axis("expert_mlp", moe.expert_dim // moe.unit, moe.unit)

    @property
    def both(self) -> Axis:
        """Gates and ups by turns."""
        return Axis(self.mlp.name, self.mlp.count, 2 * self.mlp.unit)


def gate_up(prefix: str, axes: ExpertAxes, moe: Moe) -> ParamSpec:
    """Describe what leads into the experts."""
    gate, up, _ = moe.names
    dims = ((axes.experts,), (axes.embed,), (axes.mlp, axes.mlp))
    if moe.is_fused:
        stored = _out_of_all(f"{prefix}.experts.{gate}", ((axes.both,), (axes.embed,)), axes)
        return ParamSpec(dims, stored, _pairs_by_turns, is_matrix=True)
    inward = ((axes.mlp,), (axes.embed,))
    stored = (*_of_each(prefix, gate, inward, axes), *_of_each(prefix, up, inward, axes))
    return ParamSpec(dims, stored, _pairs, is_matrix=True)


def down(prefix: str, axes: ExpertAxes, moe: Moe) -> ParamSpec:
    """Describe what leads out of them."""
    name, outward = moe.names[2], ((axes.embed,), (axes.mlp,))
    stored = (
        _out_of_all(f"{prefix}.experts.{name}", outward, axes)
        if moe.is_fused
        else _of_each(prefix, name, outward, axes)
    )
    dims = ((axes.experts,), (axes.mlp,), (axes.embed,))
    return ParamSpec(dims, stored, _each, is_matrix=True)


def gate_up_bias(prefix: str, axes: ExpertAxes, moe: Moe) -> ParamSpec:
    """Describe what is added to `gate_up`'s outputs."""
    name = f"{prefix}.experts.{moe.names[0]}_bias"
    stored = Stored(name, ((axes.experts,), (axes.both,)))
    return ParamSpec(((axes.experts,), (axes.mlp, axes.mlp)), (stored,), _bias_by_turns)


def down_bias(prefix: str, axes: ExpertAxes, moe: Moe) -> ParamSpec:
    """Describe what is added to `down`'s outputs, once."""
    dims = ((axes.experts,), (axes.embed,))
    stored = Stored(f"{prefix}.experts.{moe.names[2]}_bias", dims)
    return ParamSpec(dims, (stored,), as_is)


def _of_each(prefix: str, name: str, dims: tuple[Dim, ...], axes: ExpertAxes) -> tuple[Stored, ...]:
    """Name one matrix of every expert."""
    return tuple(
        Stored(f"{prefix}.experts.{i}.{name}.weight", dims, item=(axes.experts, i))
        for i in range(axes.experts.count)
    )


def _out_of_all(name: str, dims: tuple[Dim, ...], axes: ExpertAxes) -> tuple[Stored, ...]:
    """Name every expert's part of a tensor."""
    return tuple(
        Stored(name, dims, item=(axes.experts, i), is_one_of_all=True)
        for i in range(axes.experts.count)
    )


def _pairs(stored: Tensors) -> NDArray[Any]:
    """Gates of all experts, then ups, stored [F, D] each: [E, D, 2F] here."""
    half = len(stored) // 2
    pairs = zip(stored[:half], stored[half:], strict=True)
    return np.stack([np.concatenate([gate.T, up.T], axis=-1) for gate, up in pairs])


def _pairs_by_turns(stored: Tensors) -> NDArray[Any]:
    """Of each expert [2F, D], a gate's row and then its up's: [E, D, 2F] here."""
    return np.stack([np.concatenate([both[0::2].T, both[1::2].T], axis=-1) for both in stored])


def _bias_by_turns(stored: Tensors) -> NDArray[Any]:
    """Gates and ups by turns, [E, 2F]: first all gates here."""
    (both,) = stored
    return np.concatenate([both[:, 0::2], both[:, 1::2]], axis=-1)


def _each(stored: Tensors) -> NDArray[Any]:
    return np.stack([matrix.T for matrix in stored])
