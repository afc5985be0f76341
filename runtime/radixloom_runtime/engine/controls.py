"""What a running engine is told beside requests: pause, go on, record a profile.

While paused no step is planned; requests come, wait, and expire as before. A profile is of this
host's process alone, also on a slice of several.
"""

from typing import Protocol

import structlog

from radixloom_runtime.errors import RadixloomError
from radixloom_runtime.wire.messages import (
    Done,
    Pause,
    Rejected,
    Resume,
    StartProfile,
    StopProfile,
)

Control = Pause | Resume | StartProfile | StopProfile

log = structlog.get_logger()


class Profiler(Protocol):
    """Records what host and device do. Its methods raise `RadixloomError`, saying why not."""

    def start(self, wanted: StartProfile) -> None:
        """Begin to record."""
        ...

    def stop(self) -> None:
        """End, and write what was recorded."""
        ...


class Controls:
    """The state that controls change."""

    def __init__(self, profiler: Profiler) -> None:
        self._profiler = profiler
        self._steps_to_record: int | None = None
        self.is_paused = False

    def obey(self, control: Control) -> Done | Rejected:
        """Do what is asked, or tell why not."""
        try:
            self._obey(control)
        except RadixloomError as error:
            return Rejected(request_id=control.request_id, message=str(error))
        log.info("engine.told", control=type(control).__name__)
        return Done(request_id=control.request_id)

    def _obey(self, control: Control) -> None:
        match control:
            case Pause():
                self.is_paused = True
            case Resume():
                self.is_paused = False
            case StartProfile(num_steps=num_steps):
                self._profiler.start(control)
                self._steps_to_record = num_steps
            case StopProfile():
                self._stop_profile()

    def note_step(self) -> None:
        """Take note that a step was finished, which may be the last to record."""
        if self._steps_to_record is None:
            return
        self._steps_to_record -= 1
        if not self._steps_to_record:
            self._stop_profile()
            log.info("engine.profiled")

    def _stop_profile(self) -> None:
        self._steps_to_record = None
        self._profiler.stop()
