"""A GGUF file as the checkpoint of the same model: its configuration, and its tensors by name.

    GGUFFile ─┬─ gguf_config ─► config.json's words
              └─ gguf_names ──► model.layers.3.self_attn.q_proj.weight ─► bytes in the file
                                                                            │ gguf_blocks
                                                                            ▼
                                                     floats, or small numbers with their scales

Only what is asked for is read: one expert of a stack, the rows and blocks of one device.
"""

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.gguf_blocks import BlockKind, Blocks, PairedRows, checkpoint_rows
from radixloom_runtime.formats.gguf_config import checkpoint_config
from radixloom_runtime.formats.gguf_file import GGUFFile
from radixloom_runtime.formats.gguf_names import Origin, origins
from radixloom_runtime.formats.scheme import Quantization, module_of
from radixloom_runtime.formats.stored import Region, Scheme, absent, check_shape


class GGUFModel:
    """Tensors of a GGUF by the names of a checkpoint."""

    def __init__(self, file: GGUFFile) -> None:
        """Find out what each tensor is. Raises: `ModelError`."""
        self.config: dict[str, Any] = checkpoint_config(file)
        self._file = file
        shapes = {name: tensor.shape for name, tensor in file.tensors.items()}
        self._origins = dict(origins(self.config["architectures"][0], shapes))

    def __iter__(self) -> Iterator[str]:
        """Names of all tensors."""
        return iter(self._origins)

    def __contains__(self, name: str) -> bool:
        """Whether the model has a tensor of this name."""
        return name in self._origins

    def tensor(self, name: str, *shapes: tuple[int, ...]) -> NDArray[Any]:
        """Map one tensor, which must have one of these shapes.

        A matrix is as the file has it, maybe as rows of bytes: its scheme knows what that means.
        Raises: `ModelError` if absent or of another shape.
        """
        origin = self._origins.get(name)
        if origin is None:
            raise absent(name, self._file.path, shapes)
        found = self._mapped(name, origin)
        check_shape(name, self._file.path, found.shape, shapes)
        return found

    def floats(self, module: str, shape: tuple[int, int]) -> NDArray[Any]:
        """Map a module's matrix [out, in] that is not quantized. Raises: `ModelError`."""
        return self.tensor(f"{module}.weight", shape)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape in the checkpoint."""
        scheme = self._scheme(module_of(name))
        if isinstance(scheme, Blocks):
            return scheme.shape
        return self._mapped(name, self._origins[name]).shape

    def dense(self, name: str) -> NDArray[Any]:
        """Compute all of a tensor, in floats. Raises: `ModelError`."""
        scheme, shape = self._scheme(module_of(name)), self.shape(name)
        if scheme is None:
            return self.tensor(name, shape)
        num_out, num_in = shape
        return scheme.dense(self, module_of(name), Region.whole((num_out, num_in)))

    @property
    def quantization(self) -> Quantization:
        """How each matrix is stored."""
        return Quantization("gguf", (), find=self._scheme)

    def _mapped(self, name: str, origin: Origin) -> NDArray[Any]:
        stored = self._file.tensors[origin.gguf_name]
        found = stored.mapped()
        if origin.expert is not None:
            return found[origin.expert]
        if len(stored.shape) > 1:
            return found
        if stored.is_blocks:
            raise ModelError(
                f"tensor {stored.name} of {self._file.path}: a vector in {stored.kind} is not"
                " supported; wanted F32, F16 or BF16"
            )
        if origin.paired is not None:
            return found[checkpoint_rows(slice(0, len(found)), self._head_rows(origin))]
        # A router of one output is a vector in the file.
        return found[None, :] if name.endswith("shared_expert_gate.weight") else found

    def _scheme(self, module: str) -> Scheme | None:
        origin = self._origins.get(f"{module}.weight")
        if origin is None:
            return None
        stored = self._file.tensors[origin.gguf_name]
        if len(stored.shape) < 2:
            return None
        *_, num_out, num_in = stored.shape
        head_rows = self._head_rows(origin)
        if isinstance(stored.kind, BlockKind):
            return Blocks(stored.kind, (num_out, num_in), head_rows)
        return None if head_rows is None else PairedRows(head_rows)

    def _head_rows(self, origin: Origin) -> int | None:
        """Return the rows of a head that are not in the checkpoint's order; None if they are."""
        return None if origin.paired is None else self.config["head_dim"]
