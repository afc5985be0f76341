"""What changes in a runner between steps: its weights, and the adapters that it has.

    check ── refused? ──► Rejected, and everything is as before
      └──► forget all KV ──► load ──► Done

What cannot be read is refused like what does not fit: a folder is a client's word. A load that
fails half way ends the process: the pod starts again with the checkpoint that its settings name,
which are not at fault. No step runs meanwhile, so readiness fails once the server has not heard for
a while.
"""

import time
from pathlib import Path
from typing import Protocol

import structlog

from radixloom_runtime.errors import ConfigurationError, EngineError, RadixloomError
from radixloom_runtime.scheduler.scheduler import Scheduler
from radixloom_runtime.wire.messages import (
    Done,
    LoadAdapter,
    Rejected,
    UnloadAdapter,
    UpdateWeights,
)

log = structlog.get_logger()


class Upkeep(Protocol):
    """Changes a runner while none of its steps runs."""

    def check_weights(self, folder: Path) -> None:
        """Refuse weights that do not fit. Raises: `RadixloomError`, saying why."""
        ...

    def load_weights(self, folder: Path) -> None:
        """Put weights that were checked in the place of the old ones."""
        ...

    def load_adapter(self, slot: int, folder: Path) -> None:
        """Put an adapter into a slot that no request has. Raises: `RadixloomError`."""
        ...


def change_adapters(
    change: LoadAdapter | UnloadAdapter, upkeep: Upkeep | None, scheduler: Scheduler
) -> Done | Rejected:
    """Load or unload an adapter; steps may be in flight, none of them has the slot."""
    try:
        if upkeep is None:
            raise ConfigurationError(_SEVERAL_HOSTS)
        if isinstance(change, UnloadAdapter):
            scheduler.adapters.unload(change.name)
        else:
            slot = scheduler.adapters.slot_for(change.name, scheduler.adapter_slots_in_use())
            upkeep.load_adapter(slot, Path(change.folder))
            scheduler.adapters.add(change.name, slot)
    except (RadixloomError, OSError) as error:
        return Rejected(request_id=change.request_id, message=str(error))
    log.info("engine.adapters_changed", change=type(change).__name__, name=change.name)
    return Done(request_id=change.request_id)


_SEVERAL_HOSTS = (
    "adapters of a slice of several hosts are those that --lora names at its start: none can be"
    " loaded or unloaded while it serves"
)


def update_weights(
    update: UpdateWeights, upkeep: Upkeep | None, scheduler: Scheduler
) -> Done | Rejected:
    """Change the weights; what is running goes on with the new ones, its KV computed anew.

    Nothing may be in flight.
    """
    folder = Path(update.folder)
    if upkeep is None:
        return Rejected(
            request_id=update.request_id,
            message="the weights of a slice of several hosts cannot be updated while it serves;"
            " change the model of the service, and its slices are rolled one after another",
        )
    began = time.monotonic()
    try:
        upkeep.check_weights(folder)
    except (RadixloomError, OSError) as error:
        return Rejected(request_id=update.request_id, message=str(error))
    scheduler.forget_kv()
    try:
        upkeep.load_weights(folder)
    except RadixloomError as error:
        raise EngineError(f"half of the weights of {folder} are loaded, then: {error}") from error
    log.info("engine.weights_updated", seconds=round(time.monotonic() - began, 1))
    return Done(request_id=update.request_id)
