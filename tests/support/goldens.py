"""Tiny checkpoints with reference outputs: one archive each in tests/goldens.

`golden(name)` gives numpy arrays: per prompt p `ids_p`, `greedy_p`, and `top_ids_p`,
`top_logprobs_p` after its last token; for `EVERYWHERE` also `all_top_ids`, `all_top_logprobs` at
each position. Set RADIXLOOM_GOLDENS to a folder of whole goldens to test all of those instead.
"""

import numpy as np

from hack import goldens
from hack.goldens import EVERYWHERE, PROMPTS, TOLERANCE, folder, golden
from radixloom_runtime.wire.plan import Top

__all__ = [
    "EVERYWHERE",
    "NAMES",
    "PROMPTS",
    "TOLERANCE",
    "assert_same_top",
    "folder",
    "golden",
    "states",
]

NAMES = tuple(goldens.names())
"""All checkpoints at hand."""


def states() -> dict[str, np.ndarray]:
    """Final hidden states, by `hack/make_states.py`: `<name>.last_p` and `<name>.mean_p`."""
    return dict(np.load(goldens.TARGET / "states.npz"))


def assert_same_top(top: Top, ids: np.ndarray, logprobs: np.ndarray) -> None:
    """Fail unless the likeliest tokens are these; near ties may stand in either order."""
    np.testing.assert_allclose(top.logprobs, logprobs, atol=TOLERANCE)
    expected = dict(zip(ids.tolist(), logprobs.tolist(), strict=True))
    found = dict(zip(top.ids.tolist(), top.logprobs.tolist(), strict=True))
    both = expected.keys() & found.keys()
    assert len(both) >= len(ids) - 2, "other tokens are the likeliest"
    for token_id in both:
        assert abs(found[token_id] - expected[token_id]) <= TOLERANCE
