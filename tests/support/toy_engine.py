"""The engine process with the toy runner in the place of JAX: `python -m support.toy_engine`.

Prompts that begin with these tokens make the runner misbehave when they are first computed:

    FAULTY    the runner raises
    HANGING   the step does not end
    SLOW      from then on every step takes a while

Not with TOY_CALM in the environment.
"""

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from support.toy_runner import EMBED_DIM, VOCAB_SIZE, ToyHandle, ToyRunner

from radixloom_runtime.engine.launch import engine_command
from radixloom_runtime.engine.main import main
from radixloom_runtime.errors import ModelError
from radixloom_runtime.settings import RuntimeSettings
from radixloom_runtime.wire.messages import Ready, Starting
from radixloom_runtime.wire.plan import Limits, StepResult

FAULTY = VOCAB_SIZE + 1
HANGING = VOCAB_SIZE + 2
SLOW = VOCAB_SIZE - 1
SLOW_STEP_SECONDS = 0.02
TESTS = Path(__file__).parents[1]
NO_SUCH_MODEL = "no-such-model"
STEP_LIMIT_SECONDS = float(os.environ.get("TOY_STEP_LIMIT_SECONDS", "1"))


class MoodyRunner(ToyRunner):
    """A toy that fails on command."""

    is_slow = False

    def finish(self, handle: ToyHandle) -> StepResult:
        result = super().finish(handle)
        if FAULTY in handle.first_tokens:
            raise ValueError("the toy was told to fail")
        if HANGING in handle.first_tokens:
            time.sleep(600)
        self.is_slow |= SLOW in handle.first_tokens
        if self.is_slow:
            time.sleep(SLOW_STEP_SECONDS)
        return result


class ToyUpkeep:
    """A toy has no weights: all it knows is a folder that is not there."""

    def check_weights(self, folder: Path) -> None:
        if folder.name == NO_SUCH_MODEL:
            raise ModelError(f"wanted a checkpoint in {folder}, found no such folder")

    def load_weights(self, folder: Path) -> None:
        self.check_weights(folder)

    def load_adapter(self, slot: int, folder: Path) -> None:
        assert slot > 0, "slot 0 is that of no adapter"
        self.check_weights(folder)


@dataclasses.dataclass(frozen=True)
class BuiltToy:
    runner: ToyRunner
    ready: Ready
    compiles_after_warmup: Callable[[], int]
    reload: ToyUpkeep


def build_toy(settings: RuntimeSettings, progress: Callable[[Starting], None]) -> BuiltToy:
    """Build from the same settings as the real one, with small defaults."""
    progress(Starting(phase="weights", done=0, total=1, unit="bytes", seconds=0))
    if settings.model is not None and settings.model.name == NO_SUCH_MODEL:
        raise ModelError(f"wanted a checkpoint in {settings.model}, found no such folder")
    page_tokens = settings.page_tokens or 4
    limits = Limits(
        num_pages=(settings.kv_cache_tokens or 256) // page_tokens,
        page_tokens=page_tokens,
        max_rows=settings.max_running_requests or 8,
        step_tokens=settings.step_tokens or 32,
        max_model_len=settings.max_model_len or 128,
    )
    ready = Ready(
        max_model_len=limits.max_model_len,
        # moods can be asked for over HTTP too
        vocab_size=SLOW if "TOY_CALM" in os.environ else HANGING + 1,
        kv_cache_tokens=limits.num_pages * page_tokens,
        page_tokens=page_tokens,
        max_running_requests=limits.max_rows,
        embed_dim=EMBED_DIM,
        has_head=True,
        dtype="int",
        kv_cache_dtype="int",
        device="toy",
        start_seconds={"total": 0.0},
        compile_cache_hits=0,
        num_buckets=0,
    )
    return BuiltToy(MoodyRunner(limits), ready, lambda: 0, ToyUpkeep())


def toy_engine(address: str, settings: RuntimeSettings) -> tuple[Sequence[str], Mapping[str, str]]:
    """The command of the real engine, with this entry point in the place of its own."""
    argv, environment = engine_command(address, settings)
    module = argv.index("radixloom_runtime.engine")
    argv[module] = "support.toy_engine"
    return argv, environment | {"PYTHONPATH": str(TESTS)}


if __name__ == "__main__":
    sys.exit(main(build_runner=build_toy, step_limit_seconds=STEP_LIMIT_SECONDS))
