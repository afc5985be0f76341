"""The server process from settings to exit code."""

from radixloom_runtime.errors import ConfigurationError
from radixloom_runtime.settings import RuntimeSettings


def serve(settings: RuntimeSettings) -> int:
    """Serve until the process is told to stop; return its exit code."""
    raise ConfigurationError(f"serving {settings.model} is not there yet")
