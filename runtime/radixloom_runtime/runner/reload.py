"""Other weights of the same shapes in the place of a runner's, while nothing runs.

    check   config.json says the same model, every tensor is there: nothing is changed yet
    load    weight by weight, layer by layer of a stack, into the memory that the old ones had

So memory holds one weight (of a stack, one layer of it) beside the model. Compiled steps stay as
they are: they see arrays of the same shapes, in the same places.
"""

from dataclasses import fields
from pathlib import Path

from jax.sharding import Mesh

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.gguf_file import find_gguf
from radixloom_runtime.models.config import ModelConfig
from radixloom_runtime.models.registry import Model, read_config
from radixloom_runtime.runner.adapters import load_adapter, warm
from radixloom_runtime.runner.checkpoint import Checkpoint
from radixloom_runtime.runner.runner import JaxRunner
from radixloom_runtime.runner.weights import check_weight, replace_weight


class Reload:
    """Replaces the weights of one runner."""

    def __init__(self, runner: JaxRunner, config: ModelConfig, model: Model, mesh: Mesh) -> None:
        """`config` is what the first checkpoint said."""
        self._runner = runner
        self._config = config
        self._model = model
        self._mesh = mesh

    def check_weights(self, folder: Path) -> None:
        """Refuse a checkpoint whose weights do not fit. Raises: `ModelError`, saying why."""
        if find_gguf(folder) is not None or self._config.quantization.find is not None:
            raise ModelError(
                f"wanted a checkpoint of safetensors in the place of another one, found {folder};"
                " the weights of a GGUF are not updated, start a server of its own for it"
            )
        self._compare(folder, read_config(folder))
        checkpoint = self._open(folder)
        for spec in (spec for spec in self._model.specs if not spec.is_adapter):
            for part in spec.parts():
                check_weight(checkpoint, part, self._mesh, self._model.dtype)

    def load_weights(self, folder: Path) -> None:
        """Load a checkpoint that was checked. Raises: `ModelError` with half of it loaded."""
        checkpoint = self._open(folder)
        weights = list(self._runner.weights)
        for index, spec in enumerate(self._model.specs):
            if spec.is_adapter:
                continue
            weights[index] = replace_weight(
                checkpoint, spec, self._mesh, self._model.dtype, weights[index]
            )
        self._runner.weights = tuple(weights)

    def warm_adapters(self) -> None:
        """Compile what writes adapters, if there is room for any."""
        if self._model.room is not None:
            self._runner.weights = warm(self._runner.weights, self._model, self._mesh)

    def load_adapter(self, slot: int, folder: Path) -> None:
        """Put an adapter into a slot that no request has. Raises: `ModelError`."""
        self._runner.weights = load_adapter(
            self._runner.weights, self._model, self._mesh, folder, slot
        )

    def _open(self, folder: Path) -> Checkpoint:
        return Checkpoint(folder, self._model.config.quantization)

    def _compare(self, folder: Path, found: ModelConfig) -> None:
        pairs = {
            field.name: (getattr(found, field.name), getattr(self._config, field.name))
            for field in fields(ModelConfig)
        }
        pairs["quantization"] = (_stored(found), _stored(self._config))
        differing = [f"{name} {a!r} for {b!r}" for name, (a, b) in pairs.items() if a != b]
        if differing:
            raise ModelError(
                f"wanted other weights of the model that is served, found another model in"
                f" {folder}: {'; '.join(differing)}; start a server of its own for it"
            )


def _stored(config: ModelConfig) -> tuple[str, tuple[object, ...]]:
    """Tell how matrices are stored: the same numbers mean others by another scheme.

    Which modules are exempt is not told: `check_weight` finds them as they were, or not at all.
    """
    return config.quantization.method, config.quantization.schemes
