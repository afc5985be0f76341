"""Which files of a repository a server needs.

Weights as safetensors, everything that configures model and tokenizer, and the licence. Not the
same weights in other formats (.bin, .pth, .gguf, .onnx), not pictures, not code: a checkpoint's
Python files are never run.
"""

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import PurePosixPath

from radixloom_runtime.errors import FetchError

WANTED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken", "LICENSE*")
CONSOLIDATED = "consolidated*.safetensors"
"""Some publishers put the same weights there a second time, under their own names."""


POOLING = "[0-9]_*/config.json"
"""How an embedding model pools, as sentence-transformers writes it."""


def wanted(paths: Iterable[str]) -> list[str]:
    """Choose among a repository's paths, in order: its top folder holds the checkpoint.

    Raises: `FetchError` for a path that would leave the folder.
    """
    chosen = sorted(path for path in paths if _is_wanted(_checked(path)))
    own = [path for path in chosen if not fnmatch(path, CONSOLIDATED)]
    return own if any(path.endswith(".safetensors") for path in own) else chosen


def _is_wanted(path: str) -> bool:
    hidden = path.startswith(".")
    if path.count("/") == 1 and fnmatch(path, POOLING):
        return True
    return not hidden and "/" not in path and any(fnmatch(path, form) for form in WANTED)


def _checked(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise FetchError(f"the source lists a file {path!r}, which is outside its own folder")
    return path
