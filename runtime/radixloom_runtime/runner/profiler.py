"""JAX's profiler: what host and device do, for TensorBoard and XProf."""

from pathlib import Path

from radixloom_runtime.errors import RequestError
from radixloom_runtime.wire.messages import StartProfile


class Profiler:
    """Records into one folder, one profile at a time."""

    def __init__(self, folder: Path | None) -> None:
        """Without a folder it records nothing."""
        self._folder = folder
        self._is_recording = False

    def start(self, wanted: StartProfile) -> None:
        """Begin to record. Raises: `RequestError`."""
        if self._folder is None:
            raise RequestError(
                "profiles are off on this server: it was started without --profile-dir"
            )
        if self._is_recording:
            raise RequestError("a profile is being recorded already; stop it first")
        from jax import profiler  # where a toy runs there is no other need of jax

        options = profiler.ProfileOptions()
        if wanted.host_tracer_level is not None:
            options.host_tracer_level = wanted.host_tracer_level
        if wanted.python_tracer_level is not None:
            options.python_tracer_level = wanted.python_tracer_level
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            profiler.start_trace(self._folder, profiler_options=options)
        except (OSError, RuntimeError) as error:
            raise RequestError(f"the profile cannot be recorded: {error}") from error
        self._is_recording = True

    def stop(self) -> None:
        """End, and write what was recorded. Raises: `RequestError`."""
        if not self._is_recording:
            raise RequestError("no profile is being recorded; start one first")
        from jax import profiler

        self._is_recording = False
        try:
            profiler.stop_trace()
        except (OSError, RuntimeError) as error:
            raise RequestError(f"the profile cannot be written: {error}") from error
