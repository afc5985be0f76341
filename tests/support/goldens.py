"""Tiny checkpoints with reference outputs: one archive each in tests/goldens.

`golden(name)` gives numpy arrays: per prompt p `ids_p`, `greedy_p`, and `top_ids_p`,
`top_logprobs_p` after its last token; for `EVERYWHERE` also `all_top_ids`, `all_top_logprobs` at
each position. Set RADIXLOOM_GOLDENS to a folder of whole goldens to test all of those instead.
"""

import atexit
import os
import shutil
import tarfile
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from hack.goldens import EVERYWHERE, PROMPTS, TARGET, compared
from radixloom_runtime.wire.plan import Top

__all__ = ["EVERYWHERE", "NAMES", "PROMPTS", "TOLERANCE", "assert_same_top", "folder", "golden"]

TOLERANCE = 2e-3

_WHOLE = os.environ.get("RADIXLOOM_GOLDENS")

NAMES = tuple(
    sorted(
        [path.parent.name for path in Path(_WHOLE).glob("*/golden.npz")]
        if _WHOLE
        else [path.name.removesuffix(".tar.xz") for path in TARGET.glob("*.tar.xz")]
    )
)
"""All checkpoints at hand."""


@cache
def folder(name: str) -> Path:
    """Return the checkpoint's folder, unpacked for this process."""
    if _WHOLE:
        return Path(_WHOLE) / name
    target = _root() / name
    with tarfile.open(TARGET / f"{name}.tar.xz") as archive:
        archive.extractall(target, filter="data")
    return target


def golden(name: str) -> dict[str, np.ndarray]:
    """Return what a checkpoint should give."""
    arrays = dict(np.load(folder(name) / "golden.npz"))
    return arrays | compared(arrays) if _WHOLE else arrays


def assert_same_top(top: Top, ids: np.ndarray, logprobs: np.ndarray) -> None:
    """Fail unless the likeliest tokens are these; near ties may stand in either order."""
    np.testing.assert_allclose(top.logprobs, logprobs, atol=TOLERANCE)
    expected = dict(zip(ids.tolist(), logprobs.tolist(), strict=True))
    found = dict(zip(top.ids.tolist(), top.logprobs.tolist(), strict=True))
    both = expected.keys() & found.keys()
    assert len(both) >= len(ids) - 2, "other tokens are the likeliest"
    for token_id in both:
        assert abs(found[token_id] - expected[token_id]) <= TOLERANCE


@cache
def _root() -> Path:
    root = Path(tempfile.mkdtemp(prefix="radixloom-goldens-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root
