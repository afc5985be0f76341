"""Whether a model's weights can be cut for a mesh, and for which meshes they could be."""

from collections.abc import Sequence

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.models.params import ParamSpec
from radixloom_runtime.models.sharding import MeshShape

_MOST_NAMED = 256


def check_fit(specs: Sequence[ParamSpec], shape: MeshShape) -> None:
    """Raise `ConfigurationError` that says what does not fit, and what would."""
    found = _misfit(specs, shape)
    if found is None:
        return
    fitting = [
        tensor * shape.expert
        for tensor in range(1, _MOST_NAMED // shape.expert + 1)
        if _misfit(specs, MeshShape(shape.data, shape.expert, tensor)) is None
    ]
    sizes = ", ".join(str(size) for size in fitting) or "none"
    copies = f"data_parallel {shape.data}, " if shape.data > 1 else ""
    raise ConfigurationError(
        f"{found} ({copies}tensor_parallel {shape.expert * shape.tensor}, expert_parallel"
        f" {shape.expert}); with {copies}expert_parallel {shape.expert}, tensor_parallel can be:"
        f" {sizes}"
    )


def _misfit(specs: Sequence[ParamSpec], shape: MeshShape) -> str | None:
    try:
        for spec in specs:
            spec.local_shape(shape)
    except ConfigurationError as error:
        return str(error)
    return None
