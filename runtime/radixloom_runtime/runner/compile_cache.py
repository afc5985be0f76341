"""Compiled steps kept on disk between starts, and a count of what jax compiles."""

import os
from pathlib import Path

import jax
import jax.monitoring
import structlog
from jax.experimental.compilation_cache.compilation_cache import reset_cache

_log = structlog.get_logger()

_HIT = "/jax/compilation_cache/cache_hits"
_COMPILE = "/jax/core/compile/backend_compile_duration"


def default_folder() -> Path:
    """Return radixloom/compile in the user's cache folder."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "radixloom" / "compile"


def use_cache(folder: Path | None) -> None:
    """Keep every compiled program in `folder`."""
    path = folder or default_folder()
    path.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    reset_cache()  # jax looks at the folder once, at its first compilation


class CompileCounter:
    """Counts compilations and cache hits of this process from now on."""

    def __init__(self) -> None:
        self.cache_hits = 0
        self.after_warmup = 0
        self._warm = False
        jax.monitoring.register_event_listener(self._on_event)
        jax.monitoring.register_event_duration_secs_listener(self._on_duration)

    def mark_warm(self) -> None:
        """From now on, a compilation is a defect: it stops all running requests."""
        self._warm = True

    def _on_event(self, event: str, **_: str | int) -> None:
        self.cache_hits += event == _HIT

    def _on_duration(self, event: str, duration_secs: float, **_: str | int) -> None:
        if self._warm and event == _COMPILE:
            self.after_warmup += 1
            _log.error("compile.after_warmup", seconds=round(duration_secs, 3))
