"""Pack reference checkpoints for the repository: `python -m hack.goldens SOURCE [NAME ...]`.

    SOURCE/<name>/{config*.json, *.safetensors, golden.npz}  ─►  tests/goldens/<name>.tar.xz

SOURCE holds tiny checkpoints with the logits that an independent implementation gave in float32.
Of these an archive keeps what is compared: for a few prompts the greedy continuation, and the
log-probabilities of the most likely tokens. The tests (`tests/support/goldens.py`) and the report
(`hack/golden_report.py`) read archives; with RADIXLOOM_GOLDENS set to a folder, a whole SOURCE.
"""

import argparse
import atexit
import io
import lzma
import os
import shutil
import sys
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

TARGET = Path(__file__).parents[1] / "tests" / "goldens"
NUM_PROMPTS = 8
PROMPTS = (0, 3, 4, 7)
"""Those whose last logits are compared."""
EVERYWHERE = 3
"""The prompt whose every position is compared."""
TOP = 20
LOGITS = {
    "llama-rope3-gqa-untied": ("last_logits",),
    "llama-tied": ("last_logits", "all_logits"),
}
"""Kept beside: the runner's own tests look at more than the likeliest tokens."""
WHOLE = os.environ.get("RADIXLOOM_GOLDENS")
TOLERANCE = 2e-3
"""Largest difference of a logprob from the reference's that counts as the same."""
# Two bytes a number: the odd ones (sign, exponent) and the even ones (mantissa) differ in kind.
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 1, "pb": 1}]


def compared(golden: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Reduce a golden.npz to what tests compare; see `tests/support/goldens.py` for the names."""
    kept: dict[str, NDArray[Any]] = {}
    for prompt in range(NUM_PROMPTS):
        for name in ("ids", "greedy"):
            kept[f"{name}_{prompt}"] = golden[f"{name}_{prompt}"].astype(np.int16)
    for prompt in PROMPTS:
        top = _top(golden[f"last_logits_{prompt}"][None])
        kept[f"top_ids_{prompt}"], kept[f"top_logprobs_{prompt}"] = top[0][0], top[1][0]
    all_ids, all_logprobs = _top(golden[f"all_logits_{EVERYWHERE}"])
    return kept | {"all_top_ids": all_ids, "all_top_logprobs": all_logprobs}


def _top(logits: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    logprobs = wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    ids = np.argsort(-logprobs, axis=-1, kind="stable")[:, :TOP]
    found = np.take_along_axis(logprobs, ids, axis=-1)
    return ids.astype(np.int16), found.astype(np.float32)


def names() -> list[str]:
    """List all checkpoints at hand."""
    if WHOLE:
        return sorted(path.parent.name for path in Path(WHOLE).glob("*/golden.npz"))
    return sorted(path.name.removesuffix(".tar.xz") for path in TARGET.glob("*.tar.xz"))


@cache
def folder(name: str) -> Path:
    """Return the checkpoint's folder, unpacked for this process."""
    if WHOLE:
        return Path(WHOLE) / name
    target = _unpacked() / name
    with tarfile.open(TARGET / f"{name}.tar.xz") as archive:
        archive.extractall(target, filter="data")
    return target


def golden(name: str) -> dict[str, NDArray[Any]]:
    """Return what a checkpoint should give: arrays by the names in `tests/support/goldens.py`."""
    arrays = dict(np.load(folder(name) / "golden.npz"))
    return arrays | compared(arrays) if WHOLE else arrays


@cache
def _unpacked() -> Path:
    root = Path(tempfile.mkdtemp(prefix="radixloom-goldens-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


def pack(source: Path, target: Path) -> None:
    """Write one archive, the same bytes every time."""
    files = {path.name: path.read_bytes() for path in source.glob("config*.json")}
    files |= {path.name: path.read_bytes() for path in source.glob("model*.safetensors*")}
    golden = dict(np.load(source / "golden.npz"))
    arrays = io.BytesIO()
    logits = LOGITS.get(source.name, ())
    kept: dict[str, Any] = {key: golden[key] for key in golden if key.startswith(logits)}
    np.savez(arrays, **kept, **cast("dict[str, Any]", compared(golden)))
    files["golden.npz"] = arrays.getvalue()
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    target.write_bytes(lzma.compress(plain.getvalue(), filters=_FILTERS))


def main() -> int:
    """Pack what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m hack.goldens", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("names", nargs="*", help="default: all that tests/goldens has already")
    options = parser.parse_args()
    for name in options.names or names():
        target = TARGET / f"{name}.tar.xz"
        pack(options.source / name, target)
        print(f"{target.stat().st_size:8} {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
