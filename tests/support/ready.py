"""What an engine says when it is ready, for tests that have none."""

from typing import Any

from support.tiny import VOCAB_SIZE

from radixloom_runtime.wire.messages import Ready


def ready(**changes: Any) -> Ready:
    """A small engine's `Ready`, with changes; it knows the tokens of `support.tiny`."""
    fields = {
        "max_model_len": 100,
        "vocab_size": VOCAB_SIZE,
        "kv_cache_tokens": 1000,
        "page_tokens": 4,
        "max_running_requests": 4,
        "embed_dim": 4,
        "has_head": True,
        "dtype": "float32",
        "kv_cache_dtype": "float32",
        "device": "none",
        "start_seconds": {},
        "compile_cache_hits": 0,
        "num_buckets": 0,
    }
    return Ready(**(fields | changes))
