"""From settings to a runner that is ready: the only way in for the engine.

    config.json ─► ModelConfig ─► weights ─► memory plan ─► KV pool ─► compiled buckets ─► JaxRunner

Nothing heavy is imported before `build_runner` is called, so that a process can say
that it lives before jax does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.wire.messages import Ready, Starting

if TYPE_CHECKING:
    from radixloom_runtime.runner.runner import JaxRunner

Progress = Callable[[Starting], None]


@dataclass(frozen=True, slots=True)
class BuiltRunner:
    """A warm runner, what there is to say about it, and its one defect counter."""

    runner: "JaxRunner"
    ready: Ready
    compiles_after_warmup: Callable[[], int]


def build_runner(settings: RuntimeSettings, progress: Progress) -> BuiltRunner:
    """Load the model of `settings` and compile all that it needs.

    Calls `progress` from this thread, at most a few times a second.
    Raises: `ModelError`, `CapacityError`, `ConfigurationError`.
    """
    raise ConfigurationError("the JAX runner is being built")
