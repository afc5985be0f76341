"""A checkpoint folder's safetensors: one file, or several by index."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from radixloom_runtime.errors import ModelError
from radixloom_runtime.formats.stored import absent, check_shape
from radixloom_runtime.formats.tensor_file import TensorFile

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


class Shards:
    """Tensors of a folder by name; a file is opened when the first of its tensors is wanted."""

    def __init__(self, folder: Path) -> None:
        """Read the index. Raises: `ModelError`."""
        self._folder = folder
        self._open: dict[Path, TensorFile] = {}
        self._file_of = self._find_files(folder)

    def __iter__(self) -> Iterator[str]:
        """Names of all tensors."""
        return iter(self._file_of)

    def __contains__(self, name: str) -> bool:
        """Whether the folder holds a tensor of this name."""
        return name in self._file_of

    def tensor(self, name: str, *shapes: tuple[int, ...]) -> NDArray[Any]:
        """Map one tensor, which must have one of these shapes.

        Raises: `ModelError` if absent, unreadable or of another shape.
        """
        path = self._file_of.get(name)
        if path is None:
            raise absent(name, self._folder, shapes)
        found = self._file(path).tensor(name)
        check_shape(name, path, found.shape, shapes)
        return found

    def floats(self, module: str, shape: tuple[int, int]) -> NDArray[Any]:
        """Map a module's matrix [out, in] that is not quantized. Raises: `ModelError`."""
        return self.tensor(f"{module}.weight", shape)

    def _file(self, path: Path) -> TensorFile:
        if path not in self._open:
            self._open[path] = TensorFile(path)
        return self._open[path]

    def _find_files(self, folder: Path) -> dict[str, Path]:
        if (folder / INDEX).exists():
            return _read_index(folder / INDEX)
        single = folder / SINGLE
        if not single.exists():
            raise ModelError(
                f"{folder} holds neither {SINGLE} nor {INDEX}: its weights are missing"
            )
        return dict.fromkeys(self._file(single), single)


def _read_index(path: Path) -> dict[str, Path]:
    try:
        weight_map: dict[str, str] = json.loads(path.read_text("utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is no index of a sharded checkpoint: {error!r}") from error
    missing = sorted({f for f in weight_map.values() if not (path.parent / f).exists()})
    if missing:
        raise ModelError(f"{path.parent} lacks {', '.join(missing)}, which {path.name} names")
    return {name: path.parent / file for name, file in weight_map.items()}
